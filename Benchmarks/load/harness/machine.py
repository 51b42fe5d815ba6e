"""What this machine is, which of its cores do what, and the network namespace of a run."""

import ctypes
import os
import pathlib
import platform
import subprocess

from . import BenchmarkFailure

CLONE_NEWNET = 0x40000000
has_own_network = False
"""Whether this process is in a network namespace of its own."""

CONGESTION_CONTROL = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")


def cores() -> tuple[int, int]:
    """One core for load and origin, another one for the proxies."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkFailure("two cores are needed: one for load and origin, one for the proxy")
    return usable[0], usable[1]


def enter_own_network() -> bool:
    """Moves this process, and all it starts from here on, into a network namespace with nothing but a loopback device:
    what a pod has. No packet filter of the host's is in the way of the packets (connection tracking alone costs a tenth
    of the CPU of a small message), and no port can be taken. Congestion control is Reno, which every kernel has and
    every namespace may choose: it doesn't pace, as BBR does with a timer per socket. Needs root; without it the run goes
    on in the host's namespace.
    Tells whether it worked."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return False
    global has_own_network
    has_own_network = True
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    CONGESTION_CONTROL.write_text("reno")
    return True


def forget_closed_connections() -> None:
    """Ends what is in TIME_WAIT. A sample of new connections leaves ten thousand such sockets, whose timers expire together a
    minute later, at two seconds' precision: a stall of 3 to 8 ms for whoever is measured then, and by the clock of a run that is
    the same candidate each time. Where the kernel doesn't let ss(8) do it, they stay."""
    if has_own_network:
        subprocess.run(["ss", "--kill", "--tcp", "state", "time-wait"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def description() -> dict:
    """What a reader of the figures has to know of the machine."""
    about = {
        name.strip(): value.strip() for name, _, value in (
            line.partition(":") for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines())}
    return {
        "processor": about.get("model name", platform.machine()),
        "isVirtual": "hypervisor" in about.get("flags", "").split(),
        "cores": os.cpu_count(),
        "memoryBytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "congestionControl": CONGESTION_CONTROL.read_text().strip(),
    }
