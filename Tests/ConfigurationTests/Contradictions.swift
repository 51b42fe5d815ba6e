// Cases for `WrongConfigurationTests`: values that are right by themselves and can't stand together. The form is that of `ConfigurationCase`.

let contradictions = ConfigurationCase.table(
  #"""
  === same name
  listeners:
    - {name: one, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
    - {name: one, direction: inbound, bind: 0.0.0.0:15007, target: 127.0.0.1:8081}
  --- sidecar.yaml:3:12: listeners[1].name: "one" is the name of listeners[0] (line 2); expected another name
  === same bind
  listeners:
    - {name: one, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
    - {name: two, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8081}
  --- sidecar.yaml:3:43: listeners[1].bind: 0.0.0.0:15006 is taken by listeners[0].bind (0.0.0.0:15006, line 2); expected another port
  === wildcard bind
  listeners:
    - {name: one, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
    - {name: two, direction: inbound, bind: 127.0.0.1:15006, target: 127.0.0.1:8081}
  --- sidecar.yaml:3:43: listeners[1].bind: 127.0.0.1:15006 is taken by listeners[0].bind (0.0.0.0:15006, line 2); expected another port
  === dual-stack bind
  listeners:
    - {name: one, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
    - {name: two, direction: inbound, bind: "[::]:15006", target: 127.0.0.1:8081}
  --- sidecar.yaml:3:43: listeners[1].bind: [::]:15006 is taken by listeners[0].bind (0.0.0.0:15006, line 2); expected another port
  === listener on the admin port
  listeners:
    - {name: app, direction: inbound, bind: 127.0.0.1:15000, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:43: listeners[0].bind: 127.0.0.1:15000 is taken by admin.bind (127.0.0.1:15000, its default); expected another port
  === listener on the metrics port
  listeners:
    - {name: app, direction: inbound, bind: 127.0.0.1:15020, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:43: listeners[0].bind: 127.0.0.1:15020 is taken by metrics.bind (0.0.0.0:15020, its default); expected another port
  === metrics on the admin port
  metrics: {bind: 0.0.0.0:15000}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: 0.0.0.0:15000 is taken by admin.bind (127.0.0.1:15000, its default); expected another port
  === admin on a listener
  admin: {bind: 127.0.0.1:15006}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:15: admin.bind: 127.0.0.1:15006 is taken by listeners[0].bind (0.0.0.0:15006, line 2); expected another port
  === admin remote
  admin: {bind: 0.0.0.0:15000}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:15: admin.bind: 0.0.0.0:15000 can be reached from other hosts, which could stop this proxy; expected a loopback address such as 127.0.0.1:15000, or admin.allowRemote: true
  === deadline before grace
  drain:
    grace: 30s
    deadline: 10s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:3:13: drain.deadline: connections are cut after 10s, but accepted until 30s (drain.grace); expected a deadline of at least 30s
  === grace after the default deadline
  drain: {grace: 1m}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:16: drain.deadline: connections are cut after 30s, but accepted until 1m (drain.grace); expected a deadline of at least 1m
  === strict without identity
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: strict}
  --- sidecar.yaml:3:11: listeners[0].tls: strict needs a certificate, and there is no identity; expected identity with certificate, privateKey and trustBundle, or tls: off
  === permissive without identity
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: permissive}
  --- sidecar.yaml:3:11: listeners[0].tls: permissive needs a certificate, and there is no identity; expected identity with certificate, privateKey and trustBundle, or tls: off
  === mesh strict without identity
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{destinations: [10.0.0.0/8], tls: strict}]}
  --- sidecar.yaml:3:47: listeners[0].mesh[0].tls: strict needs a certificate, and there is no identity; expected identity with certificate, privateKey and trustBundle, or tls: off
  === mesh default without identity
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{destinations: [10.0.0.0/8]}]}
  --- sidecar.yaml:3:13: listeners[0].mesh[0].tls: strict needs a certificate, and there is no identity; expected identity with certificate, privateKey and trustBundle, or tls: off
  === allow on outbound
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       allow: [{ports: [80]}]}
  --- sidecar.yaml:4:13: listeners[0].allow: allow rules are for peers that call the app, and this listener is outbound; expected mesh rules, or direction: inbound
  === mesh on inbound
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       mesh: [{tls: strict}]}
  --- sidecar.yaml:4:12: listeners[0].mesh: mesh rules are for what the app calls, and this listener is inbound; expected allow rules, or direction: outbound
  === tls on outbound
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       tls: strict}
  --- sidecar.yaml:4:11: listeners[0].tls: the app connects to an outbound listener in the clear; expected mesh rules with tls: strict, which say where TLS begins
  === permissive on outbound
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: db.svc:5432,
       tls: permissive}
  --- sidecar.yaml:4:11: listeners[0].tls: the app connects to an outbound listener in the clear; expected mesh rules with tls: strict, which say where TLS begins
  === principals without tls
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: off,
       allow: [{principals: ["spiffe://a/b"]}]}
  --- sidecar.yaml:4:27: listeners[0].allow[0].principals: a peer proves its principal by TLS, and this listener has tls: off; expected tls: strict, or a rule without principals
  === mesh principals without tls
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: original-destination,
       mesh: [{tls: off, principals: ["spiffe://a/b"]}]}
  --- sidecar.yaml:4:36: listeners[0].mesh[0].principals: the other side proves its principal by TLS, and this rule has tls: off; expected tls: strict, or a rule without principals
  === mesh with a Unix target
  identity: {certificate: /tls/tls.crt, privateKey: /tls/tls.key, trustBundle: /tls/ca.crt}
  listeners:
    - {name: out, direction: outbound, bind: 127.0.0.1:15001, target: unix:/run/a.sock,
       mesh: [{tls: strict}]}
  --- sidecar.yaml:4:12: listeners[0].mesh: mesh rules match addresses, and the target is a Unix socket; expected target: original-destination or host:port
  === allow port that is not the target's
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       allow: [{ports: [80, 443]}]}
  --- sidecar.yaml:3:22: listeners[0].allow[0].ports: no port of the rule is the target's (127.0.0.1:8080), so it never matches; expected 8080
  === allow port with a Unix target
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: unix:/run/a.sock,
       allow: [{ports: [80]}]}
  --- sidecar.yaml:3:22: listeners[0].allow[0].ports: the target is a Unix socket and has no port, so the rule never matches; expected a rule without ports
  === loop
  listeners:
    - {name: app, direction: inbound, bind: 127.0.0.1:8080, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:67: listeners[0].target: 127.0.0.1:8080 leads back to this listener (bind: 127.0.0.1:8080); expected the app's own port
  === loop through a wildcard
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:8080, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:65: listeners[0].target: 127.0.0.1:8080 leads back to this listener (bind: 0.0.0.0:8080); expected the app's own port
  === loop through a dual-stack wildcard
  listeners:
    - {name: app, direction: inbound, bind: "[::]:8080", target: 127.0.0.1:8080}
  --- sidecar.yaml:2:64: listeners[0].target: 127.0.0.1:8080 leads back to this listener (bind: [::]:8080); expected the app's own port
  === loop by name
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: localhost:15006}
  --- sidecar.yaml:2:66: listeners[0].target: localhost:15006 leads back to this listener (bind: 0.0.0.0:15006); expected the app's own port
  === loop by way of others
  listeners:
    - {name: a, direction: inbound, bind: 127.0.0.1:8001, target: 127.0.0.1:8002}
    - {name: b, direction: inbound, bind: 0.0.0.0:8002, target: localhost:8003}
    - {name: c, direction: inbound, bind: 127.0.0.1:8003, target: 127.0.0.1:8002}
    - {name: d, direction: inbound, bind: 127.0.0.1:8004, target: 127.0.0.1:8005}
    - {name: e, direction: inbound, bind: 127.0.0.1:8005, target: 127.0.0.1:8006}
  --- sidecar.yaml:3:63: listeners[1].target: localhost:8003 leads back to this listener by way of listeners[2]; expected the app's own port
  --- sidecar.yaml:4:65: listeners[2].target: 127.0.0.1:8002 leads back to this listener by way of listeners[1]; expected the app's own port
  === unreadable identity, still an identity
  identity: {certificate: a, privateKey: /b, trustBundle: /c}
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: strict}
  --- sidecar.yaml:1:25: identity.certificate: "a" is a relative path; expected an absolute path such as /var/run/sidecar/tls/tls.crt
  """#)
