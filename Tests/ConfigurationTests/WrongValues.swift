// Cases for `WrongConfigurationTests`: values of the scalars, and keys. The form is that of `ConfigurationCase`.

let wrongValues = ConfigurationCase.table(
  #"""
  === unknown key
  workrs: 4
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:1: unknown key "workrs"; expected workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners; did you mean workers?
  === unknown key without likeness
  flux: 4
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:1: unknown key "flux"; expected workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners
  === unknown key in a section
  timeouts:
    conect: 5s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:2:3: timeouts: unknown key "conect"; expected connect, handshake, detect, idle or halfClose; did you mean connect?
  === other spelling
  timeouts:
    half_close: 5s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:2:3: timeouts: unknown key "half_close"; expected connect, handshake, detect, idle or halfClose; did you mean halfClose?
  === key of a section at the root
  connect: 5s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:1: unknown key "connect"; expected workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners; did you mean timeouts.connect?
  === another proxy's word
  concurrency: 4
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:1: unknown key "concurrency"; expected workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners; did you mean workers?
  === another proxy's word in identity
  identity: {cert: /a, key: /b, ca: /c}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:12: identity: unknown key "cert"; expected certificate, privateKey, trustBundle or alpn; did you mean certificate?
  --- sidecar.yaml:1:22: identity: unknown key "key"; expected certificate, privateKey, trustBundle or alpn; did you mean privateKey?
  --- sidecar.yaml:1:31: identity: unknown key "ca"; expected certificate, privateKey, trustBundle or alpn; did you mean trustBundle?
  === case
  accesslog: {format: json}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:1: unknown key "accesslog"; expected workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners; did you mean accessLog?
  === several mistakes at once
  workers: 0
  engine: uring
  timeouts: {connect: 5, idle: -1s}
  log: {level: verbose}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: 0 is out of range; expected auto or a whole number from 1 to 256
  --- sidecar.yaml:2:9: engine: "uring" is unknown; expected auto, io_uring or epoll; did you mean io_uring?
  --- sidecar.yaml:3:21: timeouts.connect: "5" has no unit; expected a duration such as 250ms, 5s, 1m30s or 1h; did you mean 5s?
  --- sidecar.yaml:3:30: timeouts.idle: "-1s" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h
  --- sidecar.yaml:4:14: log.level: "verbose" is unknown; expected debug, info, warning or error
  === section as a word
  timeouts: 5s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:11: timeouts: "5s" can't stand here; expected a mapping with connect, handshake, detect, idle or halfClose
  === section as a list
  drain:
    - grace: 5s
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:2:3: drain: a list can't stand here; expected a mapping with grace or deadline
  === scalar as a list
  workers: [1, 2]
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: a list can't stand here; expected auto or a whole number from 1 to 256
  === scalar as a mapping
  engine: {name: epoll}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:9: engine: a mapping can't stand here; expected auto, io_uring or epoll
  === missing value
  log:
    level:
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:2:9: log.level: the value is missing; expected debug, info, warning or error
  === tilde
  workers: ~
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: the value is missing; expected auto or a whole number from 1 to 256
  === identity without content
  identity:
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: identity: the value is missing; expected certificate, privateKey and trustBundle, or no identity at all
  === workers zero
  workers: 0
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: 0 is out of range; expected auto or a whole number from 1 to 256
  === workers many
  workers: 257
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: 257 is out of range; expected auto or a whole number from 1 to 256
  === workers fraction
  workers: 1.5
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: "1.5" is not a number; expected auto or a whole number from 1 to 256
  === workers negative
  workers: -1
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: "-1" is not a number; expected auto or a whole number from 1 to 256
  === workers quoted
  workers: "4"
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: "4" is a text, not a number; expected auto or a whole number from 1 to 256; did you mean 4 without quotes?
  === workers misspelled
  workers: atuo
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: "atuo" is not a number; expected auto or a whole number from 1 to 256; did you mean auto?
  === workers huge
  workers: 99999999999999999999999
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: 99999999999999999999999 is out of range; expected auto or a whole number from 1 to 256
  === engine
  engine: iouring
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:9: engine: "iouring" is unknown; expected auto, io_uring or epoll; did you mean io_uring?
  === engine unlike
  engine: kqueue
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:9: engine: "kqueue" is unknown; expected auto, io_uring or epoll
  === connections
  limits: {connections: 0}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:23: limits.connections: 0 is out of range; expected a whole number from 1 to 1000000
  === connections with a suffix
  limits: {connections: 10k}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:23: limits.connections: "10k" is not a number; expected a whole number from 1 to 1000000
  === connections with a separator
  limits: {connections: 10_000}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:23: limits.connections: "10_000" is not a number; expected a whole number from 1 to 1000000
  === duration without unit
  timeouts: {connect: 5}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: "5" has no unit; expected a duration such as 250ms, 5s, 1m30s or 1h; did you mean 5s?
  === duration with a word
  timeouts: {connect: 5 sec}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: "5 sec" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h; did you mean 5s?
  === duration in days
  timeouts: {idle: 1d}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: "1d" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h; did you mean 24h?
  === duration with a fraction
  timeouts: {connect: 1.5s}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: "1.5s" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h
  === duration negative
  drain: {grace: -5s}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:16: drain.grace: "-5s" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h
  === duration in the wrong order
  timeouts: {connect: 5s1m}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: "5s1m" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h
  === duration twice the unit
  timeouts: {connect: 1s2s}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: "1s2s" is not a duration; expected a duration such as 250ms, 5s, 1m30s or 1h
  === duration too long
  timeouts: {idle: 9000h}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: 9000h is out of range; expected 0s to 8760h
  === duration overflow
  timeouts: {idle: 18446744073709551615h}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: "18446744073709551615h" is too long; expected a duration such as 250ms, 5s, 1m30s or 1h
  === duration overflow in sum
  timeouts: {idle: 9007199254740991ms}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: 9007199254740991ms is out of range; expected 0s to 8760h
  === connect never
  timeouts: {connect: 0s}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: 0s is out of range; expected 1ms to 1h
  === connect too long
  timeouts: {connect: 2h}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: timeouts.connect: 2h is out of range; expected 1ms to 1h
  === idle off
  timeouts: {idle: off}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: "off" is not a duration; expected a duration, or 0s for no limit; did you mean 0s?
  === idle zero
  timeouts: {idle: 0}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:18: timeouts.idle: "0" is not a duration; expected a duration, or 0s for no limit; did you mean 0s?
  === admin name
  admin: {bind: localhost:15000}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:15: admin.bind: "localhost" is a name; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 127.0.0.1:15000?
  === admin port only
  admin: {bind: 15000}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:15: admin.bind: "15000" has no address; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 127.0.0.1:15000?
  === metrics colon port
  metrics: {bind: ":15020"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: ":15020" has no address; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 0.0.0.0:15020 or 127.0.0.1:15020?
  === metrics star
  metrics: {bind: "*:15020"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "*:15020" has no address; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 0.0.0.0:15020?
  === metrics without port
  metrics: {bind: 0.0.0.0}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "0.0.0.0" has no port; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === metrics IPv6 without brackets
  metrics: {bind: "::1:15020"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "::1:15020" has an IPv6 address without brackets; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean "[::1]:15020"?
  === metrics IPv6 without port
  metrics: {bind: "[::1]"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "[::1]" has no port; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === metrics bare IPv6
  metrics: {bind: "::"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "::" has no port; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === metrics scope
  metrics: {bind: "[fe80::1%eth0]:15020"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "[fe80::1%eth0]:15020" has a scope identifier, which is not supported; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === metrics IPv4 in brackets
  metrics: {bind: "[127.0.0.1]:15020"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "[127.0.0.1]:15020" has an IPv4 address in brackets; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 127.0.0.1:15020?
  === metrics octet
  metrics: {bind: 127.0.0.256:15020}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "127.0.0.256" is not an IPv4 address; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === metrics port range
  metrics: {bind: 127.0.0.1:65536}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: port 65536 is out of range; expected 1 to 65535
  === metrics port zero
  metrics: {bind: 127.0.0.1:0}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: port 0 is out of range; expected 1 to 65535
  === metrics URL
  metrics: {bind: "http://127.0.0.1:15020/metrics"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:17: metrics.bind: "http://127.0.0.1:15020/metrics" is a URL; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"; did you mean 127.0.0.1:15020?
  === admin boolean
  admin: {allowRemote: yes}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: admin.allowRemote: "yes" is unknown; expected true or false; did you mean true?
  === admin boolean nonsense
  admin: {allowRemote: maybe}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: admin.allowRemote: "maybe" is unknown; expected true or false
  === relative path
  accessLog: {path: log/access.log}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:19: accessLog.path: "log/access.log" is a relative path; expected an absolute path such as /dev/stdout
  === empty path
  accessLog: {path: ""}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:19: accessLog.path: the path is empty; expected an absolute path such as /dev/stdout
  === directory
  accessLog: {path: /var/log/}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:19: accessLog.path: "/var/log/" is a directory; expected an absolute path such as /dev/stdout
  === control character in a path
  accessLog: {path: "/var/log/a\0b"}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:19: accessLog.path: "/var/log/a\x00b" has a control character in it; expected an absolute path such as /dev/stdout
  === access log format
  accessLog: {format: jsn}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: accessLog.format: "jsn" is unknown; expected json, text or off; did you mean json?
  === access log false
  accessLog: {format: false}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:21: accessLog.format: "false" is unknown; expected json, text or off; did you mean off?
  === log size without a unit
  accessLog: {maxSize: 100}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "100" has no unit; expected a size such as 512KiB, 100MiB or 1GiB
  === log size as Kubernetes writes it
  accessLog: {maxSize: 100Mi}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "100Mi" is not a size; expected a size such as 512KiB, 100MiB or 1GiB; did you mean 100MiB?
  === log size as Docker writes it
  accessLog: {maxSize: 10m}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "10m" is not a size; expected a size such as 512KiB, 100MiB or 1GiB; did you mean 10MiB?
  === log size in decimal units
  accessLog: {maxSize: 1 GB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "1 GB" is not a size; expected a size such as 512KiB, 100MiB or 1GiB; did you mean 1GiB?
  === log size with a fraction
  accessLog: {maxSize: 1.5GiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "1.5GiB" is not a size; expected a size such as 512KiB, 100MiB or 1GiB
  === log size in other units
  accessLog: {maxSize: 3 metres}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "3 metres" is not a size; expected a size such as 512KiB, 100MiB or 1GiB
  === log size negative
  accessLog: {maxSize: -1MiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "-1MiB" is not a size; expected a size such as 512KiB, 100MiB or 1GiB
  === log size off
  accessLog: {maxSize: off}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "off" is not a size; expected a size, or 0 for no limit; did you mean 0?
  === log size too small
  accessLog: {maxSize: 63KiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: 63KiB is out of range; expected 64KiB to 1024GiB, or 0 for no limit
  === log size too large
  accessLog: {maxSize: 1025GiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: 1025GiB is out of range; expected 64KiB to 1024GiB, or 0 for no limit
  === log size beyond everything
  accessLog: {maxSize: 99999999999999999999GiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "99999999999999999999GiB" is not a size; expected a size such as 512KiB, 100MiB or 1GiB
  === log size that would overflow
  accessLog: {maxSize: 17179869184GiB}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:22: accessLog.maxSize: "17179869184GiB" is too large; expected a size such as 512KiB, 100MiB or 1GiB
  === a single log file
  accessLog: {maxFiles: 1}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:23: accessLog.maxFiles: 1 is out of range; expected a whole number from 2 to 100
  === log level
  log: {level: warn}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:14: log.level: "warn" is unknown; expected debug, info, warning or error; did you mean warning?
  === log level unlike
  log: {level: trace}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:14: log.level: "trace" is unknown; expected debug, info, warning or error
  === alpn empty
  identity: {certificate: /a, privateKey: /b, trustBundle: /c, alpn: ""}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:68: identity.alpn: "" is not a protocol name; expected 1 to 255 visible ASCII characters; did you mean sidecar-proxy/1?
  === alpn space
  identity: {certificate: /a, privateKey: /b, trustBundle: /c, alpn: a b}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:68: identity.alpn: "a b" is not a protocol name; expected 1 to 255 visible ASCII characters; did you mean sidecar-proxy/1?
  === identity incomplete
  identity:
    certificate: /tls/tls.crt
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:2:3: identity: the keys privateKey and trustBundle are missing; expected certificate, privateKey and trustBundle
  === identity relative
  identity: {certificate: tls.crt, privateKey: /b, trustBundle: /c}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:25: identity.certificate: "tls.crt" is a relative path; expected an absolute path such as /var/run/sidecar/tls/tls.crt
  """#)
