"""Records that were changed, repeated, left out or sealed under other keys (RFC 8446 section 5.2)."""

from conversation import CLIENT, SERVER, group
from tls13.keys import APPLICATION_DATA, Protection
from tls13.peer import HANDSHAKE, KEY_UPDATE, message

passes, enters, breaks, refused = group("tampering", CLIENT, SERVER)


def flipped(record, index, bit=1):
    changed = bytearray(record)
    changed[index] ^= bit
    return bytes(changed)


for place, index in (
    ("the first byte of ciphertext", 5), ("the middle", 20), ("the last byte before the tag", -17),
    ("the first byte of the tag", -16), ("the last byte of the tag", -1),
):

    @breaks(f"with {place}", "bad_record_mac")
    def bit_flip(peer, index=index):
        peer.send(flipped(peer.seal(APPLICATION_DATA, b"thirty bytes that nobody reads"), index))


@breaks("with the tag of a large record, behind a good one", "bad_record_mac")
def large_record(peer):
    peer.send(flipped(peer.seal(APPLICATION_DATA, bytes(16_384)), -1))


@breaks("with the tag of a key update", "bad_record_mac")
def key_update(peer):
    peer.send(flipped(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\0")), -1))


@breaks("with the length, one byte too few", "bad_record_mac")
def short_length(peer):
    record = peer.seal(APPLICATION_DATA, b"some data")
    peer.send(record[:4] + bytes([record[4] - 1]) + record[5:-1])


@breaks("with the length, one byte too many", "bad_record_mac")
def long_length(peer):
    record = peer.seal(APPLICATION_DATA, b"some data")
    peer.send(record[:4] + bytes([record[4] + 1]) + record[5:] + b"\0")


@breaks("by repeating a record", "bad_record_mac")
def replay(peer):
    record = peer.saying(b"once")
    peer.send(record)
    peer.expect(b"once")
    peer.send(record)


@breaks("by leaving one out", "bad_record_mac")
def left_out(peer):
    peer.seal(APPLICATION_DATA, b"lost")
    peer.send(peer.seal(APPLICATION_DATA, b"found"))


@breaks("by changing the order of two", "bad_record_mac")
def reordered(peer):
    first, second = peer.seal(APPLICATION_DATA, b"first"), peer.seal(APPLICATION_DATA, b"second")
    peer.send(second + first)


@breaks("by sending back what the sidecar has sent", "bad_record_mac")
def reflected(peer):
    other = Protection(peer.receiving.suite, peer.receiving.secret)
    other.sequence = peer.sending.sequence
    peer.send(other.seal(APPLICATION_DATA, b"mirror"))


@breaks("with keys of the handshake", "bad_record_mac")
def handshake_keys(peer):
    secret = peer.client_secret if peer.role == CLIENT else peer.server_secret
    peer.send(Protection(peer.suite, secret).seal(APPLICATION_DATA, b"too late"))


@breaks("with the content's type, which the tag protects as well", "bad_record_mac")
def inner_type(peer):
    peer.send(flipped(peer.seal(APPLICATION_DATA, b"data"), 5 + len(b"data")))


@breaks("with the record's type: a sealed record that says handshake", "unexpected_message")
def outer_handshake(peer):
    peer.send(peer.seal(APPLICATION_DATA, b"data", outer_type=HANDSHAKE))


@breaks("with the record's type: one that doesn't exist", "unexpected_message")
def outer_unknown(peer):
    peer.send(peer.seal(APPLICATION_DATA, b"data", outer_type=99))


for number in (0x0300, 0x0302, 0x0304, 0x0203):

    @breaks(
        f"with the record's version: {number:04x}", "not_tls",
        alert="decode_error" if number >> 8 == 3 else "protocol_version",
    )
    def version(peer, number=number):
        peer.send(peer.seal(APPLICATION_DATA, b"data", version=number))


@breaks("by text in the clear", "not_tls", alert="protocol_version")
def clear_text(peer):
    peer.send(b"GET / HTTP/1.1\r\n\r\n")
