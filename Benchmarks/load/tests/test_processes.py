"""Goal: processes that are measured run as the method says. Method: a process that sleeps, and what the kernel says of it."""

import os
import subprocess
import unittest

from harness import processes


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
