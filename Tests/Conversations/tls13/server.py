"""A server that asks for a certificate, as an outbound listener's mesh rule wants one."""

import os

from tlslite.keyexchange import ECDHKeyExchange

from .client import (
    ECDSA_P256_SHA256, KEY_SHARE, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS, TLS_1_3, X25519, Credentials, extension,
    integers,
)
from .keys import AES_128, KeySchedule, Protection
from .peer import (
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, HANDSHAKE,
    NEW_SESSION_TICKET, SERVER_HELLO, Peer, Violation, message, plain_record, vector,
)


class Server(Peer):
    role = "server"

    def __init__(self, connection, credentials: Credentials):
        super().__init__(connection, credentials)
        self.suite = AES_128

    # The hello

    def read_hello(self):
        _, body = self.read_message(CLIENT_HELLO)
        position = 34
        self.session_id = body[35 : 35 + body[34]]
        position += 1 + body[34]
        size = int.from_bytes(body[position : position + 2], "big")
        suites = body[position + 2 : position + 2 + size]
        self.offered_suites = {int.from_bytes(suites[at : at + 2], "big") for at in range(0, size, 2)}
        position += 2 + size
        position += 1 + body[position] + 2
        self.offered, rest = {}, body[position:]
        while rest:
            size = int.from_bytes(rest[2:4], "big")
            self.offered[int.from_bytes(rest[:2], "big")] = rest[4 : 4 + size]
            rest = rest[4 + size :]
        shares, self.client_shares = self.offered[KEY_SHARE][2:], {}
        while shares:
            size = int.from_bytes(shares[2:4], "big")
            self.client_shares[int.from_bytes(shares[:2], "big")] = shares[4 : 4 + size]
            shares = shares[4 + size :]

    # Our flight: each message is added to the transcript as it is made

    def server_hello(
        self, version=0x0303, random=None, session_id=None, suite=None, compression=b"\0", group=X25519, replacing=(),
    ):
        exchange = ECDHKeyExchange(X25519, TLS_1_3)
        private = exchange.get_random_private_key()
        self.shared = bytes(exchange.calc_shared_key(private, bytearray(self.client_shares[X25519])))
        extensions = {
            SUPPORTED_VERSIONS: b"\x03\x04",
            KEY_SHARE: integers(2, group) + vector(2, bytes(exchange.calc_public_value(private))),
        }
        extensions.update(replacing)
        body = integers(2, version) + (random or os.urandom(32))
        body += vector(1, self.session_id if session_id is None else session_id)
        body += integers(2, suite or self.suite.code) + compression
        pairs = [(kind, value) for kind, value in extensions.items() if value is not None]
        return self.adding(message(SERVER_HELLO, body + vector(2, b"".join(extension(*pair) for pair in pairs))))

    def derive_handshake_keys(self):
        self.schedule = KeySchedule(self.suite)
        self.schedule.advance(self.shared)
        self.client_secret = self.schedule.derive("c hs traffic", self.transcript)
        self.server_secret = self.schedule.derive("s hs traffic", self.transcript)
        self.receiving = Protection(self.suite, self.client_secret)
        # libssl's client seals from its own flight on, and nothing before.
        self.takes_clear_alerts = True
        self.sending = Protection(self.suite, self.server_secret)

    def encrypted_extensions(self, pairs=()):
        return self.adding(message(ENCRYPTED_EXTENSIONS, vector(2, b"".join(extension(*pair) for pair in pairs))))

    def certificate_request(self, context=b""):
        algorithms = extension(SIGNATURE_ALGORITHMS, vector(2, integers(2, ECDSA_P256_SHA256)))
        return self.adding(message(CERTIFICATE_REQUEST, vector(1, context) + vector(2, algorithms)))

    def certificate(self, **options):
        return self.adding(self.credentials.certificate_message(**options))

    def certificate_verify(self, role="server", **options):
        digest = self.suite.digest(self.transcript)
        return self.adding(message(CERTIFICATE_VERIFY, self.credentials.sign(role, digest, **options)))

    def finished(self):
        return self.adding(message(FINISHED, self.suite.finished(self.server_secret, self.transcript)))

    def flight(self):
        parts = (self.encrypted_extensions, self.certificate_request, self.certificate, self.certificate_verify)
        return b"".join(part() for part in parts) + self.finished()

    def adding(self, made):
        self.transcript += made
        return made

    def flight_is_sent(self):
        """What is sealed from here on is sealed under the keys of the application."""
        self.schedule.advance()
        self.client_application = self.schedule.derive("c ap traffic", self.transcript)
        self.sending = Protection(self.suite, self.schedule.derive("s ap traffic", self.transcript))

    def read_client_flight(self):
        self.read_message(CERTIFICATE)
        self.read_message(CERTIFICATE_VERIFY)
        before = self.transcript
        _, verify_data = self.read_message(FINISHED)
        if verify_data != self.suite.finished(self.client_secret, before):
            raise Violation("the client's Finished is wrong")
        self.receiving = Protection(self.suite, self.client_application)
        self.takes_clear_alerts = False

    # All of it

    def reach_flight(self, **options):
        """Up to where it is our turn to prove who we are."""
        self.read_hello()
        self.send(plain_record(HANDSHAKE, self.server_hello(**options)))
        self.derive_handshake_keys()

    def handshake(self):
        self.reach_flight()
        self.send(self.seal(HANDSHAKE, self.flight()))
        self.flight_is_sent()
        self.read_client_flight()

    def ticket(self, identity=b"a ticket", nonce=b"\0", lifetime=3600, extensions=b""):
        """A NewSessionTicket message. Nobody here redeems it."""
        body = integers(4, lifetime, 7) + vector(1, nonce) + vector(2, identity) + vector(2, extensions)
        return message(NEW_SESSION_TICKET, body)
