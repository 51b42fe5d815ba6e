"""What goes over an interface, byte by byte: tcpdump records it, tshark reads it."""

import secrets
import signal
import socket
import subprocess

from harness import waiting

TLS_CHANGE_CIPHER_SPEC, TLS_ALERT, TLS_HANDSHAKE, TLS_APPLICATION_DATA = 20, 21, 22, 23
_RECORD_HEADER = 5
# RFC 8446, 5.2: 2^14 bytes, and what encryption adds.
_RECORD_MAX = 16_384 + 256


class Capture:
    """Records TCP from its creation on. `launcher`: what brings tcpdump to the interface's network namespace."""

    def __init__(self, interface, file, launcher=()):
        self.file = str(file)
        command = [*launcher, "tcpdump", "--immediate-mode", "-U", "-n", "-i", interface, "-w", self.file, "tcp or udp"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        # It says so once packets are being recorded.
        line = self._process.stderr.readline()
        while line and "listening on" not in line:
            line = self._process.stderr.readline()
        if not line:
            raise AssertionError(f"{' '.join(command)}: exit {self._process.wait()}")

    def stop(self, host):
        """Ends the recording, with everything in it that has been sent. `host`: an address behind the interface."""
        # Packets are recorded in their order: when a mark is in the file, so is all that was sent before it.
        mark = secrets.token_bytes(32)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, (host, 9))
        waiting.until(lambda: mark in self.content, f"a mark in {self.file}")
        self.abandon()

    def abandon(self):
        """Ends the recording wherever it is. The second time it does nothing."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
        self._process.stderr.close()

    @property
    def content(self):
        with open(self.file, "rb") as file:
            return file.read()

    def fields(self, display_filter, *fields, tls_port=None):
        """The fields of each packet that meets the filter, as lists of text."""
        command = ["tshark", "-n", "-r", self.file, "-Y", display_filter, "-T", "fields"]
        for field in fields:
            command += ["-e", field]
        if tls_port is not None:
            command += ["-d", f"tcp.port=={tls_port},tls"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [line.split("\t") for line in output.splitlines()]

    def streams(self, port):
        """Both directions of each connection to a port, put together: pairs of what the client sent and what it got."""
        numbers = sorted({int(row[0]) for row in self.fields(f"tcp.dstport=={port}", "tcp.stream")})
        return [self._stream(number) for number in numbers]

    def _stream(self, number):
        command = ["tshark", "-n", "-r", self.file, "-q", "-z", f"follow,tcp,raw,{number}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        # Hexadecimal lines between two headers; those of the server are indented.
        lines = output.split("Node 1:", 1)[1].splitlines()[1:-1]
        sent = b"".join(bytes.fromhex(line) for line in lines if line and not line.startswith("\t"))
        received = b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
        return sent, received


def tls_record_types(stream):
    """The types of the TLS records that a stream consists of; raises where a single byte is in none."""
    types, offset = [], 0
    while offset < len(stream):
        kind, length = stream[offset], int.from_bytes(stream[offset + 3:offset + _RECORD_HEADER], "big")
        known = kind in (TLS_CHANGE_CIPHER_SPEC, TLS_ALERT, TLS_HANDSHAKE, TLS_APPLICATION_DATA)
        if not known or stream[offset + 1] != 3 or length > _RECORD_MAX:
            raise AssertionError(f"no TLS record at byte {offset}: {stream[offset:offset + 32]!r}")
        types.append(kind)
        offset += _RECORD_HEADER + length
    if offset != len(stream):
        raise AssertionError(f"the last TLS record is cut short by {offset - len(stream)} bytes")
    return types
