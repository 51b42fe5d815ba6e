// Cases for `WrongConfigurationTests`: the list of listeners and the keys of a listener. The form is that of `ConfigurationCase`.

let wrongListeners = ConfigurationCase.table(
  #"""
  === no listeners
  workers: 2
  --- sidecar.yaml: nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080
  === listeners empty
  listeners: []
  --- sidecar.yaml:1:1: nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080
  === listeners null
  listeners:
  workers: 1
  --- sidecar.yaml:1:1: nothing to listen on; expected listeners in the file, or --forward 127.0.0.1:9000=127.0.0.1:8080
  === listeners mapping
  listeners:
    name: app
  --- sidecar.yaml:2:3: listeners: a mapping is not a list; expected a list of listeners, each after a "- "
  === listeners word
  listeners: app
  --- sidecar.yaml:1:12: listeners: "app" is not a list; expected a list of listeners; did you mean [app]?
  === listener word
  listeners:
    - app
  --- sidecar.yaml:2:5: listeners[0]: "app" can't stand here; expected a mapping with name, direction, bind, target, tls, allow or mesh
  === listener keys missing
  listeners:
    - name: app
  --- sidecar.yaml:2:5: listeners[0]: the keys direction, bind and target are missing; expected name, direction, bind and target
  === listener null
  listeners:
    -
  --- sidecar.yaml:2:4: listeners[0]: the keys name, direction, bind and target are missing; expected name, direction, bind and target
  === unknown key in a listener
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       listen: 0.0.0.0:1}
  --- sidecar.yaml:3:6: listeners[0]: unknown key "listen"; expected name, direction, bind, target, tls, allow or mesh; did you mean bind?
  === misspelled key
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, targte: 127.0.0.1:8080}
  --- sidecar.yaml:2:58: listeners[0]: unknown key "targte"; expected name, direction, bind, target, tls, allow or mesh; did you mean target?
  === name upper case
  listeners:
    - {name: My_App, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:12: listeners[0].name: "My_App" is not a name; expected 1 to 32 characters out of a-z, 0-9 and -; did you mean my-app?
  === name long
  listeners:
    - {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:12: listeners[0].name: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is not a name; expected 1 to 32 characters out of a-z, 0-9 and -
  === name strange
  listeners:
    - {name: app/1, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:12: listeners[0].name: "app/1" is not a name; expected 1 to 32 characters out of a-z, 0-9 and -
  === name missing
  listeners:
    - {name: , direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:12: listeners[0].name: the value is missing; expected 1 to 32 characters out of a-z, 0-9 and -
  === direction
  listeners:
    - {name: app, direction: ingress, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:28: listeners[0].direction: "ingress" is unknown; expected inbound or outbound
  === direction misspelled
  listeners:
    - {name: app, direction: inbond, bind: 0.0.0.0:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:28: listeners[0].direction: "inbond" is unknown; expected inbound or outbound; did you mean inbound?
  === bind name
  listeners:
    - {name: app, direction: inbound, bind: app:15006, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:43: listeners[0].bind: "app" is a name; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === bind without port
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0, target: 127.0.0.1:8080}
  --- sidecar.yaml:2:43: listeners[0].bind: "0.0.0.0" has no port; expected an address and a port such as 127.0.0.1:15006 or "[::1]:15006"
  === target port only
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 8080}
  --- sidecar.yaml:2:66: listeners[0].target: "8080" has no address; expected host:port, unix:/path or original-destination; did you mean 127.0.0.1:8080?
  === target colon port
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: ":8080"}
  --- sidecar.yaml:2:66: listeners[0].target: ":8080" has no address; expected host:port, unix:/path or original-destination; did you mean 127.0.0.1:8080?
  === target port zero
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:0}
  --- sidecar.yaml:2:66: listeners[0].target: port 0 is out of range; expected 1 to 65535
  === target any address
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 0.0.0.0:8080}
  --- sidecar.yaml:2:66: listeners[0].target: 0.0.0.0 is an address to bind, not one to connect to; expected host:port, unix:/path or original-destination; did you mean 127.0.0.1:8080?
  === target any IPv6 address
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: "[::]:8080"}
  --- sidecar.yaml:2:66: listeners[0].target: :: is an address to bind, not one to connect to; expected host:port, unix:/path or original-destination; did you mean "[::1]:8080"?
  === target path
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: /run/app.sock}
  --- sidecar.yaml:2:66: listeners[0].target: "/run/app.sock" is not a target; expected host:port, unix:/path or original-destination; did you mean unix:/run/app.sock?
  === target unix relative
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: unix:app.sock}
  --- sidecar.yaml:2:66: listeners[0].target: "app.sock" is a relative path; expected unix: and an absolute path such as unix:/run/app/app.sock
  === target unix URL
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: unix:///run/app.sock}
  --- sidecar.yaml:2:66: listeners[0].target: "unix:///run/app.sock" has too many slashes; expected unix: and an absolute path such as unix:/run/app/app.sock; did you mean unix:/run/app.sock?
  === target unix abstract
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: "unix:@app"}
  --- sidecar.yaml:2:66: listeners[0].target: abstract Unix sockets belong to a network namespace, not to a volume, and are not supported; expected unix: and an absolute path such as unix:/run/app/app.sock
  === target unix long
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
  --- sidecar.yaml:2:66: listeners[0].target: the path of the Unix socket has 108 bytes; expected at most 107
  === target unix empty
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: "unix:"}
  --- sidecar.yaml:2:66: listeners[0].target: the path is empty; expected unix: and an absolute path such as unix:/run/app/app.sock
  === target original
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: original_destination}
  --- sidecar.yaml:2:66: listeners[0].target: "original_destination" is not a target; expected host:port, unix:/path or original-destination; did you mean original-destination?
  === target original-dst
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: original-dst}
  --- sidecar.yaml:2:66: listeners[0].target: "original-dst" is not a target; expected host:port, unix:/path or original-destination; did you mean original-destination?
  === target URL
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: http://app:8080/}
  --- sidecar.yaml:2:66: listeners[0].target: "http://app:8080/" is a URL; expected host:port, unix:/path or original-destination; did you mean app:8080?
  === target without port
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: app}
  --- sidecar.yaml:2:66: listeners[0].target: "app" has no port; expected host:port, unix:/path or original-destination
  === target name with spaces
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: my app:8080}
  --- sidecar.yaml:2:66: listeners[0].target: "my app" is neither an address nor a name; expected host:port, unix:/path or original-destination
  === target name with a hyphen first
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: "-app:8080"}
  --- sidecar.yaml:2:66: listeners[0].target: "-app" is neither an address nor a name; expected host:port, unix:/path or original-destination
  === target wrong address
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 10.0.0.300:8080}
  --- sidecar.yaml:2:66: listeners[0].target: "10.0.0.300" is not an IPv4 address; expected host:port, unix:/path or original-destination
  === target URL without port
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: http://app/}
  --- sidecar.yaml:2:66: listeners[0].target: "http://app/" is a URL; expected host:port, unix:/path or original-destination
  === tls word
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: on}
  --- sidecar.yaml:3:11: listeners[0].tls: "on" is unknown; expected off, permissive or strict
  === tls no
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: no}
  --- sidecar.yaml:3:11: listeners[0].tls: "no" is unknown; expected off, permissive or strict; did you mean off?
  === tls misspelled
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: stirct}
  --- sidecar.yaml:3:11: listeners[0].tls: "stirct" is unknown; expected off, permissive or strict; did you mean strict?
  === tls null
  listeners:
    - {name: app, direction: inbound, bind: 0.0.0.0:15006, target: 127.0.0.1:8080,
       tls: }
  --- sidecar.yaml:3:11: listeners[0].tls: the value is missing; expected off, permissive or strict
  """#)
