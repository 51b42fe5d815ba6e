"""What this machine is, which of its cores do what, and the network namespace of a run."""

import contextlib
import ctypes
import os
import pathlib
import platform
import subprocess

from . import BenchmarkFailure

CLONE_NEWNET = 0x40000000
has_own_network = False
"""Whether this process is in a network namespace of its own."""

HALT_POLLING = pathlib.Path("/sys/module/haltpoll/parameters")
"""Of the cpuidle governor of virtual machines."""
IDLE_DRIVER = pathlib.Path("/sys/devices/system/cpu/cpuidle/current_driver")
POLLED_NANOSECONDS = 50_000

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


def latency_file(core: int) -> pathlib.Path:
    """How long a core may take to wake up: "n/a" if it may not halt, "0" if that doesn't matter. Documentation/ABI/testing/
    sysfs-devices-power, pm_qos_resume_latency_us."""
    return pathlib.Path(f"/sys/devices/system/cpu/cpu{core}/power/pm_qos_resume_latency_us")


def can_stay_awake() -> bool:
    """Whether this kernel and these rights allow what `awake` does to the proxies' core. Without a driver it halts whatever the
    file says."""
    _, proxy_core = cores()
    return os.access(latency_file(proxy_core), os.W_OK) and IDLE_DRIVER.exists() and IDLE_DRIVER.read_text().strip() != "none"


def restore(path: pathlib.Path, text: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(text)


@contextlib.contextmanager
def awake():
    """Keeps cores from halting for the length of a block, as programs that measure latency do (cyclictest(8)). A virtual core
    that has halted is woken by the host, which takes 20 to 250 µs by its other work, and of a message through a proxy there are
    four such moments: more than all that a proxy does.
    The proxies' core waits without halting. The other one does for up to 50 µs, about as long as a message is away from it: a host that
    grants two cores' time has none left where both never halt, and stopped them for 2.6 ms in every tenth of a second."""
    _, proxy_core = cores()
    wanted = {
        latency_file(proxy_core): "n/a",
        HALT_POLLING / "guest_halt_poll_allow_shrink": "N",
        HALT_POLLING / "guest_halt_poll_grow_start": str(POLLED_NANOSECONDS),
        HALT_POLLING / "guest_halt_poll_ns": str(POLLED_NANOSECONDS),
    }
    with contextlib.ExitStack() as stack:
        for path, value in wanted.items():
            # Not root, or a kernel without it: the page says so (can_stay_awake).
            with contextlib.suppress(OSError):
                before = path.read_text()
                stack.callback(restore, path, before)
                path.write_text(value)
        yield


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
