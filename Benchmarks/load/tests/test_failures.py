"""Goal: what goes wrong in a run ends it with a sentence that says what, or is measured again where the method says so; never
a figure. Method: shell scripts in the place of the generator and of proxies."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from harness import BenchmarkFailure, checks, memory, places, processes, results, rounds, section, works
from harness.candidates import Candidate, Ports, Programs

from .figures import sample

CORE = min(os.sched_getaffinity(0))
RESULT = sample("sidecar", 0, "pingpong-64x64")


class FailureTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.place = places.host()
        self.addCleanup(self.place.close)

    def script(self, name: str, text: str) -> pathlib.Path:
        path = self.directory / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
        return path

    def load(self, text: str) -> rounds.Load:
        nothing = pathlib.Path("/nonexistent")
        program = self.script("load", f'echo run >>"{self.directory}/runs"; {text}')
        return rounds.Load(Programs(nothing, program, nothing, nothing, nothing), CORE, 0.1, self.directory / "received")

    def runs(self) -> int:
        return len((self.directory / "runs").read_text().splitlines())

    def server(self, text: str, count: int = 1) -> processes.Server:
        """A proxy whose port is one that the test itself listens on."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        server = processes.Server(
            "proxy", [str(self.script("proxy", text))], listener.getsockname()[1], {CORE}, self.place, count=count)
        self.addCleanup(server.stop)
        return server

    def assert_fails(self, *words: str):
        return self.assertRaisesRegex(BenchmarkFailure, ".*".join(words))


class SampleTests(FailureTests):
    work = works.messages(64, 64)
    direct = Candidate("direct", (1,), [])

    def output(self, **more) -> str:
        return f"echo '{json.dumps({**RESULT, 'observed': [], **more})}'"

    def test_a_good_sample_is_taken_at_once(self):
        self.assertEqual(self.load(self.output()).sample(self.work, self.direct)["attempts"], 1)

    def test_a_lost_byte_ends_the_run_at_once(self):
        load = self.load("echo 'Error: a reply differs from the message that was sent' >&2; exit 1")
        with self.assert_fails("pingpong-64x64 through direct", "differs"):
            load.sample(self.work, self.direct)
        self.assertEqual(self.runs(), 1)

    def test_a_sample_without_progress_is_measured_again_but_not_for_ever(self):
        load = self.load("echo 'Error: no progress: nothing came through' >&2; exit 1")
        with self.assert_fails("no progress"):
            load.sample(self.work, self.direct)
        self.assertEqual(self.runs(), rounds.ATTEMPTS_MAX)

    def test_a_second_attempt_is_told(self):
        load = self.load(f'[ $(wc -l <"{self.directory}/runs") = 2 ] || {{ echo no progress >&2; exit 1; }}; {self.output()}')
        self.assertEqual(load.sample(self.work, self.direct)["attempts"], 2)

    def test_a_sample_in_which_the_proxy_got_no_cpu_is_none(self):
        idle = {"process": 1, "cpuNanoseconds": 0, "residentBytes": 0, "anonymousBytes": 0}
        load = self.load(self.output(observed=[idle]))
        with self.assert_fails("through proxy", "no CPU"):
            load.sample(self.work, Candidate("proxy", (1,), [self.server("exec sleep 60")]))

    def test_files_that_processes_of_one_proxy_have_resident_count_once(self):
        servers = [self.server("sleep 60 & exec sleep 60", count=2), self.server("exec sleep 60")]
        pids = Candidate("proxy", (1,), servers).pids
        observed = [
            {"process": pid, "cpuNanoseconds": 1, "residentBytes": resident, "anonymousBytes": anonymous}
            for pid, resident, anonymous in zip(pids, (700, 1_000, 600), (100, 200, 300))]
        sample = self.load(self.output(observed=observed)).sample(self.work, Candidate("proxy", (1,), servers))
        self.assertEqual((sample["anonymousBytes"], sample["residentBytes"]), (600, 600 + 800 + 300))

    def test_a_proxy_that_dies_in_mid_sample_is_named_with_its_last_words(self):
        server = self.server("echo out of luck; exec sleep 60")
        pid = server.process.pid
        load = self.load(
            f'until grep -q luck "{server.log}"; do :; done; kill {pid}; until grep -q " Z " /proc/{pid}/stat; do :; done; '
            + self.output())
        with self.assert_fails("proxy", "out of luck"):
            load.sample(self.work, Candidate("proxy", (1,), [server]))


class ServerTests(FailureTests):
    def test_a_program_that_ends_at_once_says_why(self):
        with self.assert_fails("proxy ended at once with status 3", "bad configuration"):
            processes.Server(
                "proxy", [str(self.script("proxy", "echo bad configuration; exit 3"))], Ports(21_000).take(), {CORE},
                self.place)

    def test_a_program_is_stopped_at_once_where_the_benchmark_itself_ignores_the_signal(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        server = self.server("exec sleep 60")
        server.stop()
        self.assertEqual(server.process.poll(), -signal.SIGINT)

    def test_a_program_that_heeds_no_signal_is_stopped(self):
        self.enterContext(mock.patch.object(processes, "STOPPING_SECONDS", 0.2))
        server = self.server("trap '' INT; echo deaf; exec sleep 60")
        while "deaf" not in server.log.read_text():
            pass
        server.stop()
        self.assertEqual(server.process.poll(), -signal.SIGKILL)

    def test_what_a_program_has_started_is_stopped_with_it_even_if_it_is_gone(self):
        worker = self.directory / "worker"
        begin_worker = f"(trap '' INT; echo $BASHPID >{worker}.new; mv {worker}.new {worker}; exec sleep 60) & "
        for title, text, crashes in (
                ("it heeds the signal", begin_worker + "exec sleep 60", False),
                ("it heeds no signal", f"trap '' INT; {begin_worker} sleep 60", False),
                ("it has crashed", begin_worker + "exec sleep 60", True)):
            with self.subTest(title), mock.patch.object(processes, "STOPPING_SECONDS", 0.2):
                worker.unlink(missing_ok=True)
                server = self.server(text)
                while not worker.exists():
                    pass
                if crashes:
                    server.process.kill()
                    server.process.wait()
                server.stop()
                self.assert_ended(int(worker.read_text()))

    def test_a_signal_while_a_program_is_awaited_leaves_nothing_behind(self):
        started = []

        def interrupted(_, process: subprocess.Popen, *__):
            started.append(process)
            raise KeyboardInterrupt

        with mock.patch.object(processes, "wait_for_port", interrupted), self.assertRaises(KeyboardInterrupt):
            self.server("exec sleep 60")
        self.assertIsNotNone(started[0].poll())

    def test_an_origin_that_does_not_start_leaves_no_directory_behind(self):
        made = mock.patch.object(section, "host", lambda: self.place)
        load = self.load("exit 1")
        programs = Programs(load.program, load.program, load.program, load.program)
        with made, self.assert_fails("origin ended at once"):
            section.Section("clear", self.place, None, programs, Ports(22_000), load, CORE, {}, None)
        self.assertFalse(self.place.outside("").exists())

    def assert_ended(self, pid: int):
        """It is gone, or nobody has asked yet how it ended."""
        status = pathlib.Path(f"/proc/{pid}/stat")
        for _ in range(100):
            try:
                if status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    return
            except (FileNotFoundError, ProcessLookupError):
                return
            time.sleep(0.01)
        self.fail(f"{pid} goes on")


class HeldConnectionTests(FailureTests):
    def hold(self, text: str):
        with mock.patch.object(memory, "ANSWER_SECONDS", 0.2):
            with memory.HeldConnections(self.load(text), Candidate("proxy", (1,), []), 1) as held:
                self.addCleanup(lambda: self.assertIsNotNone(held.process.poll()))

    def test_connections_that_do_not_open_or_end_are_told(self):
        for text, *words in (
                ("exec sleep 60", "through proxy were never open"), ("echo refused >&2; exit 1", "through proxy did not open: refused"),
                ("echo open; exec sleep 60", "through proxy never ended"),
                ("echo open; cat; echo reset >&2; exit 1", "through proxy could not be used again: reset")):
            with self.subTest(text), self.assert_fails(*words):
                self.hold(text)

    def test_a_proxy_that_has_ended_meanwhile_is_named_with_its_last_words(self):
        server = self.server("echo out of luck; exec sleep 60")
        with self.assert_fails("proxy ended", "out of luck"):
            with memory.HeldConnections(self.load("echo open; cat; exit 1"), Candidate("proxy", (1,), [server]), 1):
                while "luck" not in server.log.read_text():
                    pass
                server.process.kill()
                server.process.wait()

    def test_a_generator_is_not_waited_for_when_the_run_has_failed(self):
        with self.assertRaises(KeyboardInterrupt):
            with memory.HeldConnections(self.load("echo open; exec sleep 60"), Candidate("proxy", (1,), []), 1) as held:
                raise KeyboardInterrupt
        self.assertEqual(held.process.returncode, -signal.SIGKILL)


class ProgramTests(FailureTests):
    def test_a_program_that_is_missing_is_named(self):
        there = self.script("there", "")
        with self.assert_fails("no /nonexistent/envoy"):
            Programs(there, there, there, pathlib.Path("/nonexistent/envoy")).check()
        Programs(there, there, there, there, (("before", there),)).check()


class CheckTests(FailureTests):
    proxy = Candidate("proxy", (1, 2), [])

    def test_each_tool_has_the_settings_of_its_counterpart(self):
        idle = mock.Mock(pids=[])
        with mock.patch.dict(checks.TOOLS, {tool: lambda *_: 1 for tool in checks.TOOLS}):
            tools = {
                profile: {one["tool"] for one in checks.run(profile, [idle], CORE, lambda _: None)}
                for profile in section.PROFILES}
        self.assertEqual(tools, {"messages": {"wrk"}, "bulk": {"iperf3 up", "iperf3 down"}})

    def test_what_a_tool_says_in_place_of_a_figure_is_told(self):
        for name, measure in (("wrk", checks.wrk), ("iperf3", checks.iperf3)):
            self.script(name, "echo unable to connect")
            with mock.patch.dict(os.environ, PATH=f"{self.directory}:{os.environ['PATH']}"):
                with self.assert_fails(f"{name} through proxy", "unable to connect"):
                    measure(self.proxy, CORE)

    def test_a_tool_that_is_not_installed_is_named(self):
        with mock.patch.dict(os.environ, PATH=str(self.directory)):
            with self.assert_fails("wrk is not installed"):
                checks.wrk(self.proxy, CORE)


class PortTests(unittest.TestCase):
    def test_a_port_that_somebody_has_is_left_out(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            taken = listener.getsockname()[1]
            ports = Ports(taken)
            self.assertGreater(ports.take(), taken)


class ResultsTests(FailureTests):
    def test_what_was_built_here_is_told_by_its_content(self):
        names = {"sidecar-proxy": "old", "sidecar-load": "", "relay-floor": "", "envoy": "", "another": "old"}
        sidecar, load, floor, envoy, another = (self.directory / name for name in names)
        for name, text in names.items():
            (self.directory / name).write_text(text)
        programs = Programs(sidecar, load, floor, envoy, (("before", another),))
        before = results.begin({}, programs)
        self.assertEqual(list(before["builds"]), ["sidecar-proxy", "sidecar-load", "relay-floor", "before"])
        # sha256sum, of nothing.
        self.assertEqual(before["builds"]["relay-floor"], "e3b0c44298fc")
        self.assertEqual(before["builds"]["sidecar-proxy"], before["builds"]["before"])
        sidecar.write_text("new")
        after = results.begin({}, programs)
        self.assertNotEqual(after["builds"]["sidecar-proxy"], before["builds"]["sidecar-proxy"])
        self.assertEqual(after["checkout"], before["checkout"])

    def test_no_results_and_those_of_another_version_are_told(self):
        path = self.directory / "results.json"
        with self.assert_fails("make bench"):
            results.load(path)
        results.save({"format": results.FORMAT - 1}, path)
        with self.assert_fails("another format"):
            results.load(path)
