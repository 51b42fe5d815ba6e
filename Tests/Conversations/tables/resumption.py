"""Tickets: what they are good for, and what they are not (RFC 8446 sections 2.2, 4.2.11 and 4.6.1)."""

from conversation import CLIENT, group
from tls13.client import EARLY_DATA, PRE_SHARED_KEY, PSK_MODES
from tls13.keys import AES_128, AES_256, SUITES
from tls13.peer import APPLICATION_DATA, HANDSHAKE, Violation, plain_record, vector

passes, enters, breaks, refused = group("resumption", CLIENT)
MALFORMED = "malformed_message"


def first(peer, suite=AES_128):
    """A full handshake, and a second connection with the ticket that came of it."""
    peer.handshake(peer.hello(suites=(suite.code,)))
    peer.stage.greet(peer)
    if not peer.tickets:
        raise Violation("no ticket came")
    ticket = peer.take_ticket()
    return peer.stage.reopen(peer), ticket


def expect_resumed(peer, expected=True):
    if peer.resumed != expected:
        raise Violation("it was resumed" if peer.resumed else "it was not resumed")
    return peer


@enters("a ticket is good for a resumption", suites=tuple(SUITES.values()))
def good(peer):
    second, ticket = first(peer, getattr(peer, "suite", AES_128))
    second.handshake(second.resuming_hello(ticket))
    return expect_resumed(second)


@enters("a resumed session gives a ticket as well, which is good")
def again(peer):
    second, ticket = first(peer)
    second.handshake(second.resuming_hello(ticket))
    second.stage.greet(second)
    ticket = second.take_ticket()
    third = second.stage.reopen(second)
    third.handshake(third.resuming_hello(ticket))
    return expect_resumed(third)


@enters("a ticket between others that nobody knows")
def among_others(peer):
    second, ticket = first(peer)
    stranger = (b"\5" * 32, bytes(32))
    second.handshake(second.resuming_hello(ticket, before=[stranger], after=[stranger]))
    return expect_resumed(second)


@enters("a ticket that is unknown: the handshake is a full one")
def unknown(peer):
    second, (identity, suite, psk, age_add) = first(peer)
    second.handshake(second.resuming_hello((bytes(len(identity)), suite, psk, age_add)))
    return expect_resumed(second, False)


@enters("a ticket with a bit changed: the handshake is a full one")
def changed(peer):
    second, (identity, suite, psk, age_add) = first(peer)
    other = bytes([identity[0] ^ 1]) + identity[1:]
    second.handshake(second.resuming_hello((other, suite, psk, age_add)))
    return expect_resumed(second, False)


for length in (1, 31, 33, 1_000):

    @enters(f"a ticket of {length} bytes: the handshake is a full one")
    def odd_length(peer, length=length):
        second, (identity, suite, psk, age_add) = first(peer)
        second.handshake(second.resuming_hello(((identity * 40)[:length], suite, psk, age_add)))
        return expect_resumed(second, False)


@enters("a ticket for which only keys without an exchange are offered: the handshake is a full one")
def without_exchange(peer):
    second, ticket = first(peer)
    usual = second.extensions
    second.extensions = lambda **changes: usual(**changes, replacing={PSK_MODES: vector(1, b"\0")})
    second.handshake(second.resuming_hello(ticket))
    return expect_resumed(second, False)


@enters("a ticket that came with another hash: the handshake is a full one")
def other_hash(peer):
    second, (identity, _, psk, age_add) = first(peer, AES_256)
    second.handshake(second.resuming_hello((identity, AES_128, psk[:32], age_add)))
    return expect_resumed(second, False)


@enters("a ticket with early data, which is thrown away unread")
def early_data(peer):
    second, ticket = first(peer)
    usual = second.extensions
    second.extensions = lambda **changes: usual(**changes, replacing={EARLY_DATA: b""})
    hello = second.resuming_hello(ticket)
    second.transcript += hello
    garbage = bytes([APPLICATION_DATA, 3, 3, 0, 200]) + bytes(200)
    second.send(plain_record(HANDSHAKE, hello) + garbage * 3)
    second.read_server_hello()
    second.read_server_flight()
    second.send_flight()
    return expect_resumed(second)


def spoiling(name, detail, alert, spoil):
    @refused(name, detail, alert=alert)
    def say(peer):
        second, ticket = first(peer)
        second.send_hello(second.resuming_hello(ticket, spoil=spoil))
        return second


spoiling("a binder of zeros", "bad_signature", "illegal_parameter", lambda binder: bytes(len(binder)))
spoiling(
    "a binder with a bit changed", "bad_signature", "illegal_parameter",
    lambda binder: bytes([binder[0] ^ 1]) + binder[1:],
)


@refused("a binder for another hello", "bad_signature", alert="illegal_parameter")
def other_hello(peer):
    second, ticket = first(peer)
    hello = second.resuming_hello(ticket)
    at = hello.index(second.random)
    second.send_hello(hello[:at] + bytes([hello[at] ^ 1]) + hello[at + 1 :])
    return second


@refused("a binder under another secret, as of a stolen ticket", "bad_signature", alert="illegal_parameter")
def stolen(peer):
    second, (identity, suite, psk, age_add) = first(peer)
    second.send_hello(second.resuming_hello((identity, suite, bytes(len(psk)), age_add)))
    return second


IDENTITY = vector(2, b"i" * 32) + bytes(4)
BINDER = vector(1, bytes(32))

# None of these tickets is known, so that nothing is taken from the lists: whatever else is wrong with them may be.
for name, body in (
    ("more tickets than binders", vector(2, IDENTITY * 2) + vector(2, BINDER)),
    ("an empty list of tickets", vector(2, b"") + vector(2, BINDER)),
    ("a ticket without a binder", vector(2, IDENTITY) + vector(2, b"")),
):

    @enters(f"{name}: the handshake is a full one")
    def odd_list(peer, body=body):
        peer.handshake(peer.hello(extensions=[*peer.extensions(), (PRE_SHARED_KEY, body)]))
        return expect_resumed(peer, False)


@refused("a list of tickets longer than the extension", MALFORMED, alert="decode_error")
def long_list(peer):
    peer.send_hello(peer.hello(extensions=[*peer.extensions(), (PRE_SHARED_KEY, b"\xff\xff" + IDENTITY)]))


@refused("a ticket that is not in the last extension", MALFORMED, alert="illegal_parameter")
def not_last(peer):
    body = vector(2, IDENTITY) + vector(2, BINDER)
    peer.send_hello(peer.hello(extensions=[(PRE_SHARED_KEY, body), *peer.extensions()]))


@refused("a ticket without a word on how to use it", MALFORMED, alert="missing_extension")
def no_modes(peer):
    body = vector(2, IDENTITY) + vector(2, BINDER)
    pairs = peer.extensions(replacing={PSK_MODES: None})
    peer.send_hello(peer.hello(extensions=[*pairs, (PRE_SHARED_KEY, body)]))
