#!/usr/bin/env python3
"""Asks an HTTP server for the same thing over and over, and counts what came back whole.

Usage: load URL LENGTH [--clients N] [--keep-alive]

LENGTH is how many bytes the body of each answer must have. It goes on until its standard input ends, lets the requests
finish that have begun, and prints a report in JSON. The first request that succeeds is announced by the line "started";
where there is none within TIMEOUT seconds, it gives up.

With --keep-alive a connection is used until the server closes it. Where it does that between two requests, the next
request is sent again on a new connection, as HTTP clients do (RFC 9110, section 9.2.2), and counted as resent. Anything
else that isn't the whole answer is a failure.
"""

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse

TIMEOUT = 20
# After a failure, so that a server that is away isn't flooded with attempts.
PAUSE = 0.02


class Report:
    def __init__(self):
        self.lock = threading.Lock()
        self.started = threading.Event()
        self.succeeded = 0
        self.resent = 0
        self.failures = []
        self.succeeded_since_failure = 0

    def success(self):
        with self.lock:
            self.succeeded += 1
            self.succeeded_since_failure += 1
        self.started.set()

    def failure(self, reason):
        with self.lock:
            self.failures.append(reason)
            self.succeeded_since_failure = 0

    def text(self):
        return json.dumps({
            "succeeded": self.succeeded, "resent": self.resent, "failed": len(self.failures),
            "reasons": sorted(set(self.failures)), "succeeded_since_failure": self.succeeded_since_failure,
        })


class Client(threading.Thread):
    def __init__(self, arguments, report, stop):
        super().__init__()
        self.url = urllib.parse.urlsplit(arguments.url)
        self.length = arguments.length
        self.keep_alive = arguments.keep_alive
        self.report = report
        self.stop = stop
        self.connection = None

    def run(self):
        while not self.stop.is_set():
            reused = self.connection is not None
            try:
                self.ask()
                self.report.success()
            except (OSError, http.client.HTTPException) as error:
                self.connection = None
                if reused and isinstance(error, http.client.RemoteDisconnected):
                    with self.report.lock:
                        self.report.resent += 1
                    continue
                self.report.failure(f"{type(error).__name__}: {error}")
                time.sleep(PAUSE)

    def ask(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=TIMEOUT)
        self.connection.request("GET", self.url.path, headers={} if self.keep_alive else {"Connection": "close"})
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200 or len(body) != self.length:
            raise http.client.HTTPException(f"status {response.status}, {len(body)} of {self.length} bytes")
        # http.client would connect again by itself, and hide that the server had closed.
        if not self.keep_alive or response.will_close:
            self.connection.close()
            self.connection = None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("length", type=int)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep-alive", action="store_true")
    arguments = parser.parse_args()
    report, stop = Report(), threading.Event()
    clients = [Client(arguments, report, stop) for _ in range(arguments.clients)]
    for client in clients:
        client.start()
    if report.started.wait(TIMEOUT):
        print("started", flush=True)
        sys.stdin.read()
    stop.set()
    for client in clients:
        client.join()
    print(report.text())


if __name__ == "__main__":
    main()
