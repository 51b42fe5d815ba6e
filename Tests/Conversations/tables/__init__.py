"""The conversations, in the order in which a connection could get into them."""

from . import hello, framing, flight, server_flight, resumption
from . import key_updates, records, tampering, after_handshake, alerts, ends
