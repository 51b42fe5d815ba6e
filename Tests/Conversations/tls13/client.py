"""A client with a certificate, as a strict listener wants one."""

import hashlib
import os

from ecdsa import SigningKey
from ecdsa.util import sigencode_der
from tlslite.constants import GroupName
from tlslite.keyexchange import ECDHKeyExchange

from .keys import AES_128, SUITES, KeySchedule, Protection
from .peer import (
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CLIENT_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, HANDSHAKE,
    MESSAGE_HASH, SERVER_HELLO, Peer, Violation, message, plain_record, vector,
)

X25519, P256 = GroupName.x25519, GroupName.secp256r1
ECDSA_P256_SHA256 = 0x0403
TLS_1_3 = (3, 4)

SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, ALPN, PADDING, PRE_SHARED_KEY = 10, 13, 16, 21, 41
EARLY_DATA, SUPPORTED_VERSIONS, COOKIE, PSK_MODES, KEY_SHARE = 42, 43, 44, 45, 51

HELLO_RETRY_RANDOM = hashlib.sha256(b"HelloRetryRequest").digest()


def integers(size, *values):
    return b"".join(value.to_bytes(size, "big") for value in values)


def extension(kind, body):
    return integers(2, kind) + vector(2, body)


class Credentials:
    """A certificate chain in DER and its private key."""

    def __init__(self, certificate_path, key_path):
        import base64

        with open(certificate_path, encoding="ascii") as file:
            blocks = file.read().split("-----BEGIN CERTIFICATE-----")[1:]
        self.chain = [base64.b64decode(block.split("-----END")[0]) for block in blocks]
        with open(key_path, encoding="ascii") as file:
            self.key = SigningKey.from_pem(file.read())

    def sign(self, role, transcript_digest, scheme=ECDSA_P256_SHA256):
        """The body of a CertificateVerify (RFC 8446 section 4.4.3)."""
        content = b" " * 64 + f"TLS 1.3, {role} CertificateVerify".encode() + b"\0" + transcript_digest
        signature = self.key.sign(content, hashfunc=hashlib.sha256, sigencode=sigencode_der)
        return integers(2, scheme) + vector(2, signature)

    def certificate_message(self, context=b""):
        entries = b"".join(vector(3, der) + vector(2, b"") for der in self.chain)
        return message(CERTIFICATE, vector(1, context) + vector(3, entries))


class Client(Peer):
    role = "client"

    def __init__(self, connection, credentials):
        super().__init__(connection, credentials)
        self.random = os.urandom(32)
        self.exchange = {}  # group → (key exchange, private key)
        self.psk = None  # (suite, secret) of the ticket that was offered last
        self.resumed = False

    # The hello

    def share(self, group):
        if group not in self.exchange:
            exchange = ECDHKeyExchange(group, TLS_1_3)
            self.exchange[group] = (exchange, exchange.get_random_private_key())
        exchange, private = self.exchange[group]
        return integers(2, group) + vector(2, bytes(exchange.calc_public_value(private)))

    def extensions(self, **changes):
        """The extensions of a proper hello by their numbers, in order; a change to None leaves one out."""
        usual = {
            SUPPORTED_VERSIONS: vector(1, b"\x03\x04"),
            SUPPORTED_GROUPS: vector(2, integers(2, X25519, P256)),
            SIGNATURE_ALGORITHMS: vector(2, integers(2, ECDSA_P256_SHA256, 0x0804)),
            PSK_MODES: vector(1, b"\x01"),
            KEY_SHARE: vector(2, self.share(changes.pop("group", X25519))),
        }
        usual.update(changes.pop("replacing", {}))
        return [(kind, body) for kind, body in usual.items() if body is not None]

    def hello(
        self, extensions=None, suites=(AES_128.code,), version=0x0303, session_id=b"", compression=b"\0", tail=b"",
        extension_bytes=None,
    ):
        """A ClientHello message. Every part can be said to be otherwise."""
        if extension_bytes is None:
            extension_bytes = b"".join(extension(*pair) for pair in extensions or self.extensions())
        body = integers(2, version) + self.random + vector(1, session_id)
        body += vector(2, integers(2, *suites)) + vector(1, compression)
        return message(CLIENT_HELLO, body + vector(2, extension_bytes) + tail)

    def resuming_hello(self, ticket, spoil=lambda binder: binder, age=0, before=(), after=(), **options):
        """A hello that offers a ticket, between other identities, each a pair of identity and binder."""
        identity, suite, psk, age_add = ticket
        self.psk = (suite, psk)
        obfuscated = (age + age_add) % 2**32
        offered = [(identity, None), *after]
        identities = vector(2, b"".join(vector(2, i) + integers(4, obfuscated) for i, _ in [*before, *offered]))

        def binders(own):
            return vector(2, b"".join(vector(1, b or own) for _, b in [*before, *offered]))

        def whole(own):
            pairs = [*self.extensions(), (PRE_SHARED_KEY, identities + binders(own))]
            return self.hello(extensions=pairs, suites=(suite.code,), **options)

        key = KeySchedule(suite, psk).derive("res binder", b"")
        blank = whole(bytes(suite.hash_size))
        truncated = self.transcript + blank[: len(blank) - len(binders(bytes(suite.hash_size)))]
        return whole(spoil(suite.finished(key, truncated)))

    def send_hello(self, hello=None):
        hello = hello or self.hello()
        self.transcript += hello
        self.send(plain_record(HANDSHAKE, hello, version=0x0301))

    # The server's flight

    def read_server_hello(self):
        """Reads the ServerHello and derives the keys of the handshake. True when it asks for another hello."""
        before = self.transcript
        _, body = self.read_message(SERVER_HELLO)
        random, position = body[2:34], 35 + body[34]
        self.suite = SUITES[int.from_bytes(body[position : position + 2], "big")]
        found, rest = {}, body[position + 5 :]
        while rest:
            size = int.from_bytes(rest[2:4], "big")
            found[int.from_bytes(rest[:2], "big")] = rest[4 : 4 + size]
            rest = rest[4 + size :]
        if found.get(SUPPORTED_VERSIONS) != b"\x03\x04":
            raise Violation("the server chose another version than TLS 1.3")
        share = found[KEY_SHARE]
        group = int.from_bytes(share[:2], "big")
        if random == HELLO_RETRY_RANDOM:
            self.asked_for = group
            answer = self.transcript[len(before) :]
            self.transcript = message(MESSAGE_HASH, self.suite.digest(before)) + answer
            return True
        self.resumed = PRE_SHARED_KEY in found
        if self.resumed and (self.psk is None or self.psk[0].hash_name != self.suite.hash_name):
            raise Violation("the server resumed what was not offered")
        self.group = group
        exchange, private = self.exchange[group]
        shared = bytes(exchange.calc_shared_key(private, bytearray(share[4:])))
        self.schedule = KeySchedule(self.suite, self.psk[1] if self.resumed else None)
        self.schedule.advance(shared)
        self.client_secret = self.schedule.derive("c hs traffic", self.transcript)
        self.server_secret = self.schedule.derive("s hs traffic", self.transcript)
        self.sending = Protection(self.suite, self.client_secret)
        self.receiving = Protection(self.suite, self.server_secret)
        return False

    def read_server_flight(self):
        """Reads from EncryptedExtensions to Finished and derives the keys of the application."""
        self.read_message(ENCRYPTED_EXTENSIONS)
        if not self.resumed:
            self.read_message(CERTIFICATE_REQUEST)
            self.read_message(CERTIFICATE)
            self.read_message(CERTIFICATE_VERIFY)
        before = self.transcript
        _, verify_data = self.read_message(FINISHED)
        if verify_data != self.suite.finished(self.server_secret, before):
            raise Violation("the server's Finished is wrong")
        self.schedule.advance()
        self.client_application = self.schedule.derive("c ap traffic", self.transcript)
        self.receiving = Protection(self.suite, self.schedule.derive("s ap traffic", self.transcript))

    # Our flight: each message is added to the transcript as it is made

    def certificate(self, **options):
        return self.adding(self.credentials.certificate_message(**options))

    def certificate_verify(self, role="client", **options):
        digest = self.suite.digest(self.transcript)
        return self.adding(message(CERTIFICATE_VERIFY, self.credentials.sign(role, digest, **options)))

    def finished(self):
        return self.adding(message(FINISHED, self.suite.finished(self.client_secret, self.transcript)))

    def adding(self, made):
        self.transcript += made
        return made

    def flight(self):
        return self.finished() if self.resumed else self.certificate() + self.certificate_verify() + self.finished()

    def flight_is_sent(self):
        """What is sealed from here on is sealed under the keys of the application."""
        self.sending = Protection(self.suite, self.client_application)

    def send_flight(self):
        self.send(self.seal(HANDSHAKE, self.flight()))
        self.flight_is_sent()

    # All of it

    def reach_flight(self, hello=None):
        """Up to where it is our turn to prove who we are."""
        self.send_hello(hello)
        if self.read_server_hello():
            raise Violation("the server asked for another hello")
        self.read_server_flight()

    def handshake(self, hello=None):
        self.reach_flight(hello)
        self.send_flight()

    def take_ticket(self):
        """What it takes to resume: the ticket that came first, and the secret behind it (section 4.6.1)."""
        ticket = self.tickets[0]
        age_add, nonce_size = int.from_bytes(ticket[4:8], "big"), ticket[8]
        nonce = ticket[9 : 9 + nonce_size]
        identity_size = int.from_bytes(ticket[9 + nonce_size : 11 + nonce_size], "big")
        identity = ticket[11 + nonce_size : 11 + nonce_size + identity_size]
        master = self.schedule.derive("res master", self.transcript)
        psk = self.suite.expand_label(master, "resumption", nonce, self.suite.hash_size)
        return identity, self.suite, psk, age_add
