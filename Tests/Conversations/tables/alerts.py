"""Alerts of the peer's (RFC 8446 section 6)."""

from conversation import CLIENT, SERVER, group
from tls13.peer import ALERT, ALERTS, FATAL, WARNING, plain_record

passes, enters, breaks, refused = group("alerts", CLIENT, SERVER)

for description in ("internal_error", "unexpected_message", "bad_record_mac", "decode_error"):

    @breaks(f"fatal: {description}", "peer_alert", alert=None)
    def fatal(peer, description=description):
        peer.send(peer.alert(description))


@breaks("fatal: the sidecar's certificate is bad", "peer_refused_certificate", alert=None)
def bad_certificate(peer):
    peer.send(peer.alert("bad_certificate"))


@breaks("fatal, byte by byte", "peer_alert", alert=None)
def byte_by_byte(peer):
    peer.send_in_pieces(peer.alert("internal_error"))


@breaks("a warning that TLS 1.3 takes for fatal", "peer_alert", alert=None)
def warning(peer):
    peer.send(peer.alert("internal_error", WARNING))


@breaks("a description that doesn't exist", "peer_alert", alert=None)
def unknown(peer):
    peer.send(peer.seal(ALERT, bytes([FATAL, 200])))


@breaks("a level that doesn't exist, which TLS 1.3 ignores", "peer_alert", alert=None)
def unknown_level(peer):
    peer.send(peer.seal(ALERT, bytes([7, 80])))


@passes("user_canceled, which says nothing by itself")
def user_canceled(peer):
    peer.send(peer.alert("user_canceled", WARNING))
    peer.echo(b"on second thoughts")


@breaks("user_canceled, hundreds of times", "unexpected_message")
def flood(peer):
    peer.send(b"".join(peer.alert("user_canceled", WARNING) for _ in range(300)))


@breaks("one byte long", "malformed_message", alert="decode_error")
def short(peer):
    peer.send(peer.seal(ALERT, b"\2"))


@breaks("three bytes long", "malformed_message", alert="decode_error")
def long(peer):
    peer.send(peer.seal(ALERT, b"\2\x50\0"))


@breaks("two in one record", "malformed_message", alert="decode_error")
def two(peer):
    peer.send(peer.seal(ALERT, bytes([WARNING, 90, FATAL, 80])))


@breaks("in two records", "malformed_message", alert="decode_error")
def fragmented(peer):
    peer.send(peer.seal(ALERT, b"\2") + peer.seal(ALERT, bytes([ALERTS["internal_error"]])))


@breaks("in the clear", "unexpected_message")
def clear(peer):
    peer.send(plain_record(ALERT, bytes([FATAL, 80])))


@refused("fatal, instead of a client's flight", "peer_alert", alert=None, roles=(CLIENT,))
def instead_of_flight(peer):
    peer.reach_flight()
    peer.send(peer.alert("internal_error"))


@refused("in the clear, instead of a client's flight", "peer_alert", alert=None, roles=(CLIENT,))
def clear_instead_of_flight(peer):
    # A client that could not derive the keys has no other way to say it.
    peer.reach_flight()
    peer.send(plain_record(ALERT, bytes([FATAL, 80])))
