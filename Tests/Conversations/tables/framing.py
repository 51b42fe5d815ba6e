"""How handshake messages may be cut into records, and what may not stand between them (RFC 8446 section 5.1)."""

from conversation import CLIENT, group
from tls13.keys import APPLICATION_DATA
from tls13.peer import ALERT, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, plain_record

passes, enters, breaks, refused = group("framing", CLIENT)


def finish_handshake(peer):
    peer.read_server_hello()
    peer.read_server_flight()
    peer.send_flight()


def cut(peer, *places):
    """A hello in several records."""
    hello = peer.hello()
    peer.transcript += hello
    ends = [*places, len(hello)]
    return b"".join(plain_record(HANDSHAKE, hello[start:end]) for start, end in zip([0, *places], ends))


for place in (1, 3, 4, 5, 6, 38, 39, 50, 100):

    @enters(f"a hello cut in two after {place} bytes")
    def two_records(peer, place=place):
        peer.send(cut(peer, place))
        finish_handshake(peer)


@enters("a hello with a record for each byte")
def byte_records(peer):
    peer.send(cut(peer, *range(1, len(peer.hello()))))
    finish_handshake(peer)


@enters("an empty record between the halves of a hello")
def empty_between(peer):
    # A client must not, but a server may read over it.
    halves = cut(peer, 60)
    peer.send(halves[:65] + plain_record(HANDSHAKE, b"") + halves[65:])
    finish_handshake(peer)


@enters("a hello byte by byte")
def byte_by_byte(peer):
    peer.send_in_pieces(cut(peer))
    finish_handshake(peer)


@enters("a flight byte by byte")
def flight_byte_by_byte(peer):
    peer.reach_flight()
    peer.send_in_pieces(peer.seal(HANDSHAKE, peer.flight()), 7)
    peer.flight_is_sent()


@enters("a flight with a record for each ten bytes")
def crumbs(peer):
    peer.reach_flight()
    flight = peer.flight()
    peer.send(b"".join(peer.seal(HANDSHAKE, flight[at : at + 10]) for at in range(0, len(flight), 10)))
    peer.flight_is_sent()


@enters("a flight with a record for each message")
def message_records(peer):
    peer.reach_flight()
    peer.send(peer.seal(HANDSHAKE, peer.certificate()))
    peer.send(peer.seal(HANDSHAKE, peer.certificate_verify()))
    peer.send(peer.seal(HANDSHAKE, peer.finished()))
    peer.flight_is_sent()


@enters("a flight full of padding")
def padded(peer):
    peer.reach_flight()
    flight = peer.flight()
    peer.send(peer.seal(HANDSHAKE, flight, padding=2**14 - len(flight)))
    peer.flight_is_sent()


@enters("a flight and data in one packet")
def flight_and_data(peer):
    peer.reach_flight()
    flight = peer.seal(HANDSHAKE, peer.flight())
    peer.flight_is_sent()
    peer.send(flight + peer.saying(b"in a hurry"))
    peer.expect(b"in a hurry")


@enters("a change of cipher between hello and flight")
def change_cipher_spec(peer):
    peer.reach_flight()
    peer.send(plain_record(CHANGE_CIPHER_SPEC, b"\1"))
    peer.send_flight()


def interrupting(name, detail, make):
    """A record between the halves of a hello."""

    @refused(name, detail)
    def interrupt(peer):
        halves = cut(peer, 60)
        first = 5 + 60
        peer.send(halves[:first] + make(peer) + halves[first:])


interrupting(
    "data between the halves of a hello", "unexpected_message", lambda peer: plain_record(APPLICATION_DATA, b"data")
)
interrupting(
    "an alert between the halves of a hello", "unexpected_message",
    lambda peer: plain_record(ALERT, bytes([FATAL, 80])),
)
interrupting(
    "a change of cipher between the halves of a hello", "unexpected_message",
    lambda peer: plain_record(CHANGE_CIPHER_SPEC, b"\1"),
)


@refused("a change of cipher first", "unexpected_message")
def early_change_cipher_spec(peer):
    peer.send(plain_record(CHANGE_CIPHER_SPEC, b"\1"))


@refused("a change of cipher to something else", "malformed_message", alert="illegal_parameter")
def odd_change_cipher_spec(peer):
    peer.send(cut(peer) + plain_record(CHANGE_CIPHER_SPEC, b"\2"))
    peer.read_server_hello()
    peer.read_server_flight()


@refused("a change of cipher two bytes long", "malformed_message", alert="illegal_parameter")
def long_change_cipher_spec(peer):
    peer.send(cut(peer) + plain_record(CHANGE_CIPHER_SPEC, b"\1\1"))
    peer.read_server_hello()
    peer.read_server_flight()


@refused("data in the clear behind a hello", "bad_record_mac")
def clear_data(peer):
    peer.send(cut(peer) + plain_record(APPLICATION_DATA, b"data" * 10))
    peer.read_server_hello()
    peer.read_server_flight()


@refused("a hello of 2^14 + 1 bytes in one record", "record_too_large", alert="record_overflow")
def oversized_record(peer):
    peer.send(plain_record(HANDSHAKE, peer.hello().ljust(2**14 + 1, b"\0")))


@refused("the head of a hello of 16 MiB", "record_too_large", alert="illegal_parameter")
def endless_hello(peer):
    peer.send(plain_record(HANDSHAKE, b"\1\xff\xff\xff" + bytes(16_000)))


@refused("data before Finished", "unexpected_message")
def early_data(peer):
    peer.reach_flight()
    peer.send(peer.seal(APPLICATION_DATA, b"data"))


@refused("data between the messages of a flight", "unexpected_message")
def data_in_flight(peer):
    peer.reach_flight()
    peer.send(peer.seal(HANDSHAKE, peer.certificate()) + peer.seal(APPLICATION_DATA, b"data"))


@refused("an empty record in the flight", "malformed_message", alert="unexpected_message")
def empty_in_flight(peer):
    peer.reach_flight()
    peer.send(peer.seal(HANDSHAKE, peer.certificate()) + peer.seal(HANDSHAKE, b""))


@refused("data without content in the flight", "unexpected_message")
def empty_data_in_flight(peer):
    peer.reach_flight()
    peer.send(peer.seal(APPLICATION_DATA, b""))


@refused("close_notify in place of the flight", "peer_alert", alert=None)
def close_notify(peer):
    peer.reach_flight()
    peer.close_notify()


@refused("a message in the record of Finished, behind it", "unexpected_message")
def behind_finished(peer):
    peer.reach_flight()
    peer.send(peer.seal(HANDSHAKE, peer.flight() + b"\x18\0\0\1\0"))


@refused("a hello and a second one in the same record", "unexpected_message")
def two_hellos(peer):
    peer.send(plain_record(HANDSHAKE, peer.hello() * 2))
