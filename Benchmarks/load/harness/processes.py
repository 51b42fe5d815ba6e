"""Processes of a run: started pinned to a core, awaited at their port, looked at, and stopped one by one."""

import contextlib
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

from . import BenchmarkFailure
from .places import Place


STARTING_SECONDS = 15
STOPPING_SECONDS = 3
"""For a program to end by itself."""


def raise_descriptor_limit() -> None:
    """As many open files as the hard limit allows, for this process and all it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_cores(cores: set[int], real_time: bool = False):
    """What a child does before it becomes the program: pins itself, and gets ahead of what else the machine does, so
    that the neighbours' work is in nobody's measurement."""

    def prepare() -> None:
        # A shell that runs the benchmark in the background has its children ignore it, and theirs.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.sched_setaffinity(0, cores)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        except PermissionError:
            pass  # Only root may; the run is noisier then, not wrong.
        if real_time:
            set_policy([os.getpid()], os.SCHED_FIFO)

    return prepare


@contextlib.contextmanager
def real_time(pids: list[int]):
    """All threads of these processes run ahead of every ordinary one of the machine for the length of a block: where a
    millisecond matters, a neighbour's time slice is longer than all that is measured. sched(7)."""
    set_policy(pids, os.SCHED_FIFO)
    try:
        yield
    finally:
        set_policy(pids, os.SCHED_OTHER)


def set_policy(pids: list[int], policy: int) -> None:
    priority = os.sched_param(os.sched_get_priority_min(policy))
    for pid in pids:
        for thread in pathlib.Path(f"/proc/{pid}/task").glob("*"):
            try:
                os.sched_setscheduler(int(thread.name), policy, priority)
            except PermissionError:
                return  # Only root may, as above.
            except ProcessLookupError:
                continue  # It has just ended.


def wait_for_port(port: int, process: subprocess.Popen, name: str, log: pathlib.Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkFailure(f"{name} ended at once with status {process.returncode}: {tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    raise BenchmarkFailure(f"{name} does not listen on port {port}: {tail(log)}")


def tail(log: pathlib.Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-5:]) or "it said nothing"


class Server:
    """A program that listens until it is stopped. It leads a process group of its own, so that what it has started can be
    ended even when it is gone."""

    def __init__(self, name: str, arguments: list[str], port: int, cores: set[int], place: Place, count: int = 1):
        """`count`: of processes that it consists of once it has started."""
        self.name = name
        self.port = port
        self.log = place.outside(f"{name}-{port}.log")
        self._is_stopped = False
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                place.command(arguments), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=on_cores(cores),
                process_group=0)
        try:
            wait_for_port(port, self.process, name, self.log)
            self._wait_for_processes(count)
        except BaseException:  # A signal to the benchmark is no reason to leave it behind.
            self.stop()
            raise

    def _wait_for_processes(self, count: int) -> None:
        """The first one may listen before the last has been forked, whose CPU would be nobody's."""
        deadline = time.monotonic() + STARTING_SECONDS
        while (found := len(self.pids)) < count:
            if time.monotonic() > deadline:
                raise BenchmarkFailure(f"{self.name} has {found} of its {count} processes: {tail(self.log)}")
            time.sleep(0.005)

    @property
    def pids(self) -> list[int]:
        """The process and all that it started, such as nginx's worker, but for what has ended meanwhile."""
        children = children_of(self.process.pid)
        if children is None:
            raise BenchmarkFailure(f"{self.name} has ended: {tail(self.log)}")
        found = [self.process.pid]
        while children:
            pid = children.pop(0)
            more = children_of(pid)
            if more is not None:
                found.append(pid)
                children += more
        return found

    def check(self) -> None:
        if self.process.poll() is not None:
            raise BenchmarkFailure(f"{self.name} ended with status {self.process.returncode}: {tail(self.log)}")

    def memory(self) -> tuple[int, int]:
        """Resident and anonymous bytes of all its processes. What several of them share, as nginx's master and worker do,
        counts once: of the first process all that is resident, of the others what is theirs alone. proc_pid_smaps(5)."""
        first, *others = map(memory_map, self.pids)
        resident = first["Rss"] + sum(one["Private_Clean"] + one["Private_Dirty"] for one in others)
        return resident, sum(one["Pss_Anon"] for one in (first, *others))

    def stop(self) -> None:
        """Ends it at once: SIGINT, and SIGKILL to what does not heed it, and to all that it leaves behind: the worker of an
        nginx whose master was killed, or has crashed, goes on listening."""
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=STOPPING_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def children_of(pid: int) -> list[int] | None:
    """What a process has started itself; none where it has ended. proc_pid_task(5)."""
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return None


def memory_map(pid: int) -> dict[str, int]:
    """The sums over all that a process has mapped, in bytes."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(size.split()[0]) * 1024 for name, size in (line.split(":") for line in lines)}


def cpu_nanoseconds(pids: list[int]) -> int:
    """CPU time of processes, with all threads they have and had. The clock is that of clock_getcpuclockid(3), which
    Python doesn't have: bits as in the kernel's include/linux/posix-timers_types.h, CPUCLOCK_SCHED of a process."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)
