"""A server's hello and its proof of who it is, before an outbound listener (RFC 8446 sections 4.1.3 to 4.4)."""

from conversation import SERVER, group
from tls13.client import (
    ALPN, EARLY_DATA, HELLO_RETRY_RANDOM, KEY_SHARE, P256, PRE_SHARED_KEY, SUPPORTED_VERSIONS, X25519, extension,
    integers,
)
from tls13.keys import APPLICATION_DATA, SUITES
from tls13.peer import (
    CERTIFICATE, CERTIFICATE_VERIFY, CHANGE_CIPHER_SPEC, FINISHED, HANDSHAKE, SERVER_HELLO, message, plain_record,
    vector,
)

passes, enters, breaks, refused = group("server's flight", SERVER)
MALFORMED = "malformed_message"
DOWNGRADE_TO_1_2 = b"DOWNGRD\1"


@enters("in one record", suites=tuple(SUITES.values()))
def plain(peer):
    peer.handshake()


@enters("with a record for each ten bytes")
def crumbs(peer):
    peer.reach_flight()
    flight = peer.flight()
    peer.send(b"".join(peer.seal(HANDSHAKE, flight[at : at + 10]) for at in range(0, len(flight), 10)))
    peer.flight_is_sent()
    peer.read_client_flight()


@enters("full of padding")
def padded(peer):
    peer.reach_flight()
    flight = peer.flight()
    peer.send(peer.seal(HANDSHAKE, flight, padding=2**14 - len(flight)))
    peer.flight_is_sent()
    peer.read_client_flight()


@enters("with a change of cipher, as middleboxes want one")
def compatible(peer):
    peer.reach_flight()
    peer.send(plain_record(CHANGE_CIPHER_SPEC, b"\1") + peer.seal(HANDSHAKE, peer.flight()))
    peer.flight_is_sent()
    peer.read_client_flight()


@enters("byte by byte, the hello as well")
def byte_by_byte(peer):
    peer.read_hello()
    peer.send_in_pieces(plain_record(HANDSHAKE, peer.server_hello()))
    peer.derive_handshake_keys()
    peer.send_in_pieces(peer.seal(HANDSHAKE, peer.flight()), 7)
    peer.flight_is_sent()
    peer.read_client_flight()


@enters("with a ticket and data right behind it")
def early_ticket(peer):
    # A server may speak before it has seen who the client is; what it says then must arrive.
    peer.reach_flight()
    flight = peer.seal(HANDSHAKE, peer.flight())
    peer.flight_is_sent()
    peer.send(flight + peer.seal(HANDSHAKE, peer.ticket()) + peer.saying(b"welcome"))
    peer.read_client_flight()
    peer.expect(b"welcome")


def hello(name, detail, alert, **options):
    @refused(f"a hello {name}", detail, alert=alert)
    def say(peer):
        peer.read_hello()
        peer.send(plain_record(HANDSHAKE, peer.server_hello(**options)))


hello(
    "of TLS 1.2", "protocol_version", "protocol_version", replacing={SUPPORTED_VERSIONS: None},
)
hello(
    "of TLS 1.2 that owns up to a downgrade", "protocol_version", "protocol_version",
    replacing={SUPPORTED_VERSIONS: None}, random=bytes(24) + DOWNGRADE_TO_1_2,
)
hello(
    "of a version that wasn't offered", MALFORMED, "illegal_parameter",
    replacing={SUPPORTED_VERSIONS: b"\x03\x05"},
)
hello("with another session ID", MALFORMED, "illegal_parameter", session_id=bytes(32))
hello("with a suite that wasn't offered", "no_common_cipher", "illegal_parameter", suite=0x1304)
hello("with compression", MALFORMED, "illegal_parameter", compression=b"\1")
hello("with a share of a group that wasn't offered", MALFORMED, "illegal_parameter", group=30)
hello("without a share", "no_common_group", "missing_extension", replacing={KEY_SHARE: None})
hello(
    "with a share that leads nowhere", MALFORMED, "illegal_parameter",
    replacing={KEY_SHARE: integers(2, X25519) + vector(2, bytes(32))},
)
hello(
    "with a ticket that wasn't offered", MALFORMED, "unsupported_extension", replacing={PRE_SHARED_KEY: b"\0\0"}
)
hello(
    "that asks for another hello with a group that wasn't offered", MALFORMED, "illegal_parameter",
    random=HELLO_RETRY_RANDOM, replacing={KEY_SHARE: integers(2, 30)},
)
hello(
    "that asks for the share that it has", MALFORMED, "illegal_parameter",
    random=HELLO_RETRY_RANDOM, replacing={KEY_SHARE: integers(2, X25519)},
)


@refused("a second request for another hello", "unexpected_message")
def two_retries(peer):
    for group_asked_for in (P256, X25519):
        peer.read_hello()
        extensions = extension(SUPPORTED_VERSIONS, b"\3\4") + extension(KEY_SHARE, integers(2, group_asked_for))
        body = b"\3\3" + HELLO_RETRY_RANDOM + vector(1, b"") + integers(2, peer.suite.code) + b"\0"
        peer.send(plain_record(HANDSHAKE, message(SERVER_HELLO, body + vector(2, extensions))))


def proof(name, detail, alert, make):
    """A flight that `make` gives, in one record."""

    @refused(name, detail, alert=alert)
    def say(peer):
        peer.reach_flight()
        peer.send(peer.seal(HANDSHAKE, make(peer)))


def up_to_certificate(peer):
    return peer.encrypted_extensions() + peer.certificate_request() + peer.certificate()


proof(
    "a protocol that wasn't offered", MALFORMED, "decode_error",
    lambda peer: peer.encrypted_extensions([(ALPN, vector(2, vector(1, b"h2")))]),
)
proof(
    "early data that wasn't offered", MALFORMED, "unsupported_extension",
    lambda peer: peer.encrypted_extensions([(EARLY_DATA, b"")]),
)
proof("no encrypted extensions", "unexpected_message", ..., lambda peer: peer.certificate())
proof("no certificate", "unexpected_message", ..., lambda peer: peer.encrypted_extensions() + peer.finished())
proof(
    "an empty list of certificates", MALFORMED, "decode_error",
    lambda peer: peer.encrypted_extensions() + message(CERTIFICATE, b"\0\0\0\0"),
)
proof("no signature", "unexpected_message", ..., lambda peer: up_to_certificate(peer) + peer.finished())
proof(
    "a signature by a client", "bad_signature", "decrypt_error",
    lambda peer: up_to_certificate(peer) + peer.certificate_verify(role="client"),
)
proof(
    "a signature over nothing", "bad_signature", "decrypt_error",
    lambda peer: up_to_certificate(peer) + message(CERTIFICATE_VERIFY, peer.credentials.sign("server", b"")),
)
proof(
    "a signature by an algorithm that wasn't offered", "bad_signature", "illegal_parameter",
    lambda peer: up_to_certificate(peer) + peer.certificate_verify(scheme=0x0203),
)
proof(
    "a Finished of zeros", "bad_signature", "decrypt_error",
    lambda peer: up_to_certificate(peer) + peer.certificate_verify() + message(FINISHED, bytes(32)),
)
proof(
    "a message behind Finished in the same record", "unexpected_message", ...,
    lambda peer: peer.flight() + peer.ticket(),
)


@refused("its record changed", "bad_record_mac")
def changed(peer):
    peer.reach_flight()
    record = bytearray(peer.seal(HANDSHAKE, peer.flight()))
    record[-1] ^= 1
    peer.send(bytes(record))


@refused("data before Finished", "unexpected_message")
def early_data(peer):
    peer.reach_flight()
    peer.send(peer.seal(APPLICATION_DATA, b"data"))


@refused("in the clear", "unexpected_message")
def clear(peer):
    peer.reach_flight()
    peer.send(plain_record(HANDSHAKE, peer.flight()))
