"""Messages that have no business after the handshake (RFC 8446 sections 4.1.2, 4.6 and 5)."""

from conversation import CLIENT, SERVER, group
from tls13.peer import (
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, CHANGE_CIPHER_SPEC, CLIENT_HELLO, ENCRYPTED_EXTENSIONS,
    END_OF_EARLY_DATA, FINISHED, HANDSHAKE, MESSAGE_HASH, NEW_SESSION_TICKET, SERVER_HELLO, message, plain_record,
)

passes, enters, breaks, refused = group("after the handshake", CLIENT, SERVER)


@breaks("a ClientHello, which would be renegotiation", "unexpected_message", roles=(CLIENT,))
def renegotiation(peer):
    peer.send(peer.seal(HANDSHAKE, peer.hello()))


@breaks("a ClientHello in the clear", "unexpected_message", roles=(CLIENT,))
def clear_hello(peer):
    peer.send(plain_record(HANDSHAKE, peer.hello()))


@breaks("a ClientHello of a server", "unexpected_message", roles=(SERVER,))
def hello_of_server(peer):
    peer.send(peer.seal(HANDSHAKE, message(CLIENT_HELLO, bytes(60))))


@breaks("a HelloRequest of TLS 1.2", "unexpected_message")
def hello_request(peer):
    peer.send(peer.seal(HANDSHAKE, message(0, b"")))


@breaks("a ServerHello", "unexpected_message")
def server_hello(peer):
    peer.send(peer.seal(HANDSHAKE, message(SERVER_HELLO, bytes(80))))


@breaks("Finished once more", "unexpected_message")
def finished(peer):
    peer.send(peer.seal(HANDSHAKE, message(FINISHED, bytes(peer.suite.hash_size))))


@breaks("Certificate", "unexpected_message")
def certificate(peer):
    peer.send(peer.seal(HANDSHAKE, peer.credentials.certificate_message()))


@breaks("CertificateVerify", "unexpected_message")
def certificate_verify(peer):
    peer.send(peer.seal(HANDSHAKE, message(CERTIFICATE_VERIFY, bytes(70))))


@breaks("EncryptedExtensions", "unexpected_message")
def encrypted_extensions(peer):
    peer.send(peer.seal(HANDSHAKE, message(ENCRYPTED_EXTENSIONS, b"\0\0")))


@breaks("EndOfEarlyData", "unexpected_message")
def end_of_early_data(peer):
    peer.send(peer.seal(HANDSHAKE, message(END_OF_EARLY_DATA, b"")))


@breaks("NewSessionTicket of a client", "unexpected_message", roles=(CLIENT,))
def ticket_of_client(peer):
    peer.send(peer.seal(HANDSHAKE, message(NEW_SESSION_TICKET, bytes(40))))


@breaks("CertificateRequest, which nobody has agreed to", "unexpected_message")
def certificate_request(peer):
    body = b"\1\1\0\x08\0\x0d\0\4\0\2\4\3"
    peer.send(peer.seal(HANDSHAKE, message(CERTIFICATE_REQUEST, body)))


@breaks("the message that is only a hash", "unexpected_message")
def message_hash(peer):
    peer.send(peer.seal(HANDSHAKE, message(MESSAGE_HASH, bytes(32))))


@breaks("a message of a type that doesn't exist", "unexpected_message")
def unknown(peer):
    peer.send(peer.seal(HANDSHAKE, message(99, b"what?")))


@breaks("the head of a message of 16 MiB", "unexpected_message")
def endless(peer):
    peer.send(peer.seal(HANDSHAKE, bytes([CERTIFICATE, 0xFF, 0xFF, 0xFF]) + bytes(1_000)))


@breaks("a change of cipher in the clear", "unexpected_message")
def change_cipher_spec(peer):
    peer.send(plain_record(CHANGE_CIPHER_SPEC, b"\1"))


@breaks("a sealed change of cipher", "unexpected_message")
def sealed_change_cipher_spec(peer):
    peer.send(peer.seal(CHANGE_CIPHER_SPEC, b"\1"))


for content_type in (19, 24, 25, 99, 255):

    @breaks(f"sealed content of type {content_type}", "unexpected_message")
    def content(peer, content_type=content_type):
        peer.send(peer.seal(content_type, b"content"))


@passes("tickets, some at once and some later", roles=(SERVER,))
def tickets(peer):
    peer.send(peer.seal(HANDSHAKE, peer.ticket() + peer.ticket(b"another", b"\1")))
    peer.echo(b"in between")
    for number in range(20):
        peer.send(peer.seal(HANDSHAKE, peer.ticket(bytes([number]) * 200, bytes([number]))))
    peer.echo(b"afterwards")


@passes("a ticket in two records, cut at every tenth place", roles=(SERVER,))
def fragmented_ticket(peer):
    for cut in range(1, 60, 10):
        ticket = peer.ticket(bytes([cut]) * 60)
        peer.send(peer.seal(HANDSHAKE, ticket[:cut]) + peer.seal(HANDSHAKE, ticket[cut:]))
        peer.echo(b"cut at %d" % cut)


@passes("a large ticket, and one that lives for nothing", roles=(SERVER,))
def large_ticket(peer):
    peer.send(peer.seal(HANDSHAKE, peer.ticket(b"t" * 4_000)))
    peer.send(peer.seal(HANDSHAKE, peer.ticket(lifetime=0)))
    peer.echo(b"afterwards")


@breaks("a ticket with data between its halves", "unexpected_message", roles=(SERVER,))
def interleaved_ticket(peer):
    ticket = peer.ticket()
    peer.send(peer.seal(HANDSHAKE, ticket[:10]) + peer.seal(23, b"data") + peer.seal(HANDSHAKE, ticket[10:]))


# A client reads the first ticket of a connection; whatever is in later ones is skipped.
@passes("a second ticket without an identity", roles=(SERVER,))
def empty_ticket(peer):
    peer.send(peer.seal(HANDSHAKE, peer.ticket()) + peer.seal(HANDSHAKE, peer.ticket(identity=b"")))
    peer.echo(b"afterwards")


@passes("a second ticket cut short", roles=(SERVER,))
def short_ticket(peer):
    peer.send(peer.seal(HANDSHAKE, peer.ticket()) + peer.seal(HANDSHAKE, message(NEW_SESSION_TICKET, bytes(6))))
    peer.echo(b"afterwards")


@breaks("half a key update, and then close_notify", "unexpected_message")
def alert_inside_of_message(peer):
    peer.send(peer.seal(HANDSHAKE, b"\x18\0") + peer.alert("close_notify", 1))
