"""Measures one connection's round trips, quiet and beside a flood of handshakes, in turn. Called by run.sh."""

import os
import socket
import ssl
import sys
import time

directory = sys.argv[1]
app_port, port, flooded_app_port, flooded_port, handshakes, rounds = map(int, sys.argv[2:])
FLOODERS = 4


def serve(at, messages):
    """Serves one connection after the other, each for so many messages at the most, which go back."""
    listener = socket.create_server(("127.0.0.1", at), backlog=1024)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            left = messages
            while left > 0 and (data := connection.recv(4096)):
                connection.sendall(data)
                left -= 1


# Made once: reading the files for each connection would take longer than its handshake, and so slow the flood down.
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False  # its name is a SPIFFE ID
context.load_verify_locations(f"{directory}/ca.crt")
context.load_cert_chain(f"{directory}/client.crt", f"{directory}/client.key")


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(connection)


def fork(body):
    pid = os.fork()
    if pid == 0:
        body()
        os._exit(0)
    return pid


def go_first():
    """Has this process run as soon as it can: what is measured is the sidecar, not the flood's share of our own core."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("not root: the figures have our own core's scheduling in them", file=sys.stderr)


def serve_measured():
    go_first()
    serve(app_port, messages=sys.maxsize)


def serve_flooded():
    serve(flooded_app_port, messages=1)


def flood():
    os.nice(19)
    for _ in range(handshakes // FLOODERS):
        connection = connect(flooded_port)
        connection.sendall(b"x")  # a client is done before the server has judged it
        assert connection.recv(1) == b"x"
        connection.unwrap().close()


def ping(connection, goes_on):
    times = []
    while goes_on(times):
        start = time.perf_counter()
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"
        times.append(time.perf_counter() - start)
    return times


def percentile(times, share):
    return sorted(times)[min(int(len(times) * share), len(times) - 1)] * 1e6


apps = [fork(serve_measured), fork(serve_flooded)]
go_first()
try:
    for _ in range(100):
        try:
            connection = connect(port)
            connection.sendall(b"x")
            if connection.recv(1) == b"x":
                break
        except OSError:
            pass
        time.sleep(0.05)  # the sidecar or the app does not listen yet
    quiet, flooded, seconds = [], [], []
    print("round  quiet p50   p99 us   flooded p50   p99 us   handshakes/s")
    for number in range(rounds):
        quiet_times = ping(connection, lambda times: len(times) < 2000)
        start = time.perf_counter()
        waiting = {fork(flood) for _ in range(FLOODERS)}

        def flood_goes_on(times):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                assert status == 0, "a flooder failed"
                waiting.discard(pid)
            return waiting

        flooded_times = ping(connection, flood_goes_on)
        rate = handshakes / (time.perf_counter() - start)
        row = [percentile(times, share) for times in (quiet_times, flooded_times) for share in (0.5, 0.99)]
        print(f"{number + 1:5}  {row[0]:9.0f} {row[1]:8.0f} {row[2]:13.0f} {row[3]:8.0f} {rate:14.0f}")
        quiet.append(row[1])
        flooded.append(row[3])
    medians = [sorted(values)[len(values) // 2] for values in (quiet, flooded)]
    print(f"median p99: quiet {medians[0]:.0f} us, flooded {medians[1]:.0f} us, ratio {medians[1] / medians[0]:.1f}")
finally:
    for app in apps:
        os.kill(app, 9)
