// Cases for `WrongConfigurationTests`: what isn't the YAML that a configuration may be written in. The form is that of `ConfigurationCase`.

let wrongSyntax = ConfigurationCase.table(
  #"""
  === empty file
  --- sidecar.yaml: nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080
  === comments alone
  # nothing
  --- sidecar.yaml: nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080
  === a word
  hello
  --- sidecar.yaml:1:1: "hello" can't stand here; expected a mapping with workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners
  === a list
  - workers
  --- sidecar.yaml:1:1: a list can't stand here; expected a mapping with workers, engine, confinement, identity, timeouts, drain, limits, admin, metrics, accessLog, log or listeners
  === tab indentation
  timeouts:
  ⇥connect: 5s
  --- sidecar.yaml:2:1: not valid YAML: a tab stands where only spaces may indent; replace it with spaces
  === tab after a value
  timeouts:
    connect: 5s
  ⇥idle: 1h
  --- sidecar.yaml:3:1: not valid YAML: a tab stands where only spaces may indent; replace it with spaces
  === unquoted IPv6
  metrics:
    bind: [::]:15020
  --- sidecar.yaml:2:10: not valid YAML: an IPv6 address needs quotes, since [ begins a list; expected for example "[::1]:8080"
  === unquoted IPv6 with a group
  metrics:
    bind: [fd00::1]:15020
  --- sidecar.yaml:2:18: not valid YAML: an IPv6 address needs quotes, since [ begins a list; expected for example "[::1]:8080"
  === unquoted IPv6 in a flow mapping
  metrics: {bind: [::1]:15020}
  --- sidecar.yaml:1:18: not valid YAML: an IPv6 address needs quotes, since [ begins a list; expected for example "[::1]:8080"
  === second colon
  admin:
    bind: a: b
  --- sidecar.yaml:2:10: not valid YAML: ": " stands inside a value; check the indentation, the space after each colon of this line and the one before, and put a text with a colon in quotes
  === missing space after a colon
  workers:4
  engine: epoll
  --- sidecar.yaml:2:7: not valid YAML: ": " stands inside a value; check the indentation, the space after each colon of this line and the one before, and put a text with a colon in quotes
  === wrong indentation
  timeouts:
    connect: 5s
   idle: 1h
  --- sidecar.yaml:3:2: not valid YAML: this line is indented differently from the lines that it belongs to
  === list and mapping mixed
  - workers
  engine: auto
  --- sidecar.yaml:2:1: not valid YAML: this line is indented differently from the lines that it belongs to
  === unclosed quote
  log:
    level: "info
    format: text
  --- sidecar.yaml:2:10: not valid YAML: the quote that opens here is never closed
  === unclosed bracket
  accessLog: {path: /dev/stdout
  workers: 1
  --- sidecar.yaml:2:8: not valid YAML: the list or mapping that was opened before isn't closed; expected "," or the closing bracket
  === a star
  metrics:
    bind: *:15020
  --- sidecar.yaml:2:10: not valid YAML: * and & have a meaning of their own at the start of a value; put the text in quotes
  === an at sign
  workers: @4
  --- sidecar.yaml:1:10: not valid YAML: a value can't begin with "@"; put the text in quotes
  === a percent sign
  workers: %4
  --- sidecar.yaml:1:10: not valid YAML: a value can't begin with "%"; put the text in quotes
  === alias
  log: &log
    level: info
  admin: *log
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:6: anchors are not supported; write the value out (or quote a text that begins with &)
  --- sidecar.yaml:3:8: aliases are not supported; write the value out (or quote a text that begins with *)
  === merge key
  log: &log {level: info}
  admin:
    <<: *log
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:6: anchors are not supported; write the value out (or quote a text that begins with &)
  --- sidecar.yaml:3:3: admin: unknown key "<<"; expected bind or allowRemote
  --- sidecar.yaml:3:7: aliases are not supported; write the value out (or quote a text that begins with *)
  === tag
  workers: !!int 4
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: tags are not supported; remove the tag (or quote a text that begins with !)
  === two documents
  workers: 1
  ---
  workers: 2
  --- sidecar.yaml:2:1: a second YAML document begins here; expected only one
  === duplicate key
  workers: 1
  engine: auto
  workers: 2
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:3:1: the key "workers" appears twice, first at line 1; remove one of them
  === duplicate key in a section
  timeouts:
    idle: 1h
    connect: 1s
    idle: 2h
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:4:3: the key "idle" appears twice, first at line 2; remove one of them
  === unexpanded template
  workers: {{ .Values.workers }}
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:10: workers: a mapping can't stand here; expected auto or a whole number from 1 to 256
  --- sidecar.yaml:1:11: a mapping can't be a key; expected a word: is a text not quoted?
  === merge conflict
  <<<<<<< HEAD
  workers: 1
  =======
  workers: 2
  >>>>>>> other
  --- sidecar.yaml:2:8: not valid YAML: the file holds an unresolved merge conflict (<<<<<<<)
  === YAML 2
  %YAML 2.0
  ---
  workers: 1
  --- sidecar.yaml:1:1: not valid YAML: found incompatible YAML document
  === bad escape
  log: {level: "\q"}
  --- sidecar.yaml:1:15: not valid YAML: found unknown escape character
  === a list as a key
  ? [a, b]
  : c
  listeners: [{name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}]
  --- sidecar.yaml:1:3: a list can't be a key; expected a word: is a text not quoted?
  === text after the end
  workers: 1
  ...
  engine
  --- sidecar.yaml:3:1: not valid YAML: did not find expected <document start>
  """#)
