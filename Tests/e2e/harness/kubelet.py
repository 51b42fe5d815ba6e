"""What the kubelet does to a pod and Podman 4.3 doesn't: the order in which containers start, and that of the signals.

The orders are those of the Kubernetes documentation, "Pod Lifecycle" (Termination of Pods) and "Sidecar Containers".
"""


def start_plain(pod):
    """Containers in the order of the manifest; the next one when the postStart hook of the one before has returned."""
    start_init(pod)
    pod.sidecar.start()
    pod.sidecar.run("sidecar-proxy", "wait")
    pod.app.start()


def start_native(pod):
    """Init containers in their order; after a sidecar's startup probe has succeeded, the app."""
    start_init(pod)
    pod.sidecar.start()
    pod.await_ready()
    pod.app.start()


def start_init(pod):
    pod.init.start()
    code = pod.init.await_end()
    if code != 0:
        raise AssertionError(f"{pod.init.name}: exit {code}\n{pod.init.last_words}")


def terminate_native(pod, pre_stop):
    """The app's preStop hook, its stop signal, its end; only then the sidecar's signal. Returns both exit codes."""
    pre_stop()
    pod.app.signal("QUIT")
    app = pod.app.await_end()
    return app, end_sidecar(pod)


def terminate_plain(pod, pre_stop):
    """The sidecar gets its signal while the app is in its preStop hook. Returns both exit codes."""
    pod.sidecar.signal("TERM")
    pre_stop()
    pod.app.signal("QUIT")
    return pod.app.await_end(), pod.sidecar.await_end()


def end_sidecar(pod):
    """What a native sidecar gets when no other container runs any more."""
    pod.sidecar.signal("TERM")
    return pod.sidecar.await_end()
