"""Measures one connection's round trips, quiet and beside a flood of handshakes, in turn. Called by run.sh."""

import os
import socket
import ssl
import sys
import threading
import time

directory, app_port, port, handshakes, rounds = sys.argv[1], *map(int, sys.argv[2:])
FLOODERS = 4


def serve_echo():
    listener = socket.create_server(("127.0.0.1", app_port), backlog=1024)

    def echo(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def connect():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # its name is a SPIFFE ID
    context.load_verify_locations(f"{directory}/ca.crt")
    context.load_cert_chain(f"{directory}/client.crt", f"{directory}/client.key")
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(connection)


def fork(body):
    pid = os.fork()
    if pid == 0:
        body()
        os._exit(0)
    return pid


def flood():
    os.nice(19)
    for _ in range(handshakes // FLOODERS):
        connection = connect()
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


echo = fork(serve_echo)
try:
    for _ in range(100):
        try:
            connection = connect()
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            break
        except OSError:  # not listening yet
            time.sleep(0.05)
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
    os.kill(echo, 9)
