"""A client's proof of who it is: Certificate, CertificateVerify, Finished (RFC 8446 section 4.4)."""

from conversation import CLIENT, group
from tls13.keys import AES_256
from tls13.peer import CERTIFICATE, CERTIFICATE_VERIFY, FINISHED, HANDSHAKE, KEY_UPDATE, message, vector

passes, enters, breaks, refused = group("flight", CLIENT)
MALFORMED = "malformed_message"


def refusing(name, detail, alert, make):
    """A flight that `make` gives, in one record."""

    @refused(name, detail, alert=alert)
    def say(peer):
        peer.reach_flight()
        peer.send(peer.seal(HANDSHAKE, make(peer)))


def certificate(body):
    return message(CERTIFICATE, body)


def proof(peer, body):
    """A good certificate and a CertificateVerify of one's own."""
    return peer.certificate() + message(CERTIFICATE_VERIFY, body)


def signed(peer, **options):
    """A good certificate and a signature that is made otherwise."""
    return peer.certificate() + peer.certificate_verify(**options)


def with_finished(peer, change):
    """A good certificate and signature, and a Finished whose contents are changed."""
    good = peer.certificate() + peer.certificate_verify()
    return good + message(FINISHED, change(peer.finished()[4:]))


def entry(der, extensions=b""):
    return vector(3, der) + vector(2, extensions)


refusing("no certificate", "certificate_missing", "certificate_required", lambda peer: certificate(b"\0\0\0\0"))
refusing(
    "a certificate that is none", MALFORMED, "decode_error", lambda peer: certificate(b"\0" + vector(3, entry(b"\0")))
)
refusing(
    "a certificate cut short", MALFORMED, "decode_error",
    lambda peer: certificate(b"\0" + vector(3, entry(peer.credentials.chain[0][:-9]))),
)
refusing(
    "bytes behind the certificate's end", "certificate_invalid", "decode_error",
    lambda peer: certificate(b"\0" + vector(3, entry(peer.credentials.chain[0] + b"\0"))),
)
refusing(
    "an empty certificate", MALFORMED, "decode_error", lambda peer: certificate(b"\0" + vector(3, entry(b"")))
)
refusing(
    "an answer to a request that nobody made", MALFORMED, "decode_error",
    lambda peer: peer.credentials.certificate_message(context=b"context"),
)
refusing(
    "a list longer than its message", MALFORMED, "decode_error",
    lambda peer: certificate(b"\0\0\xff\xff" + entry(peer.credentials.chain[0])),
)
refusing(
    "a chain of a hundred kilobytes", "record_too_large", "illegal_parameter",
    lambda peer: bytes([CERTIFICATE]) + (100_000).to_bytes(3, "big") + bytes(10_000),
)

refusing("Finished without a certificate", "unexpected_message", ..., lambda peer: peer.finished())
refusing("CertificateVerify first", "unexpected_message", ..., lambda peer: peer.certificate_verify())
refusing(
    "Finished without CertificateVerify", "unexpected_message", ..., lambda peer: peer.certificate() + peer.finished()
)
refusing("Certificate twice", "unexpected_message", ..., lambda peer: peer.certificate() * 2)
refusing(
    "CertificateVerify twice", "unexpected_message", ...,
    lambda peer: peer.certificate() + peer.certificate_verify() * 2,
)
refusing("a key update in place of it", "unexpected_message", ..., lambda peer: message(KEY_UPDATE, b"\0"))

refusing("a signature by a server", "bad_signature", "decrypt_error", lambda peer: signed(peer, role="server"))
refusing("a signature over nothing", "bad_signature", "decrypt_error", lambda peer: forged_signature(peer))
refusing(
    "a signature that says it is RSA", "bad_signature", "illegal_parameter", lambda peer: signed(peer, scheme=0x0804)
)
refusing(
    "a signature that says it is SHA-1", "bad_signature", "illegal_parameter", lambda peer: signed(peer, scheme=0x0203)
)
refusing("an empty signature", "bad_signature", "decrypt_error", lambda peer: proof(peer, b"\4\3\0\0"))
refusing("no signature at all", MALFORMED, "decode_error", lambda peer: proof(peer, b""))
refusing("bytes behind the signature", MALFORMED, "decode_error", lambda peer: padded_signature(peer))

refusing(
    "a Finished of zeros", "bad_signature", "decrypt_error",
    lambda peer: with_finished(peer, lambda data: bytes(len(data))),
)
refusing("an empty Finished", MALFORMED, "decode_error", lambda peer: with_finished(peer, lambda data: b""))
refusing(
    "a Finished a byte short", MALFORMED, "decode_error", lambda peer: with_finished(peer, lambda data: data[:-1])
)
refusing(
    "a Finished a byte long", MALFORMED, "decode_error", lambda peer: with_finished(peer, lambda data: data + b"\0")
)


def forged_signature(peer):
    made = peer.certificate()
    return made + message(CERTIFICATE_VERIFY, peer.credentials.sign("client", b""))


def padded_signature(peer):
    made = peer.certificate()
    return made + message(CERTIFICATE_VERIFY, peer.credentials.sign("client", b"") + b"\0")


for place in (0, 15, 31):

    @refused(f"a Finished with bit {place * 8} changed", "bad_signature", alert="decrypt_error")
    def flipped_finished(peer, place=place):
        peer.reach_flight()
        flight = with_finished(peer, lambda data: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        peer.send(peer.seal(HANDSHAKE, flight))


@refused("a Finished with its last bit changed, SHA-384", "bad_signature", alert="decrypt_error")
def flipped_long_finished(peer):
    peer.reach_flight(peer.hello(suites=(AES_256.code,)))
    flight = with_finished(peer, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    peer.send(peer.seal(HANDSHAKE, flight))


for index in (5, 40, -1):

    @refused(f"a flight whose record is changed at {index}", "bad_record_mac")
    def changed_record(peer, index=index):
        peer.reach_flight()
        record = bytearray(peer.seal(HANDSHAKE, peer.flight()))
        record[index] ^= 1
        peer.send(bytes(record))


@refused("a flight in the clear", "unexpected_message")
def clear_flight(peer):
    peer.reach_flight()
    flight = peer.flight()
    peer.send(b"\x16\x03\x03" + vector(2, flight))
