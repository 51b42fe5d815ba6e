"""Key updates (RFC 8446 section 4.6.3)."""

from conversation import CLIENT, SERVER, group
from tls13.keys import APPLICATION_DATA, SUITES
from tls13.peer import HANDSHAKE, KEY_UPDATE, Violation, message

passes, enters, breaks, refused = group("key updates", CLIENT, SERVER)
ALL_SUITES = tuple(SUITES.values())


@passes("without a wish for one, a hundred times with data in between", suites=ALL_SUITES)
def one_sided(peer):
    for number in range(100):
        peer.send(peer.key_update())
        peer.echo(b"round %d" % number)
    if peer.key_updates:
        raise Violation("the sidecar updated its keys without being asked")


@passes("with the wish for one, a hundred times with data in between", suites=ALL_SUITES)
def both_sides(peer):
    for number in range(100):
        peer.send(peer.key_update(ask=True))
        peer.echo(b"round %d" % number)
    if peer.key_updates != 100:
        raise Violation(f"of 100 wishes for a key update {peer.key_updates} were answered")


@passes("of both kinds in turn, in one packet with data around them")
def mixed(peer):
    packet = b""
    for number in range(40):
        packet += peer.saying(b"before %d, " % number) + peer.key_update(ask=number % 2 == 0)
    packet += peer.saying(b"the end")
    peer.send(packet)
    peer.expect(b"".join(b"before %d, " % number for number in range(40)) + b"the end")


@passes("ten in a row, each with the wish for one, without data")
def silent(peer):
    for _ in range(10):
        peer.send(peer.key_update(ask=True))
    peer.echo(b"afterwards")
    if not 1 <= peer.key_updates <= 10:
        raise Violation(f"{peer.key_updates} answers to ten key updates")


@passes("while much data flows in both directions")
def in_bulk(peer):
    data = bytes(range(256)) * 40
    for _ in range(8):
        packet = b""
        for number in range(4):
            packet += peer.saying(data) + peer.key_update(ask=number == 2)
        peer.send(packet)
        peer.expect(data * 4)


@passes("in two records, cut at every place")
def fragmented(peer):
    update = message(KEY_UPDATE, b"\0")
    for cut in range(1, len(update)):
        peer.send(peer.seal(HANDSHAKE, update[:cut]) + peer.seal(HANDSHAKE, update[cut:]))
        peer.sending.update()
        peer.echo(b"cut at %d" % cut)


@passes("in a record with padding")
def padded(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\1"), padding=300))
    peer.sending.update()
    peer.echo(b"afterwards")


@passes("right before close_notify")
def before_the_end(peer):
    peer.send(peer.key_update(ask=True))


@breaks("with a wish that doesn't exist", "malformed_message", alert="illegal_parameter")
def bad_request(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\2")))


@breaks("without its byte", "malformed_message", alert="decode_error")
def empty(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"")))


@breaks("with a byte too many", "malformed_message", alert="decode_error")
def long(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\0\0")))


@breaks("with another message behind it in the same record", "unexpected_message")
def not_on_a_boundary(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\0") * 2))


@breaks("with data between its two halves", "unexpected_message")
def interleaved(peer):
    update = message(KEY_UPDATE, b"\0")
    peer.send(
        peer.seal(HANDSHAKE, update[:2]) + peer.seal(APPLICATION_DATA, b"data") + peer.seal(HANDSHAKE, update[2:])
    )


@breaks("after which the old keys are still used", "bad_record_mac")
def old_keys(peer):
    peer.send(peer.seal(HANDSHAKE, message(KEY_UPDATE, b"\0")) + peer.seal(APPLICATION_DATA, b"under the old keys"))


@breaks("that never came: the next keys are used without one", "bad_record_mac")
def early_keys(peer):
    peer.sending.update()
    peer.send(peer.seal(APPLICATION_DATA, b"under the next keys"))
