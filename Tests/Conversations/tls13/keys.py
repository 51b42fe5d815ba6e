"""The key schedule and the record protection (RFC 8446 sections 5.2, 5.3 and 7.1 to 7.3)."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Callable

from tlslite.utils.cipherfactory import createAESGCM, createCHACHA20

APPLICATION_DATA = 23


@dataclass(frozen=True)
class Suite:
    code: int
    hash_name: str
    key_size: int
    make_cipher: Callable

    @property
    def hash_size(self):
        return hashlib.new(self.hash_name).digest_size

    def digest(self, data):
        return hashlib.new(self.hash_name, data).digest()

    def extract(self, salt, secret):
        return hmac.new(salt, secret, self.hash_name).digest()

    def expand_label(self, secret, label, context, size):
        name = b"tls13 " + label.encode()
        info = size.to_bytes(2, "big") + bytes([len(name)]) + name + bytes([len(context)]) + context
        block, result = b"", b""
        while len(result) < size:
            counter = bytes([len(result) // self.hash_size + 1])
            block = hmac.new(secret, block + info + counter, self.hash_name).digest()
            result += block
        return result[:size]

    def finished(self, secret, transcript):
        """The verify_data of a Finished message, or a binder, over a transcript."""
        key = self.expand_label(secret, "finished", b"", self.hash_size)
        return hmac.new(key, self.digest(transcript), self.hash_name).digest()


PYTHON = ["python"]
AES_128 = Suite(0x1301, "sha256", 16, lambda key: createAESGCM(bytearray(key), PYTHON))
AES_256 = Suite(0x1302, "sha384", 32, lambda key: createAESGCM(bytearray(key), PYTHON))
CHACHA20 = Suite(0x1303, "sha256", 32, lambda key: createCHACHA20(bytearray(key), PYTHON))
SUITES = {suite.code: suite for suite in (AES_128, AES_256, CHACHA20)}


class KeySchedule:
    """The chain of secrets: early, handshake, master."""

    def __init__(self, suite, psk=None):
        self.suite = suite
        self.secret = suite.extract(bytes(suite.hash_size), psk or bytes(suite.hash_size))

    def derive(self, label, transcript):
        return self.suite.expand_label(self.secret, label, self.suite.digest(transcript), self.suite.hash_size)

    def advance(self, shared=None):
        salt = self.derive("derived", b"")
        self.secret = self.suite.extract(salt, shared or bytes(self.suite.hash_size))


class Protection:
    """One direction's keys under one traffic secret."""

    def __init__(self, suite, secret):
        self.suite = suite
        self.use(secret)

    def use(self, secret):
        self.secret = secret
        self.cipher = self.suite.make_cipher(self.suite.expand_label(secret, "key", b"", self.suite.key_size))
        self.iv = int.from_bytes(self.suite.expand_label(secret, "iv", b"", 12), "big")
        self.sequence = 0

    def update(self):
        """Goes on to the next generation of keys (section 7.2)."""
        self.use(self.suite.expand_label(self.secret, "traffic upd", b"", self.suite.hash_size))

    def _nonce(self):
        nonce = bytearray((self.iv ^ self.sequence).to_bytes(12, "big"))
        self.sequence += 1
        return nonce

    def seal(self, content_type, content, padding=0, outer_type=APPLICATION_DATA, version=0x0303):
        """A record; `content_type` None leaves the type out, so that only padding is behind the content."""
        inner = content + (b"" if content_type is None else bytes([content_type])) + bytes(padding)
        header = bytes([outer_type]) + version.to_bytes(2, "big") + (len(inner) + 16).to_bytes(2, "big")
        return header + bytes(self.cipher.seal(self._nonce(), bytearray(inner), bytearray(header)))

    def open(self, header, body):
        """The content's type and the content; ValueError for a record that is not genuine."""
        inner = self.cipher.open(self._nonce(), bytearray(body), bytearray(header))
        if inner is None:
            raise ValueError("the sidecar sent a record that can't be opened")
        inner = bytes(inner).rstrip(b"\0")
        return inner[-1], inner[:-1]
