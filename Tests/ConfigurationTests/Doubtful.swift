// Cases for `WrongConfigurationTests`: configurations that work, but are probably not meant so. The form is that of `ConfigurationCase`.

let doubtful = ConfigurationCase.table(
  #"""
  === identity unused
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: off}
  --- sidecar.yaml:1:1: warning: identity: no listener and no mesh rule uses TLS, so nothing is protected by it
  === allow nobody
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: []}
  --- sidecar.yaml:4:13: warning: listeners[0].allow: the list is empty, so every peer is denied
  === permissive with principals only
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: permissive,
       allow: [{principals: ["spiffe://a/b"]}]}
  --- sidecar.yaml:5:13: warning: listeners[0].allow: every rule asks for a principal, so peers in the clear are denied although tls is permissive
  === outbound for everybody
  listeners:
    - {name: out, direction: outbound, bind: 0.0.0.0:15001, target: db.svc:5432}
  --- sidecar.yaml:2:44: warning: listeners[0].bind: other hosts can reach 0.0.0.0:15001 and call out through this sidecar, with its identity where a mesh rule matches; a loopback address is for the app alone
  === mesh rule never reached
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{tls: strict}, {destinations: [10.0.0.0/8], tls: off}]}
  --- sidecar.yaml:4:28: warning: listeners[0].mesh[1]: this rule is never reached, since listeners[0].mesh[0] before it matches everything
  === admin remote allowed
  admin: {bind: 0.0.0.0:15000, allowRemote: true}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:15: warning: admin.bind: whoever can reach 0.0.0.0:15000 can stop this proxy and see its connections
  === a size for standard output
  accessLog: {path: /dev/stdout, maxSize: 10MiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:41: warning: accessLog.maxSize: /dev/stdout is never rotated by the proxy; whoever reads it limits its size
  """#)
