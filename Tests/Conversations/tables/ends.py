"""How streams end: close_notify, FIN, and what comes behind or instead (RFC 8446 section 6.1)."""

from conversation import CLIENT, SERVER, group
from tls13.keys import APPLICATION_DATA
from tls13.peer import ALERT, FATAL, plain_record

passes, enters, breaks, refused = group("ends", CLIENT, SERVER)


@breaks("FIN without close_notify", "-", alert=None, reason="tls_truncated")
def truncated(peer):
    peer.finish()


@breaks("FIN inside of a record's header", "-", alert=None, reason="tls_truncated")
def in_header(peer):
    peer.send(peer.seal(APPLICATION_DATA, b"data")[:3])
    peer.finish()


@breaks("FIN inside of a record", "-", alert=None, reason="tls_truncated")
def in_record(peer):
    peer.send(peer.seal(APPLICATION_DATA, bytes(5_000))[:4_000])
    peer.finish()


@breaks("FIN inside of close_notify", "-", alert=None, reason="tls_truncated")
def in_close_notify(peer):
    peer.send(peer.alert("close_notify", 1)[:-1])
    peer.finish()


@breaks("FIN inside of a handshake message, between two records", "-", alert=None, reason="tls_truncated")
def in_message(peer):
    peer.send(peer.seal(22, b"\x18\0"))
    peer.finish()


@breaks("FIN behind a record in the clear that says close_notify", "unexpected_message")
def forged_close_notify(peer):
    # Whoever sits on the wire could send this one.
    peer.send(plain_record(ALERT, b"\1\0"))
    peer.finish()


def ends(peer, *, fin):
    """The answer still comes after the end of our direction."""
    peer.say(b"the last request")
    peer.close_notify()
    if fin:
        peer.finish()
    peer.expect(b"the last request")
    peer.expect_close_notify()


@passes("close_notify while the answer is still to come")
def half_close(peer):
    ends(peer, fin=False)
    return reopened(peer)


@passes("close_notify and FIN while the answer is still to come")
def half_close_with_fin(peer):
    ends(peer, fin=True)
    return reopened(peer)


@passes("close_notify in one packet with a hundred records before it")
def behind_many(peer):
    peer.send(b"".join(peer.saying(b"record %02d" % number) for number in range(100)) + peer.alert("close_notify", 1))
    peer.expect(b"".join(b"record %02d" % number for number in range(100)))
    peer.expect_close_notify()
    return reopened(peer)


@passes("close_notify that calls itself fatal")
def fatal_close_notify(peer):
    peer.send(peer.alert("close_notify", FATAL))
    peer.expect_close_notify()
    return reopened(peer)


@passes("close_notify with padding")
def padded_close_notify(peer):
    peer.send(peer.seal(ALERT, b"\1\0", padding=500))
    peer.expect_close_notify()
    return reopened(peer)


@passes("data behind close_notify, which nobody reads")
def data_behind(peer):
    record = peer.alert("close_notify", 1)
    peer.send(record + peer.seal(APPLICATION_DATA, b"too late"))
    peer.expect_close_notify()
    return reopened(peer)


@passes("garbage behind close_notify, which nobody reads")
def garbage_behind(peer):
    peer.send(peer.alert("close_notify", 1) + b"\0" * 100)
    peer.expect_close_notify()
    return reopened(peer)


def reopened(peer):
    """What is left to show: that the app saw a clean end, and that the next one is served."""
    peer.connection.close()
    stage = peer.stage
    stage.expect_app(peer, "finish")
    stage.note_end()
    return stage.establish()
