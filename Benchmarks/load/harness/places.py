"""Where candidates run: on the host, or in a root file system of its own for everybody to have the same OpenSSL."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import zlib

from . import BenchmarkFailure

CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache"

# What the sidecar and the peers need of Debian 13, whose libssl is 3.5.
DEBIAN_13_PACKAGES = "libssl3t64,liburing2,libyaml-0-2,zlib1g,haproxy,nginx-light,libnginx-mod-stream,openssl"


class Place:
    """A root directory, and a directory of this run in it."""

    def __init__(self, root: pathlib.Path | None):
        self.root = root
        self.name = "host" if root is None else root.name
        parent = None if root is None else root / "tmp"
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="sidecar-bench-", dir=parent))

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def write(self, name: str, text: str) -> str:
        """Writes a file for a candidate; returns its path as the candidate sees it."""
        (self._directory / name).write_text(text)
        return self.inside(name)

    def bring(self, program: pathlib.Path) -> str:
        """A program of the host's, as seen from this place."""
        if self.root is None:
            return str(program)
        # Two builds of one program have the same name.
        name = f"{program.name}-{zlib.crc32(bytes(program)):08x}"
        copy = self._directory / name
        if not copy.exists():
            shutil.copy2(program, copy)
        return self.inside(name)

    def program(self, name: str) -> str:
        """A program of the place's own distribution."""
        for directory in ("usr/sbin", "usr/bin"):
            path = pathlib.Path(self.root or "/") / directory / name
            if path.exists():
                return f"/{directory}/{name}"
        raise BenchmarkFailure(f"{name} is not installed; `make bench` installs it (scripts/install-packages bench)")

    def inside(self, name: str) -> str:
        path = self._directory / name
        return str(path) if self.root is None else "/" + str(path.relative_to(self.root))

    def outside(self, name: str) -> pathlib.Path:
        return self._directory / name

    def configurations(self) -> dict[str, str]:
        """The settings that candidates were given here, by file."""
        suffixes = {".cfg", ".conf", ".json", ".yaml"}
        return {path.name: path.read_text() for path in sorted(self._directory.iterdir()) if path.suffix in suffixes}

    def command(self, arguments: list[str]) -> list[str]:
        """The command as the host starts it; the process keeps its id. A Swift program finds its arguments in /proc,
        which a mount namespace of the process's own gives it, so that nothing has to be unmounted."""
        if self.root is None:
            return arguments
        enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        return ["unshare", "--mount", "sh", "-c", enter, str(self.root), *arguments]

    def output(self, arguments: list[str]) -> str:
        """What a program of this place says, such as its version; both streams."""
        done = subprocess.run(self.command(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip()


DEBIAN_13 = CACHE / "debian13"


def make_debian_13() -> None:
    """Makes the cached root file system of Debian 13 if it isn't there yet. Needs the host's network."""
    root = DEBIAN_13
    if not (root / "usr/sbin/haproxy").exists():
        if os.geteuid() != 0:
            raise BenchmarkFailure("the Debian 13 root needs root (mmdebstrap, chroot); or give --tls-root host")
        shutil.rmtree(root, ignore_errors=True)
        CACHE.mkdir(exist_ok=True)
        keyring = "/usr/share/keyrings/debian-archive-trixie-automatic.gpg"
        print("making the Debian 13 root, once ...", flush=True)
        partial = CACHE / "debian13.new"
        shutil.rmtree(partial, ignore_errors=True)
        made = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={DEBIAN_13_PACKAGES}",
             f"--keyring={keyring}", "trixie", str(partial), "http://deb.debian.org/debian"])
        if made.returncode != 0:
            raise BenchmarkFailure("mmdebstrap failed; or give --tls-root host to measure TLS with the host's OpenSSL")
        partial.rename(root)


def debian_13() -> Place:
    """In the root that `make_debian_13` has made."""
    return Place(DEBIAN_13)


def host() -> Place:
    return Place(None)
