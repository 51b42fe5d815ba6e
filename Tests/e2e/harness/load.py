"""Requests without end from the app of a pod, and the count of what came back; Tests/e2e/app/load.py makes them."""

import json

# What nginx.conf serves there.
SMALL, SMALL_LENGTH = "/hello", 19
SLOW, SLOW_LENGTH = "/slow", 200_000


class Load:
    """Begins at once. `keep_alive`: a connection serves many requests; otherwise each has its own."""

    def __init__(self, pod, url, length, clients=4, keep_alive=False):
        command = ["load", url, str(length), "--clients", str(clients)]
        self._process = pod.app.start_program(*command, *(["--keep-alive"] if keep_alive else []))

    def await_first(self):
        """Waits until a request has succeeded."""
        line = self._process.stdout.readline()
        if line.strip() != "started":
            raise AssertionError(f"the load didn't start: {line}{self._process.stdout.read()}")

    def stop_asking(self):
        """Lets what has begun finish, without waiting for it."""
        self._process.stdin.close()

    def stop(self):
        """Lets what has begun finish, and returns the report."""
        self.stop_asking()
        output = self._process.stdout.read()
        self._process.wait()
        return json.loads(output.splitlines()[-1])

    def abandon(self):
        """Ends it wherever it is, and does nothing to one that has ended."""
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
