"""The shape of records: padding, empty ones, the largest, those that are too large (RFC 8446 sections 5.1 to 5.4)."""

from conversation import CLIENT, SERVER, group
from tls13.keys import APPLICATION_DATA, SUITES
from tls13.peer import ALERT, HANDSHAKE

passes, enters, breaks, refused = group("records", CLIENT, SERVER)
ALL_SUITES = tuple(SUITES.values())
LARGEST = 2**14


@passes("with padding of many lengths", suites=ALL_SUITES)
def padding(peer):
    for length in (1, 2, 15, 16, 17, 255, 256, 257, 1_000, 4_096):
        peer.echo(b"padded with %d" % length, padding=length)


@passes("filled up with padding to the last byte")
def full_padding(peer):
    peer.echo(b"much ado", padding=LARGEST - len(b"much ado"))


@passes("without content, one after each that has some")
def empty(peer):
    for number in range(40):
        peer.say(b"")
        peer.echo(b"round %d" % number)


@passes("without content, twenty in a row in one packet")
def empty_in_a_row(peer):
    peer.send(b"".join(peer.saying(b"") for _ in range(20)))
    peer.echo(b"afterwards")


@passes("without content and full of padding")
def empty_but_large(peer):
    for _ in range(3):
        peer.say(b"", padding=LARGEST)
    peer.echo(b"afterwards")


@passes("of the largest size, by itself and many together", suites=ALL_SUITES)
def largest(peer):
    data = bytes(range(256)) * (LARGEST // 256)
    peer.echo(data)
    peer.send(b"".join(peer.saying(data) for _ in range(4)))
    peer.expect(data * 4)


@passes("of one byte, a thousand of them in one packet")
def crumbs(peer):
    peer.send(b"".join(peer.saying(b"x") for _ in range(1_000)))
    peer.expect(b"x" * 1_000)


@passes("that arrive byte by byte")
def byte_by_byte(peer):
    peer.send_in_pieces(peer.saying(b"slowly") + peer.saying(b", but surely") + peer.key_update(ask=True))
    peer.expect(b"slowly, but surely")
    peer.send_in_pieces(peer.saying(b"and once more"))
    peer.expect(b"and once more")


@passes("cut into packets at each place around a record's header")
def cut_headers(peer):
    for cut in range(1, 8):
        two = peer.saying(b"first") + peer.saying(b"second")
        boundary = 5 + len(b"first") + 17
        peer.send(two[: boundary + cut - 4])
        peer.send(two[boundary + cut - 4 :])
        peer.expect(b"firstsecond")


@passes("of every size around the powers of two")
def sizes(peer):
    for power in (5, 8, 10, 12):
        for size in (2**power - 1, 2**power, 2**power + 1):
            peer.echo(b"z" * size)
    for size in (LARGEST - 17, LARGEST - 16, LARGEST - 1):
        peer.echo(b"z" * size)


@breaks("with a byte of plaintext too many", "record_too_large", alert="record_overflow")
def one_too_many(peer):
    peer.send(peer.seal(APPLICATION_DATA, bytes(LARGEST + 1)))


@breaks("with a byte of padding too many", "record_too_large", alert="record_overflow")
def too_much_padding(peer):
    peer.send(peer.seal(APPLICATION_DATA, b"", padding=LARGEST + 1))


@breaks("that are as large as a header may say, and too much inside", "record_too_large", alert="record_overflow")
def largest_header(peer):
    # 2^14 + 256 bytes of ciphertext: content, its type and 16 bytes of tag.
    peer.send(peer.seal(APPLICATION_DATA, bytes(LARGEST + 256 - 17)))


@breaks("larger than a header may say", "record_too_large", alert="record_overflow")
def too_large_header(peer):
    peer.send(peer.seal(APPLICATION_DATA, bytes(LARGEST + 257 - 17)))


@breaks("of 65,535 bytes, of which only the header comes", "record_too_large", alert="record_overflow")
def header_only(peer):
    peer.send(b"\x17\x03\x03\xff\xff")


@breaks("with nothing but padding", "unexpected_message")
def only_padding(peer):
    peer.send(peer.seal(None, b"", padding=64))


@breaks("too short to hold a tag", "bad_record_mac")
def no_tag(peer):
    peer.send(b"\x17\x03\x03\x00\x08" + bytes(8))


@breaks("without any byte behind the header", "bad_record_mac")
def no_byte(peer):
    peer.send(b"\x17\x03\x03\x00\x00")


@breaks("with a tag and nothing else", "bad_record_mac")
def only_tag(peer):
    peer.send(peer.seal(None, b""))


@breaks("of a handshake message without a byte", "unexpected_message")
def empty_handshake(peer):
    peer.send(peer.seal(HANDSHAKE, b""))


@breaks("of an alert without a byte", "unexpected_message")
def empty_alert(peer):
    peer.send(peer.seal(ALERT, b""))


@breaks("without content, thousands in a row", "unexpected_message")
def flood_of_empty(peer):
    peer.send(b"".join(peer.seal(APPLICATION_DATA, b"") for _ in range(4_000)))
