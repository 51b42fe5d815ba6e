"""TLS 1.3 (RFC 8446) by hand: every message and every record is made explicitly, so that each can be made wrong.

The cryptography is tlslite-ng's, which shares no code with libssl.
"""
