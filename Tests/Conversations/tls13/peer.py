"""One end of a TLS 1.3 connection: records over a socket, and what both roles do once the handshake is over."""

import socket

from .keys import APPLICATION_DATA

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22

CLIENT_HELLO, SERVER_HELLO, NEW_SESSION_TICKET, END_OF_EARLY_DATA = 1, 2, 4, 5
ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY = 8, 11, 13, 15
FINISHED, KEY_UPDATE, MESSAGE_HASH = 20, 24, 254

WARNING, FATAL = 1, 2
ALERTS = {
    "close_notify": 0, "unexpected_message": 10, "bad_record_mac": 20, "record_overflow": 22, "handshake_failure": 40,
    "bad_certificate": 42, "certificate_unknown": 46, "illegal_parameter": 47, "unknown_ca": 48, "decode_error": 50,
    "decrypt_error": 51, "protocol_version": 70, "internal_error": 80, "user_canceled": 90, "missing_extension": 109,
    "unsupported_extension": 110, "certificate_required": 116,
}
ALERT_NAMES = {code: name for name, code in ALERTS.items()}


class Violation(Exception):
    """The sidecar did something that it shouldn't."""


def vector(size_bytes, content):
    """A variable-length vector with its length in front (RFC 8446 section 3.4)."""
    return len(content).to_bytes(size_bytes, "big") + content


def message(kind, body):
    return bytes([kind]) + vector(3, body)


def plain_record(content_type, content, version=0x0303):
    return bytes([content_type]) + version.to_bytes(2, "big") + vector(2, content)


class Peer:
    def __init__(self, connection, credentials):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.credentials = credentials
        self.transcript = b""
        self.sending = self.receiving = None
        self.takes_clear_alerts = False
        self.messages = b""  # handshake bytes that are no whole message yet
        self.tickets = []  # bodies of NewSessionTicket
        self.key_updates = 0  # that the sidecar made
        self.said = b""  # application data that the sidecar had to take
        self.finish_is_sent = False

    # Bytes and records

    def send(self, data):
        try:
            self.connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # conversations judge by the end of what they receive

    def send_in_pieces(self, data, size=1):
        for start in range(0, len(data), size):
            self.send(data[start : start + size])

    def _receive_exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.connection.recv(count - len(data))
            except ConnectionResetError:
                part = b""
            if not part:
                if data:
                    raise Violation("the sidecar ended the connection inside of a record")
                return None
            data += part
        return data

    def read_record(self):
        """The next record's type and content; None at the end of the connection."""
        header = self._receive_exactly(5)
        if header is None:
            return None
        body = self._receive_exactly(int.from_bytes(header[3:], "big"))
        if header[1] != 3 or body is None or len(body) > 2**14 + 256:
            raise Violation(f"the sidecar sent a malformed record: {header.hex()}")
        if header[0] == CHANGE_CIPHER_SPEC or self.receiving is None:
            return header[0], body
        if header[0] == ALERT and self.takes_clear_alerts:
            return header[0], body
        if header[0] != APPLICATION_DATA:
            raise Violation(f"the sidecar sent a record in the clear: {header.hex()} {body.hex()}")
        return self.receiving.open(header, body)

    def seal(self, content_type, content, **options):
        return self.sending.seal(content_type, content, **options)

    def record(self, content_type, content):
        """A record as it has to be at this moment."""
        return self.seal(content_type, content) if self.sending else plain_record(content_type, content)

    # Messages of the handshake

    def read_message(self, *kinds):
        """The next handshake message, which must be of one of these kinds; its kind and its body."""
        while len(self.messages) < 4 or len(self.messages) < 4 + int.from_bytes(self.messages[1:4], "big"):
            record = self.read_record()
            if record is None:
                raise Violation("the connection ended where a handshake message was due")
            content_type, content = record
            if content_type == ALERT:
                raise Violation(f"alert {ALERT_NAMES.get(content[1], content[1])} in the handshake")
            if content_type == HANDSHAKE:
                self.messages += content
            elif content_type != CHANGE_CIPHER_SPEC:
                raise Violation(f"a record of type {content_type} in the handshake")
        size = 4 + int.from_bytes(self.messages[1:4], "big")
        taken, self.messages = self.messages[:size], self.messages[size:]
        if taken[0] not in kinds:
            raise Violation(f"handshake message {taken[0]} where {kinds} was due")
        self.transcript += taken
        return taken[0], taken[4:]

    # Data

    def say(self, data, **options):
        """One record of application data."""
        self.send(self.saying(data, **options))

    def saying(self, data, **options):
        self.said += data
        return self.seal(APPLICATION_DATA, data, **options)

    def expect(self, data):
        """Exactly this application data, with whatever else the protocol allows in between."""
        received = b""
        while len(received) < len(data):
            record = self.read_record()
            if record is None:
                raise Violation(f"the connection ended after {len(received)} of {len(data)} bytes")
            content_type, content = record
            if content_type == APPLICATION_DATA:
                received += content
            elif content_type == HANDSHAKE:
                self._after_handshake(content)
            else:
                raise Violation(f"a record of type {content_type}: {content.hex()}, where data was due")
        if received != data:
            raise Violation("other data came back than was sent")

    def echo(self, data, **options):
        self.say(data, **options)
        self.expect(data)

    def _after_handshake(self, content):
        self.messages += content
        while len(self.messages) >= 4:
            size = 4 + int.from_bytes(self.messages[1:4], "big")
            if len(self.messages) < size:
                return
            taken, self.messages = self.messages[:size], self.messages[size:]
            if taken[0] == NEW_SESSION_TICKET:
                self.tickets.append(taken[4:])
            elif taken[0] == KEY_UPDATE:
                if self.messages:
                    raise Violation("a key update that doesn't end its record")
                if taken[4] != 0:
                    raise Violation("the sidecar asked for a key update that nobody needs")
                self.key_updates += 1
                self.receiving.update()
            else:
                raise Violation(f"handshake message {taken[0]} after the handshake")

    def key_update(self, ask=False):
        """The record of a key update; what is sealed after it is sealed under the next keys."""
        record = self.seal(HANDSHAKE, message(KEY_UPDATE, bytes([ask])))
        self.sending.update()
        return record

    # The end

    def alert(self, description, level=FATAL):
        return self.record(ALERT, bytes([level, ALERTS[description]]))

    def close_notify(self):
        self.send(self.alert("close_notify", WARNING))

    def finish(self):
        """FIN."""
        self.finish_is_sent = True
        self.connection.shutdown(socket.SHUT_WR)

    def expect_close_notify(self):
        self.expect_alert("close_notify")

    def expect_alert(self, description):
        """This alert next, tickets aside, and the end of the connection."""
        while (record := self.read_record()) is not None:
            content_type, content = record
            if content_type == HANDSHAKE and self.receiving and content[0] == NEW_SESSION_TICKET:
                continue
            if content_type == ALERT and len(content) == 2 and content[1] == ALERTS[description]:
                if description != "close_notify" and content[0] != FATAL:
                    raise Violation(f"the alert {description} is a mere warning")
                return self.expect_end()
            if content_type == ALERT:
                raise Violation(f"alert {ALERT_NAMES.get(content[1], content.hex())} in place of {description}")
            raise Violation(f"a record of type {content_type}: {content[:20].hex()}, in place of an alert")
        raise Violation(f"the connection ended without the alert {description}")

    def expect_end(self):
        record = self.read_record()
        if record is not None:
            raise Violation(f"a record of type {record[0]}: {record[1][:20].hex()}, where the end was due")
