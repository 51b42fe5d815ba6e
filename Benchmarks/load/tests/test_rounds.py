"""Goal: what belongs to a run, and in which order. Method: command lines, and a generator that does nothing."""

import argparse
import contextlib
import itertools
import pathlib
import unittest
from unittest import mock

from harness import BenchmarkFailure, bootstrap, growth, machine, memory, rounds, run, section, targets, works
from harness.candidates import Candidate, Programs
from harness.wanted import Wanted

NOTHING = pathlib.Path("/nonexistent")
PROGRAMS = Programs(NOTHING, NOTHING, NOTHING, NOTHING, (("before", NOTHING),))


def wanted(work: list[str] | None = None, quick: bool = False, candidates: str | None = None) -> Wanted:
    return Wanted(argparse.Namespace(work=work, quick=quick, candidates=candidates), PROGRAMS)


class WantedTests(unittest.TestCase):
    def test_everything_is_wanted_unless_something_is_asked_for(self):
        everything = wanted()
        self.assertEqual(everything.works("mtls"), works.FULL)
        self.assertTrue(all(everything.other("clear", kind) for kind in ("memory", "growth", "checks")))
        self.assertEqual([everything.other("mtls", kind) for kind in ("memory", "growth", "checks")], [True, False, False])
        self.assertIn("before", everything.candidates())
        self.assertTrue(everything.is_everything)
        self.assertFalse(wanted(["*"]).is_everything or wanted(quick=True).is_everything)

    def test_what_is_asked_for_is_all_that_is_wanted(self):
        some = wanted(["clear/bulk-1-*", "mtls/memory"], candidates="direct,sidecar,nginx")
        self.assertEqual([work.name for work in some.works("clear")], ["bulk-1-up", "bulk-1-down"])
        self.assertEqual(some.works("mtls"), [])
        self.assertTrue(some.table("mtls") and some.other("mtls", "memory") and not some.other("clear", "memory"))
        self.assertEqual(some.candidates(), ["sidecar", "nginx"])
        self.assertFalse(wanted(["clear/connect"]).table("mtls"))

    def test_a_table_has_no_more_than_there_is(self):
        everything = wanted(["mtls/*"])
        self.assertEqual([everything.other("mtls", kind) for kind in ("memory", "growth", "checks")], [True, False, False])

    def test_a_quick_run_has_works_only(self):
        quick = wanted(quick=True)
        self.assertEqual(quick.works("clear"), works.QUICK)
        self.assertFalse(any(quick.other(table, "memory") for table in ("clear", "mtls")))

    def test_works_without_a_target_are_in_the_first_rounds(self):
        def rounds(some: Wanted, name: str) -> list[int]:
            return [number for number in range(run.ROUNDS) if name in (one.name for one in some.works_of_round("mtls", number))]

        every = list(range(run.ROUNDS))
        self.assertEqual(rounds(wanted(), "pingpong-512x64"), every[:works.FEW_ROUNDS])
        self.assertEqual(rounds(wanted(), works.LATENCY.name), every[:works.FEW_ROUNDS])
        self.assertEqual(rounds(wanted(), "pingpong-64x64"), every)
        self.assertEqual(rounds(wanted(["mtls/pingpong-512x64"]), "pingpong-512x64"), every)
        floors = {work.name: work.floors("mtls") for work in wanted().works_of_round("mtls", 0)}
        self.assertEqual((floors["pingpong-512x64"], floors["pingpong-64x64"]), ((), works.messages(64, 64).floors("mtls")))
        self.assertNotEqual(wanted(["*"]).works_of_round("mtls", 0)[0].floors("mtls"), ())
        targeted = {name for table in targets.RATIOS.values() for names in table.values() for name in names}
        self.assertEqual({work.name for work in works.FULL if work.has_target}, targeted | {works.LATENCY.name})

    def test_what_takes_longest_is_in_the_first_rounds(self):
        def rounds(asked) -> list[int]:
            return [number for number in range(run.ROUNDS) if asked("clear", number)]

        self.assertEqual(rounds(wanted().growth), list(range(growth.ROUNDS)))
        self.assertEqual(rounds(wanted(["clear/growth"]).growth), list(range(run.ROUNDS)))
        self.assertEqual(rounds(wanted().memory), list(range(memory.ROUNDS)))
        self.assertFalse(wanted().growth("mtls", 0))

    def test_a_section_measures_the_works_of_its_round(self):
        measured = []

        def measure(number, chosen, *_):
            measured.extend((number, work.name) for work in chosen)
            return []

        part = section.Section.__new__(section.Section)
        part.table, part._wanted, part._results = "mtls", wanted(), {"settings": {}, "samples": []}
        part._place, part._starter, part._origin, part._load, part._note = mock.MagicMock(), None, None, None, None
        with (mock.patch.object(section, "Running"), mock.patch.object(rounds, "measure_round", measure),
              mock.patch.object(Wanted, "memory", return_value=False), mock.patch.object(Wanted, "other", return_value=False)):
            for number in range(run.ROUNDS):
                part.measure_round(number)
        everything, late = ([name for of, name in measured if of == number] for number in (0, run.ROUNDS - 1))
        self.assertEqual(sorted(everything), sorted(work.name for work in works.FULL))
        self.assertEqual(sorted(late), sorted(work.name for work in works.FULL if work.is_in_every_round))

    def test_memory_is_in_the_first_rounds_and_in_one_of_a_quick_run(self):
        def measured(some: Wanted) -> list[int]:
            return [number for number in range(run.ROUNDS) if some.memory("mtls", number)]

        self.assertEqual(measured(wanted()), list(range(memory.ROUNDS)))
        self.assertGreaterEqual(memory.ROUNDS, bootstrap.ROUNDS_MIN, "else there is no spread")
        self.assertEqual(measured(wanted(["mtls/memory"], quick=True)), [0])
        self.assertEqual(measured(wanted(["mtls/connect"])), [])


class Origin:
    pids: list[int] = []


class Recorder:
    """In the place of the generator."""

    def __init__(self, found=lambda: {}):
        self.done = []
        self.found = found

    def sample(self, work: works.Work, candidate: Candidate) -> dict:
        self.done.append((work.name, candidate.name))
        return {"attempts": 1, **self.found()}


class GrowthOrderTests(unittest.TestCase):
    def setUp(self):
        self.begun = []
        self.held = []
        for name, instead in (("started", self.started), ("HeldConnections", self.hold), ("open_files_max", lambda: 20_000)):
            patch = mock.patch.object(growth, name, instead)
            patch.start()
            self.addCleanup(patch.stop)

    @contextlib.contextmanager
    def started(self, starter, name, *_, **__):
        self.begun.append(name)
        yield Candidate(name, (1,), [])

    @contextlib.contextmanager
    def hold(self, load, candidate, count):
        self.held.append(count)
        yield
        self.held.remove(count)

    def steps(self, number: int) -> list[tuple]:
        """What a round measures, each with how many connections were held meanwhile."""
        return [
            (one["kind"], one["candidate"], one["work"], one["connections"], one["workers"], one["held"])
            for one in growth.one_round(None, Recorder(lambda: {"held": sum(self.held)}), number, lambda _: None)]

    def test_a_candidate_takes_its_steps_one_right_after_the_other(self):
        taken = [(kind, name) for kind, name, *_ in self.steps(0)]
        self.assertEqual(len(list(itertools.groupby(taken))), 3 * len(growth.NAMES))
        self.assertEqual({kind for kind, _ in taken}, {"busy", "held", "workers"})
        for kind in ("busy", "held", "workers"):
            first = [next(name for of, name in (step[:2] for step in self.steps(number)) if of == kind) for number in range(7)]
            self.assertGreater(len(set(first)), 1, f"{kind} always begins with {first[0]}")

    def test_one_process_has_all_that_is_held(self):
        steps = [step for step in self.steps(0) if step[:2] == ("held", "sidecar")]
        self.assertEqual(
            [step[2:] for step in steps],
            [(work, count, 1, count - growth.FEW) for count in (64, 1_000, 9_250) for work in ("round trip", "new connection")])
        self.assertEqual(self.held, [])
        self.assertEqual(
            len(self.begun), len(growth.NAMES) * (len(growth.BUSY_COUNTS) + 1 + 2),
            "one process for each count in use, one for what is held, and one for each count of workers")

    def test_workers_are_measured_there_and_back(self):
        steps = [step for step in self.steps(0) if step[:2] == ("workers", "sidecar")]
        self.assertEqual([workers for *_, workers, _ in steps], [1, 2, 2, 1])


class MemoryOrderTests(unittest.TestCase):
    """Each candidate's memory is the number of connections it has, times its place among those that were started."""

    names = ["sidecar", "nginx", "envoy"]

    def setUp(self):
        self.running: dict[str, int] = {}
        for name, instead in (("HeldConnections", self.hold), ("SETTLING_SECONDS", 0), ("totals", self.totals)):
            patch = mock.patch.object(memory, name, instead)
            patch.start()
            self.addCleanup(patch.stop)

    def start(self, name: str, *_, **__) -> Candidate:
        self.running[name] = 0
        candidate = mock.Mock(servers=[None])
        candidate.name = name
        candidate.stop = lambda: self.running.pop(name)
        return candidate

    @contextlib.contextmanager
    def hold(self, load, candidate, count):
        self.running[candidate.name] += count
        yield

    def totals(self, candidate) -> tuple[int, int]:
        held = self.running[candidate.name]
        return 2**20 + held * (list(self.running).index(candidate.name) + 1) * 1_024, 2**20

    def round(self, table: str, number: int) -> list[dict]:
        starter = mock.Mock(start=self.start, start_both_ways=self.start)
        found = memory.one_round(starter, self.names, table, None, number, lambda _: None)
        self.assertEqual(self.running, {})
        return found

    def test_a_round_has_each_candidate_once_in_another_order(self):
        orders = set()
        for number in range(30):
            found = self.round("mtls", number)
            self.assertEqual({one["round"] for one in found}, {number})
            self.assertEqual([one["bytesPerConnection"] for one in found], [1_024, 2_048, 3_072])
            orders.add(tuple(one["candidate"] for one in found))
        self.assertEqual(orders, set(itertools.permutations(self.names)))

    def test_one_failure_of_a_round_does_not_end_a_run_and_two_do(self):
        for failures, expected in ((1, 3), (2, None)):
            hold, left = self.hold, [failures]

            def failing(*arguments):
                if left[0] > 0:
                    left[0] -= 1
                    raise BenchmarkFailure("reset")
                return hold(*arguments)

            with mock.patch.object(memory, "HeldConnections", failing):
                if expected:
                    self.assertEqual(len(self.round("mtls", 0)), expected)
                else:
                    self.assertRaises(BenchmarkFailure, self.round, "mtls", 0)

    def test_idle_processes_are_measured_with_one_table_only(self):
        kinds = [one["kind"] for one in self.round("clear", 0)]
        self.assertEqual(kinds, ["process"] * 3 + ["connection"] * 3)
        self.assertEqual({one["kind"] for one in self.round("mtls", 0)}, {"connection"})


class OrderTests(unittest.TestCase):
    candidates = [Candidate(name, (1,), []) for name in ("direct", "sidecar", "nginx")]
    work = works.messages(64, 64)

    def setUp(self):
        patch = mock.patch.object(machine, "awake", contextlib.nullcontext)  # Not the real cores'.
        patch.start()
        self.addCleanup(patch.stop)

    def order(self, number: int, *chosen: works.Work) -> tuple[list[str], list[int]]:
        load = Recorder()
        samples = rounds.measure_round(number, list(chosen), self.candidates, Origin(), load, "clear", lambda _: None)
        return [name for _, name in load.done], [sample["round"] for sample in samples]

    def test_everybody_is_first_at_times_and_nobody_always_comes_behind_the_same_one(self):
        orders = [tuple(self.order(number, self.work)[0]) for number in range(30)]
        self.assertEqual({order[0] for order in orders}, {"direct", "sidecar", "nginx"})
        self.assertEqual(len(set(orders)), 6)
        self.assertEqual(self.order(3, self.work)[0], list(orders[3]))
        with mock.patch.object(rounds, "seed", 1):
            self.assertNotEqual([tuple(self.order(number, self.work)[0]) for number in range(30)], orders)

    def test_a_round_has_one_sample_of_each_candidate_at_each_work(self):
        names, numbers = self.order(2, self.work, works.CONNECT)
        self.assertEqual(sorted(names), sorted(2 * ["direct", "sidecar", "nginx"]))
        self.assertEqual(set(numbers), {2})

    def test_turns_are_rounds_of_their_own_each_in_its_order(self):
        found = [self.order(number, works.LATENCY) for number in range(3)]
        numbers = [number for _, numbers in found for number in numbers]
        self.assertEqual(numbers, [turn for turn in range(3 * works.LATENCY.turns) for _ in self.candidates])
        self.assertGreater(len({tuple(names[:3]) for names, _ in found} | {tuple(names[3:]) for names, _ in found}), 2)

    def test_a_latency_sample_lasts_for_what_proxies_do_every_half_second(self):
        self.assertGreater(run.SECONDS * works.LATENCY.length, 2 * 0.5)
        self.assertGreater(run.QUICK_SECONDS * works.QUICK_LATENCY.length, 0.5)

    def test_nothing_that_earlier_works_have_left_expires_where_latency_is_measured(self):
        load = Recorder()
        with mock.patch.object(machine, "forget_closed_connections", lambda: load.done.append("forgotten")):
            rounds.measure_round(
                0, [works.CONNECT, works.LATENCY], [Candidate("sidecar", (1,), [])], Origin(), load, "clear", lambda _: None)
        self.assertEqual(load.done, [("connect", "sidecar"), "forgotten", *works.LATENCY.turns * [(works.LATENCY.name, "sidecar")]])

    def test_only_who_is_measured_runs_in_real_time_on_cores_that_do_not_halt(self):
        load = Recorder()

        def noted(name):
            @contextlib.contextmanager
            def block(*arguments):
                load.done.append((name, *arguments))
                yield
                load.done.append(f"{name} no more")
            return block

        def candidate(name: str, pid: int) -> Candidate:
            return Candidate(name, (1,), [mock.Mock(pids=[pid])])

        chosen = [candidate("sidecar", 7), candidate("nginx", 8)]
        with (mock.patch.object(machine, "awake", noted("awake")), mock.patch.object(rounds.processes, "real_time", noted("first"))):
            rounds.measure_round(0, [self.work, works.LATENCY], chosen, Origin(), load, "clear", lambda _: None)
        before, after = load.done[:2], load.done[2:]
        self.assertEqual({work for work, _ in before}, {self.work.name})
        self.assertEqual((after[0], after[-1]), (("awake",), "awake no more"))
        samples = [after[first:first + 3] for first in range(1, len(after) - 1, 3)]
        for pid, name in ((7, "sidecar"), (8, "nginx")):
            self.assertIn([("first", [*Origin().pids, pid]), (works.LATENCY.name, name), "first no more"], samples)
        self.assertEqual(len(samples), 2 * works.LATENCY.turns)

    def test_only_connections_of_the_run_are_forgotten(self):
        for is_own in (False, True):
            with (mock.patch.object(machine, "has_own_network", is_own), mock.patch.object(machine.subprocess, "run") as run_ss):
                machine.forget_closed_connections()
            self.assertEqual(run_ss.called, is_own)

    def test_a_floor_only_does_its_own_kind_of_work(self):
        load = Recorder()
        names = ("sidecar", "floor-splice", "floor-io_uring+ready", "floor-io_uring", "floor-epoll+sized")
        candidates = [Candidate(name, (1,), []) for name in names]
        rounds.measure_round(0, [self.work, works.bulk(1, "up")], candidates, Origin(), load, "clear", lambda _: None)
        self.assertEqual(
            sorted(load.done),
            [("bulk-1-up", "floor-splice"), ("bulk-1-up", "sidecar"), ("pingpong-64x64", "floor-epoll+sized"),
             ("pingpong-64x64", "floor-io_uring+ready"), ("pingpong-64x64", "sidecar")])

    def test_each_table_has_floors_of_its_own(self):
        load = Recorder()
        floors = ("floor-epoll", "floor-handshakes", "floor-io_uring+ready", "floor-tls")
        candidates = [Candidate(name, (1,), []) for name in ("sidecar", *floors)]

        def present(work: works.Work, table: str) -> list[str]:
            load.done.clear()
            rounds.measure_round(0, [work], candidates, Origin(), load, table, lambda _: None)
            return sorted(name for _, name in load.done)

        self.assertEqual(present(works.CONNECT, "clear"), ["floor-epoll", "sidecar"])
        self.assertEqual(present(works.CONNECT, "mtls"), ["floor-handshakes", "floor-tls", "sidecar"])
        self.assertEqual(present(self.work, "mtls"), ["floor-epoll", "floor-io_uring+ready", "floor-tls", "sidecar"])

    def test_what_needs_no_generator_is_measured_without(self):
        asked = []
        alone = Candidate("floor-handshakes", (), [], alone=lambda seconds: asked.append(seconds) or {"count": 3})
        load = rounds.Load(PROGRAMS, core=0, seconds=0.5, received=NOTHING)
        self.assertEqual(load.sample(works.CONNECT, alone), {"count": 3, "attempts": 1})
        self.assertEqual(asked, [0.5])
