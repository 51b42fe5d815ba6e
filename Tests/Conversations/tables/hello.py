"""What a ClientHello may and may not say (RFC 8446 sections 4.1.2, 4.2 and 4.2.8)."""

from conversation import CLIENT, group
from tls13.client import (
    ALPN, COOKIE, EARLY_DATA, KEY_SHARE, P256, PADDING, PSK_MODES, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS, X25519, extension, integers,
)
from tls13.keys import APPLICATION_DATA, AES_128, AES_256, CHACHA20
from tls13.peer import CHANGE_CIPHER_SPEC, HANDSHAKE, Violation, plain_record, vector

passes, enters, breaks, refused = group("hello", CLIENT)
GREASE = 0x1A1A  # RFC 8701


def offering(peer, **changes):
    """A hello whose extensions are changed, by name."""
    names = {
        "versions": SUPPORTED_VERSIONS, "groups": SUPPORTED_GROUPS, "algorithms": SIGNATURE_ALGORITHMS,
        "shares": KEY_SHARE, "alpn": ALPN, "padding": PADDING, "early_data": EARLY_DATA, "cookie": COOKIE,
        "modes": PSK_MODES, "grease": GREASE,
    }
    return peer.hello(extensions=peer.extensions(replacing={names[name]: body for name, body in changes.items()}))


# Those that get in

for suite in (AES_128, AES_256, CHACHA20):

    @enters(f"only suite {suite.code:04x}")
    def only_suite(peer, suite=suite):
        peer.handshake(peer.hello(suites=(suite.code,)))


@enters("unknown suites around a known one")
def unknown_suites(peer):
    peer.handshake(peer.hello(suites=(GREASE, 0x1305, 0xC02F, AES_128.code, 0x00FF)))


@enters("a share of P-256")
def p256(peer):
    peer.handshake(peer.hello(extensions=peer.extensions(group=P256)))
    if peer.group != P256:
        raise Violation("the server took a group that it had no share for")


@enters("shares of unknown groups before a known one")
def unknown_shares(peer):
    shares = extension(GREASE, b"\0") + peer.share(X25519)
    peer.handshake(offering(peer, shares=vector(2, shares), groups=vector(2, integers(2, GREASE, X25519))))


@enters("unknown versions around TLS 1.3")
def unknown_versions(peer):
    peer.handshake(offering(peer, versions=vector(1, integers(2, 0x7A7A, 0x0305, 0x0304, 0x0303))))


@enters("unknown extensions")
def unknown_extensions(peer):
    peer.handshake(offering(peer, grease=b"whatever"))


@enters("four thousand extensions")
def many_extensions(peer):
    usual = peer.extensions()
    many = [(0x4000 + number, b"") for number in range(4_000 - len(usual))]
    hello = peer.hello(extensions=usual + many)
    peer.transcript += hello
    peer.send(b"".join(plain_record(HANDSHAKE, hello[at : at + 2**14]) for at in range(0, len(hello), 2**14)))
    finish_handshake(peer)


@enters("a session ID, as middleboxes want one")
def session_id(peer):
    peer.handshake(peer.hello(session_id=bytes(range(32))))


@enters("fifteen thousand bytes of padding")
def large(peer):
    peer.handshake(offering(peer, padding=bytes(15_000)))


@enters("a protocol that nobody here speaks")
def foreign_alpn(peer):
    peer.handshake(offering(peer, alpn=vector(2, vector(1, b"h2") + vector(1, b"http/1.1"))))


for number in (0x0302, 0x0304, 0x0399):

    @enters(f"legacy version {number:04x}, which means nothing")
    def legacy_version(peer, number=number):
        peer.handshake(peer.hello(version=number))


for number in (0x0300, 0x0302, 0x0303):

    @enters(f"a first record of version {number:04x}")
    def record_version(peer, number=number):
        hello = peer.hello()
        peer.transcript += hello
        peer.send(plain_record(HANDSHAKE, hello, version=number))
        finish_handshake(peer)


@enters("a cookie that nobody gave it")
def cookie(peer):
    peer.handshake(offering(peer, cookie=vector(2, b"from nowhere")))


@enters("no share at all, so that the server asks for one")
def retry(peer):
    peer.send_hello(offering(peer, shares=vector(2, b"")))
    if not peer.read_server_hello():
        raise Violation("the server went on without a share")
    peer.send_hello(peer.hello(extensions=peer.extensions(group=peer.asked_for)))
    finish_handshake(peer)


@enters("a share of a group that the server doesn't know, so that it asks for another")
def retry_from_unknown_group(peer):
    peer.send_hello(
        offering(peer, shares=vector(2, extension(30, bytes(56))), groups=vector(2, integers(2, 30, P256)))
    )
    if not peer.read_server_hello() or peer.asked_for != P256:
        raise Violation("the server did not ask for P-256")
    pairs = peer.extensions(group=P256, replacing={SUPPORTED_GROUPS: vector(2, integers(2, 30, P256))})
    peer.send_hello(peer.hello(extensions=pairs))
    finish_handshake(peer)


@enters("a change of cipher behind it, as middleboxes want one")
def compatible(peer):
    hello = peer.hello()
    peer.transcript += hello
    peer.send(plain_record(HANDSHAKE, hello) + plain_record(CHANGE_CIPHER_SPEC, b"\1"))
    finish_handshake(peer)


@enters("early data, which is thrown away unread")
def early_data(peer):
    hello = offering(peer, early_data=b"")
    peer.transcript += hello
    garbage = b"\x17\x03\x03\x01\x00" + bytes(256)
    peer.send(plain_record(HANDSHAKE, hello) + garbage * 4)
    finish_handshake(peer)


def finish_handshake(peer):
    if peer.read_server_hello():
        raise Violation("the server asked for another hello")
    peer.read_server_flight()
    peer.send_flight()


# Those that are refused


def refusing(name, detail, alert, make):
    @refused(name, detail, alert=alert)
    def say(peer):
        hello = make(peer)
        peer.send(b"".join(plain_record(HANDSHAKE, hello[at : at + 2**14]) for at in range(0, len(hello), 2**14)))


MALFORMED, VERSION = "malformed_message", "protocol_version"

refusing("no supported_versions", VERSION, VERSION, lambda peer: offering(peer, versions=None))
refusing(
    "versions older than TLS 1.3 only", VERSION, VERSION,
    lambda peer: offering(peer, versions=vector(1, integers(2, 0x0303, 0x0302))),
)
refusing(
    "a draft of TLS 1.3 only", VERSION, VERSION, lambda peer: offering(peer, versions=vector(1, b"\x7f\x1c"))
)
refusing("an empty list of versions", VERSION, VERSION, lambda peer: offering(peer, versions=vector(1, b"")))
refusing("half a version", MALFORMED, VERSION, lambda peer: offering(peer, versions=vector(1, b"\3\4\3")))
refusing("legacy version SSL 3", VERSION, "handshake_failure", lambda peer: peer.hello(version=0x0300))
refusing("no suite", MALFORMED, "illegal_parameter", lambda peer: peer.hello(suites=()))
refusing(
    "unknown suites only", "no_common_cipher", "handshake_failure", lambda peer: peer.hello(suites=(GREASE, 0xC02F))
)
refusing("no groups", MALFORMED, "missing_extension", lambda peer: offering(peer, groups=None))
refusing(
    "unknown groups only", "no_common_group", "handshake_failure",
    lambda peer: offering(peer, groups=vector(2, integers(2, 30, 24)), shares=vector(2, extension(30, bytes(56)))),
)
refusing("no key share extension", "no_common_group", "missing_extension", lambda peer: offering(peer, shares=None))
refusing(
    "a share of a group that it doesn't list", MALFORMED, "illegal_parameter",
    lambda peer: offering(peer, groups=vector(2, integers(2, P256))),
)
refusing("no signature algorithms", MALFORMED, "missing_extension", lambda peer: offering(peer, algorithms=None))
refusing(
    "signature algorithms that our key can't do", "no_common_signature", "handshake_failure",
    lambda peer: offering(peer, algorithms=vector(2, integers(2, 0x0808))),
)
refusing(
    "a share of X25519 that is a byte short", MALFORMED, "illegal_parameter",
    lambda peer: offering(peer, shares=vector(2, extension(X25519, bytes(range(31))))),
)
refusing(
    "a share of X25519 that leads nowhere: zero", MALFORMED, "illegal_parameter",
    lambda peer: offering(peer, shares=vector(2, extension(X25519, bytes(32)))),
)
refusing(
    "a share of P-256 that is not on the curve", MALFORMED, "illegal_parameter",
    lambda peer: offering(peer, shares=vector(2, extension(P256, b"\4" + bytes(range(64))))),
)
refusing(
    "an empty share", MALFORMED, "decode_error",
    lambda peer: offering(peer, shares=vector(2, extension(X25519, b""))),
)
refusing("compression", MALFORMED, "illegal_parameter", lambda peer: peer.hello(compression=b"\1\0"))
refusing("no method of compression", MALFORMED, "decode_error", lambda peer: peer.hello(compression=b""))
refusing("a session ID of 33 bytes", MALFORMED, "decode_error", lambda peer: peer.hello(session_id=bytes(33)))
refusing("bytes behind its end", MALFORMED, "decode_error", lambda peer: peer.hello(tail=b"\0"))
refusing(
    "extensions longer than the hello", MALFORMED, "decode_error",
    lambda peer: peer.hello(extension_bytes=b"\0\x0a\0\xff"),
)
refusing(
    "an extension twice", MALFORMED, "illegal_parameter",
    lambda peer: peer.hello(extensions=peer.extensions() + [(SUPPORTED_GROUPS, vector(2, integers(2, P256)))]),
)
refusing(
    "an empty list of protocols", MALFORMED, "decode_error", lambda peer: offering(peer, alpn=vector(2, b""))
)
refusing(
    "a protocol without a name", MALFORMED, "decode_error", lambda peer: offering(peer, alpn=vector(2, b"\0"))
)


@refused("a second hello with the share that was not asked for", MALFORMED, alert="illegal_parameter")
def wrong_retry(peer):
    peer.send_hello(offering(peer, shares=vector(2, b""), groups=vector(2, integers(2, X25519, P256))))
    if not peer.read_server_hello():
        raise Violation("the server went on without a share")
    other = P256 if peer.asked_for == X25519 else X25519
    peer.send_hello(peer.hello(extensions=peer.extensions(group=other)))


@refused("a second hello without a share either", MALFORMED, alert="illegal_parameter")
def stubborn_retry(peer):
    hello = offering(peer, shares=vector(2, b""))
    peer.send_hello(hello)
    if not peer.read_server_hello():
        raise Violation("the server went on without a share")
    peer.send_hello(hello)


@refused("early data without an end", "unexpected_message")
def endless_early_data(peer):
    hello = offering(peer, early_data=b"")
    peer.transcript += hello
    peer.send(plain_record(HANDSHAKE, hello))
    if peer.read_server_hello():
        raise Violation("the server asked for another hello")
    peer.read_server_flight()
    for _ in range(20):
        peer.send(bytes([APPLICATION_DATA, 3, 3, 0x40, 0]) + bytes(2**14))
