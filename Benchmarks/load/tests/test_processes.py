"""Goal: processes that are measured run as the method says. Method: a process that sleeps, and what the kernel says of it."""

import os
import pathlib
import subprocess
import tempfile
import unittest
from unittest import mock

from harness import BenchmarkFailure, machine, processes
from harness.candidates import process_count
from harness.places import host


class StartTests(unittest.TestCase):
    def start(self, script: str, count: int, seconds: float) -> processes.Server:
        place = host()
        self.addCleanup(place.close)
        with mock.patch.object(processes, "wait_for_port"), mock.patch.object(processes, "STARTING_SECONDS", seconds):
            server = processes.Server("proxy", ["sh", "-c", script], 1, {0}, place, count=count)
        self.addCleanup(server.stop)
        return server

    def test_a_proxy_has_started_when_all_of_its_processes_are_there(self):
        late = self.start("i=0; while [ $i -lt 9999 ]; do i=$((i + 1)); done; sleep 60 & wait", 2, seconds=30)
        self.assertEqual(len(late.pids), 2)
        with self.assertRaisesRegex(BenchmarkFailure, "1 of its 2 processes"):
            self.start("exec sleep 60", 2, seconds=0.2)

    def test_a_child_that_has_ended_is_none_and_a_process_that_has_is_an_error(self):
        running = self.start("exec sleep 60", 1, seconds=5)
        pid = running.process.pid
        families = {pid: [901, 902], 901: None, 902: [903], 903: []}
        with mock.patch.object(processes, "children_of", families.get):
            self.assertEqual(running.pids, [pid, 902, 903])
        running.stop()
        with self.assertRaisesRegex(BenchmarkFailure, "has ended"):
            self.fail(running.pids)

    def test_whose_workers_are_processes(self):
        self.assertEqual([process_count(name, 2) for name in ("sidecar", "haproxy", "envoy", "nginx", "floor-epoll")], [1, 1, 1, 3, 2])


class AwakeTests(unittest.TestCase):
    """With files of the test's own in place of the kernel's."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.before = {
            f"latency{machine.cores()[1]}": "0", "guest_halt_poll_ns": "0", "guest_halt_poll_grow_start": "10000",
            "guest_halt_poll_allow_shrink": "Y"}
        for name, value in self.before.items():
            (self.root / name).write_text(value)
        for name, value in (
                ("latency_file", lambda core: self.root / f"latency{core}"), ("HALT_POLLING", self.root),
                ("IDLE_DRIVER", self.root / "driver")):
            patch = mock.patch.object(machine, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def found(self) -> dict[str, str]:
        return {name: (self.root / name).read_text() for name in self.before if (self.root / name).exists()}

    def test_for_the_length_of_a_block_and_as_it_was_after_it(self):
        with self.assertRaises(ZeroDivisionError), machine.awake():
            polled = str(machine.POLLED_NANOSECONDS)
            self.assertEqual(list(self.found().values()), ["n/a", polled, polled, "N"])
            raise ZeroDivisionError
        self.assertEqual(self.found(), self.before)

    def test_a_kernel_without_it_leaves_the_block_as_it_is(self):
        for driver, is_used in (("none", False), ("haltpoll", True)):
            (self.root / "driver").write_text(f"{driver}\n")
            self.assertEqual(machine.can_stay_awake(), is_used)
        for name in self.before:
            (self.root / name).unlink()
        self.assertFalse(machine.can_stay_awake())
        with machine.awake():
            self.assertEqual(self.found(), {})


@unittest.skipUnless(os.geteuid() == 0, "only root may change the scheduling policy")
class RealTimeTests(unittest.TestCase):
    def start(self, **options) -> int:
        process = subprocess.Popen(["sleep", "60"], preexec_fn=processes.on_cores({0}, **options))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process.pid

    def test_for_the_length_of_a_block(self):
        pid = self.start()
        niceness = os.getpriority(os.PRIO_PROCESS, pid)
        with processes.real_time([pid]):
            self.assertEqual(os.sched_getscheduler(pid), os.SCHED_FIFO)
        self.assertEqual(os.sched_getscheduler(pid), os.SCHED_OTHER)
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, pid), niceness)

    def test_from_the_start_of_the_load(self):
        self.assertEqual(os.sched_getscheduler(self.start(real_time=True)), os.SCHED_FIFO)

    def test_a_process_that_has_ended_is_passed_over(self):
        process = subprocess.Popen(["true"])
        process.wait()
        with processes.real_time([process.pid]):
            pass
