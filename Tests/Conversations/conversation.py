"""The tables of conversations, and how one is carried out and judged.

A conversation is a function that gets a peer and misbehaves, or behaves oddly. Its decorator says what must come of it:
what the sidecar answers, why it says the connection ended, and what its app sees.
"""

import socket
import threading
from dataclasses import dataclass, field

from tls13.client import Client
from tls13.peer import Violation
from tls13.server import Server

CLIENT, SERVER = "client", "server"
TIMEOUT = 60  # seconds; only a failure waits for it
GREETING = b"hello"


@dataclass
class Conversation:
    group: str
    name: str
    act: callable
    roles: tuple
    starts_established: bool
    suites: tuple
    alert: str | None  # that the sidecar sends at the end; None: it is the conversation's own end
    reason: str  # of the connection in the access log
    detail: str
    app_sees: str  # "nothing", "finish" or "reset", after what the peer has said


TABLE = []


def _register(group, name, roles, suites=(None,), **outcome):
    def decorate(act):
        TABLE.append(Conversation(group=group, name=name, act=act, roles=roles, suites=suites, **outcome))
        return act

    return decorate


def group(title, *default_roles):
    """The decorators for a file's conversations."""

    def passes(name, roles=default_roles, suites=(None,)):
        """Odd, but right: data flows afterwards as before, and the connection ends in good order."""
        return _register(
            title, name, roles, suites, starts_established=True, alert=None, reason="closed", detail="-",
            app_sees="finish",
        )

    def enters(name, roles=default_roles, suites=(None,)):
        """An odd handshake that is right: the peer gets in."""
        return _register(
            title, name, roles, suites, starts_established=False, alert=None, reason="closed", detail="-",
            app_sees="finish",
        )

    def breaks(name, detail, alert=..., roles=default_roles, reason="tls_failed"):
        """After the handshake: the sidecar ends the connection, and the app sees that it was cut."""
        return _register(
            title, name, roles, starts_established=True, alert=detail if alert is ... else alert, reason=reason,
            detail=detail, app_sees="reset",
        )

    def refused(name, detail, alert=..., roles=default_roles, reason="tls_handshake_failed"):
        """In the handshake: the sidecar ends the connection, and the app hears nothing of it."""
        return _register(
            title, name, roles, starts_established=False, alert=detail if alert is ... else alert, reason=reason,
            detail=detail, app_sees="nothing",
        )

    return passes, enters, breaks, refused


class App:
    """The sidecar's own app: sends back what it gets, and remembers it with the way in which the connection ended."""

    def __init__(self, connection):
        self.connection = connection
        self.seen, self.ending = b"", None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            while data := self.connection.recv(65536):
                self.seen += data
                self.connection.sendall(data)
            self.ending = "finish"
            self.connection.shutdown(socket.SHUT_WR)
        except (ConnectionResetError, BrokenPipeError, OSError) as error:
            self.ending = self.ending or ("reset" if isinstance(error, ConnectionError) else repr(error))

    def await_end(self):
        self.thread.join(TIMEOUT)
        self.connection.close()
        return self.ending or "no end"


class AppServer:
    """Accepts for the sidecar's app, one connection after the other."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.accepted = []
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(TIMEOUT)
            with self.changed:
                self.accepted.append(App(connection))
                self.changed.notify()

    def take(self):
        """The app's end of the connection that was accepted next."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.accepted, TIMEOUT):
                raise Violation("nothing was connected to the app")
            return self.accepted.pop(0)

    def expect_nobody(self):
        with self.changed:
            if self.accepted:
                raise Violation("something was connected to the app")


@dataclass
class Result:
    name: str
    port: int  # of the connection to the sidecar
    reason: str
    detail: str
    problem: str = "-"


@dataclass
class Stage:
    """What the conversations of one role play on."""

    role: str
    sidecar_port: int
    other_port: int  # of the app in front of an inbound listener, of the upstream behind an outbound one
    credentials: object
    results: list = field(default_factory=list)

    def __post_init__(self):
        if self.role == CLIENT:
            self.app_server = AppServer(self.other_port)
        else:
            self.listener = socket.create_server(("127.0.0.1", self.other_port), backlog=64)
            self.listener.settimeout(TIMEOUT)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.sidecar_port))
        connection.settimeout(TIMEOUT)
        return connection

    def open(self, suite=None):
        """A peer before its first byte."""
        connection = self.connect()
        self.port = connection.getsockname()[1]
        if self.role == CLIENT:
            self.app = None
            peer = Client(connection, self.credentials)
        else:
            self.app = App(connection)
            accepted, _ = self.listener.accept()
            accepted.settimeout(TIMEOUT)
            peer = Server(accepted, self.credentials)
        if suite:
            peer.suite = suite
        peer.stage = self
        return peer

    def establish(self, suite=None):
        peer = self.open(suite)
        if self.role == CLIENT and suite:
            peer.handshake(peer.hello(suites=(suite.code,)))
        else:
            peer.handshake()
        return self.greet(peer)

    def greet(self, peer):
        """The first exchange, after which the app's connection is known to be there."""
        peer.echo(GREETING)
        if self.role == CLIENT:
            self.app = self.app_server.take()
        return peer

    def reopen(self, peer):
        """Ends a first connection in good order and opens a second one, on which the conversation goes on."""
        self.finish(peer)
        return self.open()

    def finish(self, peer):
        """Ends a connection in good order, from the peer's side."""
        peer.echo(b"and a last word")
        peer.close_notify()
        peer.expect_close_notify()
        peer.connection.close()
        self.expect_app(peer, "finish")
        self.note_end()

    def note_end(self):
        """The connection that is open at the moment has ended well."""
        self.results.append(Result("a connection before it", self.port, self.closed_reason, "-"))

    @property
    def closed_reason(self):
        return "downstream_closed" if self.role == CLIENT else "upstream_closed"

    def expect_app(self, peer, ending):
        if ending == "nothing":
            if self.role == CLIENT:
                return self.app_server.expect_nobody()
            # The app of an outbound listener has its connection already; it must not see a clean end.
            ending, peer.said = "reset", b""
        seen = self.app.await_end()
        if self.app.seen != peer.said:
            raise Violation(f"the app got {self.app.seen[:40]!r}, the peer said {peer.said[:40]!r}")
        if seen != ending:
            raise Violation(f"the app saw {seen} in place of {ending}")

    def carry_out(self, conversation, suite):
        name = conversation.name + (f", suite {suite.code:04x}" if suite else "")
        reason = self.closed_reason if conversation.reason == "closed" else conversation.reason
        result = Result(f"{conversation.group}: {name}", 0, reason, conversation.detail)
        peer = None
        try:
            peer = self.establish(suite) if conversation.starts_established else self.open(suite)
            peer = conversation.act(peer) or peer
            if conversation.alert is None:
                self._end_well(conversation, peer)
            else:
                peer.expect_alert(conversation.alert)
                peer.connection.close()
                self.expect_app(peer, conversation.app_sees)
        except (Violation, ValueError, OSError) as error:
            result.problem = f"{type(error).__name__}: {error}"
        finally:
            result.port = self.port
            if peer:
                peer.connection.close()
        self.results.append(result)

    def _end_well(self, conversation, peer):
        if conversation.app_sees == "nothing":
            peer.expect_end()
        elif conversation.app_sees == "finish":
            if not conversation.starts_established:
                self.greet(peer)
            peer.echo(b"still here")
            peer.close_notify()
            peer.expect_close_notify()
        peer.connection.close()
        self.expect_app(peer, conversation.app_sees)
