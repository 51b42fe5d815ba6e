// Cases for `WrongConfigurationTests`: allow and mesh rules. The form is that of `ConfigurationCase`.

let wrongRules = ConfigurationCase.table(
  #"""
  === allow null
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: }
  --- sidecar.yaml:4:13: listeners[0].allow: the value is missing; expected a list of rules, or no allow key at all
  === allow a mapping
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: {ports: [8080]}}
  --- sidecar.yaml:4:13: listeners[0].allow: a mapping is not a list; expected a list of rules, each after a "- "
  === allow a word
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: all}
  --- sidecar.yaml:4:13: listeners[0].allow: "all" is not a list; expected a list of rules; did you mean [all]?
  === allow empty rule
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{}]}
  --- sidecar.yaml:4:14: listeners[0].allow[0]: an empty rule would let everybody in; expected principals, ports or sources, or no allow at all
  === allow null rule
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [~]}
  --- sidecar.yaml:4:14: listeners[0].allow[0]: an empty rule would let everybody in; expected principals, ports or sources, or no allow at all
  === allow unknown key
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principal: [a]}]}
  --- sidecar.yaml:4:15: listeners[0].allow[0]: unknown key "principal"; expected principals, ports or sources; did you mean principals?
  === principals a word
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: "spiffe://a/b"}]}
  --- sidecar.yaml:4:27: listeners[0].allow[0].principals: "spiffe://a/b" is not a list; expected a list of SPIFFE IDs; did you mean [spiffe://a/b]?
  === principals empty
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: []}]}
  --- sidecar.yaml:4:27: listeners[0].allow[0].principals: an empty list matches nothing; expected a list of SPIFFE IDs, or no principals key to match everything
  === principals null
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: }]}
  --- sidecar.yaml:4:27: listeners[0].allow[0].principals: the value is missing; expected a list of SPIFFE IDs, or no principals key at all
  === principal without scheme
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: [cluster.local/ns/web/sa/app]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "cluster.local/ns/web/sa/app" is not a SPIFFE ID; expected a SPIFFE ID such as spiffe://cluster.local/ns/web/sa/*; did you mean spiffe://cluster.local/ns/web/sa/app?
  === principal URL
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["https://cluster.local/ns/web"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "https://cluster.local/ns/web" is not a SPIFFE ID; expected a SPIFFE ID such as spiffe://cluster.local/ns/web/sa/*
  === principal star
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["*"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "*" is not a SPIFFE ID; expected a SPIFFE ID such as spiffe://cluster.local/ns/web/sa/*
  === principal star in a segment
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://a/ns/web-*"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "spiffe://a/ns/web-*" has * inside a path segment; expected * as a whole segment, or ** as the last one
  === principal star in the domain
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://*/ns/web"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "*" is not a trust domain; expected a-z, 0-9, ".", "-" and "_", no wildcard
  === principal two stars inside
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://a/**/sa"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "spiffe://a/**/sa" has ** before its end; expected ** only as the last segment
  === principal without path
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://cluster.local"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "spiffe://cluster.local" has no path, and no workload is named so; expected a SPIFFE ID such as spiffe://cluster.local/ns/web/sa/*; did you mean spiffe://cluster.local/**?
  === principal slash at the end
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://a/ns/"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "spiffe://a/ns/" has an empty path segment; expected segments with one / between them; did you mean spiffe://a/ns?
  === principal dots
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://a/../b"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "spiffe://a/../b" has a .. segment; expected a path without . and ..
  === principal upper-case domain
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://Cluster.local/ns"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "Cluster.local" is not a trust domain; expected a-z, 0-9, ".", "-" and "_", no wildcard
  === principal space
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{principals: ["spiffe://a/n s"]}]}
  --- sidecar.yaml:4:28: listeners[0].allow[0].principals[0]: "n s" is not a path segment of a SPIFFE ID; expected letters, digits, ".", "-" and "_"
  === ports a number
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{ports: 8080}]}
  --- sidecar.yaml:4:22: listeners[0].allow[0].ports: "8080" is not a list; expected a list of ports; did you mean [8080]?
  === ports words
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{ports: [http, "8080", 0, 65536]}]}
  --- sidecar.yaml:4:23: listeners[0].allow[0].ports[0]: "http" is not a number; expected a whole number from 1 to 65535
  --- sidecar.yaml:4:29: listeners[0].allow[0].ports[1]: "8080" is a text, not a number; expected a whole number from 1 to 65535; did you mean 8080 without quotes?
  --- sidecar.yaml:4:37: listeners[0].allow[0].ports[2]: 0 is out of range; expected a whole number from 1 to 65535
  --- sidecar.yaml:4:40: listeners[0].allow[0].ports[3]: 65536 is out of range; expected a whole number from 1 to 65535
  === ports range
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{ports: [8000-9000]}]}
  --- sidecar.yaml:4:23: listeners[0].allow[0].ports[0]: "8000-9000" is not a number; expected a whole number from 1 to 65535
  === sources address
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{sources: [10.0.0.1]}]}
  --- sidecar.yaml:4:25: listeners[0].allow[0].sources[0]: "10.0.0.1" has no prefix length; expected a block such as 10.0.0.0/8 or fd00::/8; did you mean 10.0.0.1/32?
  === sources host bits
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{sources: [10.1.2.3/8]}]}
  --- sidecar.yaml:4:25: listeners[0].allow[0].sources[0]: "10.1.2.3/8" has bits set after its prefix; expected a block such as 10.0.0.0/8 or fd00::/8; did you mean 10.0.0.0/8?
  === sources long prefix
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{sources: [10.0.0.0/33, "fd00::/129", 10.0.0.0/]}]}
  --- sidecar.yaml:4:25: listeners[0].allow[0].sources[0]: "10.0.0.0/33" has a wrong prefix length; expected 0 to 32 after the /
  --- sidecar.yaml:4:38: listeners[0].allow[0].sources[1]: "fd00::/129" has a wrong prefix length; expected 0 to 128 after the /
  --- sidecar.yaml:4:52: listeners[0].allow[0].sources[2]: "10.0.0.0/" has a wrong prefix length; expected 0 to 32 after the /
  === sources name
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{sources: [example.com/8, all]}]}
  --- sidecar.yaml:4:25: listeners[0].allow[0].sources[0]: "example.com/8" is not a block of addresses; expected a block such as 10.0.0.0/8 or fd00::/8
  --- sidecar.yaml:4:40: listeners[0].allow[0].sources[1]: "all" is not a block of addresses; expected a block such as 10.0.0.0/8 or fd00::/8
  === sources IPv6 host bits
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{sources: ["fd00::1/8", "::1"]}]}
  --- sidecar.yaml:4:25: listeners[0].allow[0].sources[0]: "fd00::1/8" has bits set after its prefix; expected a block such as 10.0.0.0/8 or fd00::/8; did you mean fd00::/8?
  --- sidecar.yaml:4:38: listeners[0].allow[0].sources[1]: "::1" has no prefix length; expected a block such as 10.0.0.0/8 or fd00::/8; did you mean ::1/128?
  === mesh rule empty
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{}]}
  --- sidecar.yaml:4:13: listeners[0].mesh[0]: the rule is empty; expected destinations, ports, tls or principals
  === mesh rule unknown key
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{sources: [10.0.0.0/8]}]}
  --- sidecar.yaml:4:14: listeners[0].mesh[0]: unknown key "sources"; expected destinations, ports, tls or principals
  === mesh permissive
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{tls: permissive}]}
  --- sidecar.yaml:4:19: listeners[0].mesh[0].tls: "permissive" is unknown; expected off or strict
  === mesh null
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: }
  --- sidecar.yaml:4:12: listeners[0].mesh: the value is missing; expected a list of rules, or no mesh key at all
  === mesh destination
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{destinations: [db.svc], tls: strict}]}
  --- sidecar.yaml:4:29: listeners[0].mesh[0].destinations[0]: "db.svc" is not a block of addresses; expected a block such as 10.0.0.0/8 or fd00::/8
  """#)
