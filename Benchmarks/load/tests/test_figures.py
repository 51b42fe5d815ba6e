"""Goal: figures and verdicts are what the method says. Method: samples whose answer can be worked out by hand."""

import itertools
import json
import pathlib
import random
import statistics
import tempfile
import unittest

from harness import BenchmarkFailure, again, bootstrap, counts, growth, latency, page, report, summary, targets, works

from .figures import counted, grown, held, timed


class RatioTests(unittest.TestCase):
    def against(self, ours: list[int], **peers: list[int]) -> summary.AgainstBest:
        samples = counted("sidecar", ours) + [sample for name, theirs in peers.items() for sample in counted(name, theirs)]
        return summary.against_best(samples, "clear", "pingpong-64x64", summary.per_cpu_second)

    def test_noise_that_hits_both_cancels_out_of_the_rounds(self):
        found = self.against([200, 20, 100], nginx=[100, 10, 50])
        self.assertEqual((found.ratio, found.spread), (2, bootstrap.Spread(2, 2)))

    def test_the_best_peer_is_the_one_compared_with(self):
        found = self.against([90] * 3, nginx=[60] * 3, envoy=[30] * 3)
        self.assertEqual((found.peer, found.ratio), ("nginx", 1.5))

    def test_which_peer_is_best_is_part_of_the_doubt(self):
        # nginx is the best of all rounds; of those in which envoy did well, envoy is, and the sidecar no better than it.
        found = self.against([120] * 5, nginx=[100] * 5, envoy=[120, 120, 90, 90, 90])
        self.assertEqual((found.peer, found.ratio, found.spread.low), ("nginx", 1.2, 1.0))

    def test_a_bad_round_widens_the_spread_and_is_not_left_out(self):
        even = self.against([150, 151, 149, 150, 150], nginx=[100] * 5).spread
        bad = self.against([150, 50, 50, 150, 150], nginx=[100] * 5).spread
        self.assertLess(even.high - even.low, 0.03)
        self.assertEqual(bad, bootstrap.Spread(0.5, 1.5))

    def test_two_rounds_tell_nothing(self):
        self.assertEqual(self.against([150, 150], nginx=[100, 100]).spread, bootstrap.UNKNOWN)

    def test_only_rounds_of_both_are_paired(self):
        ratio = summary.Ratio({0: {"count": 4}, 1: {"count": 6}}, {1: {"count": 3}}, lambda sample: sample["count"])
        self.assertEqual((ratio.low, ratio.high), (2, 2))


class LatencyTests(unittest.TestCase):
    PAUSE = [1_000, 750, 500, 250]
    """What a millisecond does to messages that are due four times in it."""
    ROUNDS = [[100] * 956 + PAUSE * 11] * 3 + [[100] * 996 + PAUSE] * 4
    """Three of seven have many."""

    def comparison(self, rounds: list[list[int]], **peers: list[list[int]]) -> latency.Comparison:
        samples = timed("direct", [[50] * len(values) for values in rounds]) + timed("sidecar", rounds)
        samples += [sample for name, theirs in peers.items() for sample in timed(name, theirs)]
        return latency.Comparison(samples, "clear", "rate-4000")

    def test_what_is_added_is_the_median_of_the_rounds(self):
        # Of all 7,000 messages on one heap, 148 were delayed, more than a hundredth.
        comparison = self.comparison(self.ROUNDS)
        self.assertEqual(
            [comparison.added("sidecar", thousandths) for thousandths in latency.PERCENTILES.values()], [50, 50, 700])
        self.assertEqual(latency.percentile(timed("sidecar", self.ROUNDS), 990), 750)

    def test_the_percentiles_of_samples_are_those_of_one_heap(self):
        drawing = random.Random(1)
        rounds = [[drawing.randrange(50, 2_000) for _ in range(drawing.randrange(1, 400))] for _ in range(5)]
        for chosen in (rounds, rounds[:1], rounds[2:4]):
            heap = sorted(itertools.chain.from_iterable(chosen))
            for thousandths in latency.PERCENTILES.values():
                with self.subTest(rounds=len(chosen), thousandths=thousandths):
                    at_or_below = next(
                        value for index, value in enumerate(heap, start=1) if index * 1_000 >= thousandths * len(heap))
                    self.assertEqual(latency.percentile(timed("sidecar", chosen), thousandths), at_or_below)

    def test_spreads_contain_the_figure_and_are_wide_where_rounds_differ(self):
        p50, p99, _ = latency.PERCENTILES.values()
        comparison = self.comparison(self.ROUNDS, nginx=self.ROUNDS[::-1])
        self.assertEqual(comparison.added_spread("sidecar", p50), bootstrap.Spread(50, 50))
        # Most of the rounds that are drawn may be those with many pauses.
        self.assertEqual(comparison.added_spread("sidecar", p99), bootstrap.Spread(50, 950))
        # Both are alike but for the rounds in which they had their pauses.
        difference = comparison.difference_spread("sidecar", ["nginx"], p99)
        self.assertTrue(difference.low < 0 < difference.high, difference)

    def test_a_pause_that_hits_everybody_is_no_difference(self):
        comparison = self.comparison(self.ROUNDS, nginx=[[value + 20 for value in values] for values in self.ROUNDS])
        for thousandths in latency.PERCENTILES.values():
            self.assertEqual(
                comparison.difference_spread("sidecar", ["nginx"], thousandths), bootstrap.Spread(-20, -20))

    def test_percentiles_without_a_histogram_are_refused(self):
        samples = counted("direct", [1], work="rate-4000", latencyNanoseconds={"p50": 1, "max": 1})
        with self.assertRaisesRegex(BenchmarkFailure, "rate-4000 through direct.*no histogram"):
            latency.Comparison(samples, "clear", "rate-4000")

    def test_added_latency_is_beside_the_direct_path(self):
        samples = timed("direct", [[50], [60]]) + timed("sidecar", [[130], [140]])
        comparison = latency.Comparison(samples, "clear", "rate-4000")
        self.assertEqual(comparison.candidates, ["sidecar"])
        self.assertEqual(comparison.added("sidecar", 999), 80)

    def test_rounds_that_somebody_missed_are_not_compared(self):
        samples = timed("direct", [[50], [60]]) + timed("sidecar", [[130]])
        self.assertEqual(latency.Comparison(samples, "clear", "rate-4000").rounds, [0])

    def test_turns_of_one_round_are_drawn_together(self):
        def spread(count: int) -> bootstrap.Spread:
            samples = [one for name in ("direct", "sidecar") for one in timed(name, [[value] for value in range(count)], turns=2)]
            return latency.Comparison(samples, "clear", "rate-4000").added_spread("sidecar", 500)

        self.assertEqual(spread(4), bootstrap.UNKNOWN, "two rounds")
        self.assertEqual(spread(6), bootstrap.Spread(0, 0))


class BootstrapTests(unittest.TestCase):
    def test_few_rounds_have_wider_spreads_than_their_middle(self):
        # Student's quantiles, from any table of them.
        for freedom, quantile in ((2, 4.303), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042)):
            self.assertAlmostEqual(bootstrap.t_quantile(freedom) / quantile, 1, delta=0.035 if freedom == 2 else 0.005)
        self.assertAlmostEqual(bootstrap.part_left_out(1_000), 0.025, delta=0.0005)
        # From the lowest to the highest of six medians, which holds the true one 31 times of 32.
        self.assertEqual(bootstrap.spread(range(6), statistics.median), bootstrap.Spread(0, 5))


class VerdictTests(unittest.TestCase):
    def row(self, samples: list[dict], title: str) -> targets.Row:
        found = targets.rows({"samples": samples, "memory": [], "growth": [], "counts": {}})
        return next(row for row in found if row.title == title)

    def ratio_row(self, ours: list[int]) -> targets.Row:
        samples = counted("sidecar", ours) + counted("nginx", [100] * len(ours))
        samples += counted("floor-epoll", [160] * len(ours)) + counted("floor-io_uring", [110] * len(ours))
        return self.row(samples, "clear: round trips, 64 × 64 B")

    def test_ratios(self):
        met, open_row, missed = (self.ratio_row(ours) for ours in ([140, 150, 160], [130, 150, 160], [110, 120, 139]))
        self.assertEqual((met.verdict, met.value, met.against, met.floor), (targets.MET, "1.50×", "nginx", "1.60× (1.60–1.60)"))
        self.assertEqual((open_row.verdict, open_row.spread), (targets.OPEN, "1.30–1.60"))
        self.assertEqual(missed.verdict, targets.MISSED)

    def floor(self, ours: int, work: str = "pingpong-64x64", **floors: int) -> str:
        """Of a pair with mutual TLS, beside a peer that does 100 in a second of CPU."""
        counts = {"sidecar": ours, "nginx": 100, **{f"floor-{name}": count for name, count in floors.items()}}
        samples = [one for name, count in counts.items() for one in counted(name, [count], work, table="mtls")]
        return self.row(samples, f"mTLS pair: {works.named(work).title}").floor

    def test_with_tls_the_best_pair_without_stands_beside_the_loop_around_libssl(self):
        floors = {"epoll": 180, "io_uring+ready": 190}
        self.assertEqual(self.floor(130, tls=140, **floors), "1.40× around libssl; 1.90× without TLS")
        self.assertEqual(self.floor(130, **floors), "1.90× without TLS")
        self.assertEqual(self.floor(130, tls=140), "1.40× around libssl")

    def test_a_floor_that_a_candidate_is_ahead_of_is_no_limit(self):
        self.assertEqual(self.floor(150, tls=140, epoll=190), "1.40× around libssl (not a limit); 1.90× without TLS")
        self.assertEqual(self.floor(80, tls=99), "0.99× around libssl (not a limit)")
        self.assertEqual(self.floor(140, tls=140), "1.40× around libssl")
        clear = counted("sidecar", [90]) + counted("nginx", [100]) + counted("floor-epoll", [95])
        self.assertEqual(self.row(clear, "clear: round trips, 64 × 64 B").floor, "0.95× (not a limit)")

    def connect_floor(self, ours: int, **floors: int) -> str:
        """Of new connections with mutual TLS, beside a peer that does 100 in a second of CPU and relays in the clear that do
        300 and 400."""
        samples = [
            one for name, count in (("floor-epoll", 300), ("floor-io_uring", 400))
            for one in counted(name, [count] * 3, "connect")]
        for name, count in {"sidecar": ours, "nginx": 100, **{f"floor-{name}": count for name, count in floors.items()}}.items():
            samples += counted(name, [count] * 3, "connect", table="mtls")
        return self.row(samples, "mTLS pair: new connections").floor

    def test_the_limit_of_new_connections_is_a_handshake_and_the_cheapest_relay_together(self):
        # 100 per second are 10 ms each; 200 and 400 are 5 and 2.5.
        limit = f"1.10× (1.10–1.10) around libssl (not a limit); 1.33× (1.33–1.33) {targets.PARTS}"
        self.assertEqual(self.connect_floor(120, tls=110, handshakes=200), limit)
        self.assertEqual(self.connect_floor(140, tls=110, handshakes=200), f"{limit} (not a limit)")
        # Without one of its parts there is none.
        self.assertEqual(self.connect_floor(80, tls=110), "1.10× (1.10–1.10) around libssl")
        self.assertEqual(self.floor(80, "connect", tls=110, handshakes=200), "1.10× around libssl")

    def test_a_limit_has_the_spread_of_its_rounds(self):
        samples = counted("floor-epoll", [400] * 3, "connect") + counted("nginx", [100] * 3, "connect", table="mtls")
        samples += counted("floor-handshakes", [200, 100, 200], "connect", table="mtls")
        samples += counted("sidecar", [90] * 3, "connect", table="mtls")
        self.assertEqual(
            self.row(samples, "mTLS pair: new connections").floor, f"1.33× (0.80–1.33) {targets.PARTS}")

    def latency_row(self, ours: list[list[int]], floor: int | None = None) -> targets.Row:
        rounds = len(ours)
        samples = timed("direct", [[50] * 10] * rounds) + timed("sidecar", ours)
        samples += timed("haproxy", [[150] * 10] * rounds) + timed("envoy", [[200] * 10] * rounds)
        samples += timed("floor-epoll", [[floor] * 10] * rounds) if floor else []
        return self.row(samples, "clear: added latency, p99")

    def test_latencies(self):
        met = self.latency_row([[140] * 10] * 5)
        self.assertEqual(
            (met.verdict, met.value, met.against),
            (targets.MET, "90 µs, -10 to the peer", "haproxy 100 µs (of all messages 90, 100)"))
        self.assertEqual(met.spread, "-10 to -10 µs")
        self.assertEqual(self.latency_row([[160] * 10] * 5).verdict, targets.MISSED)
        behind, ahead = (self.latency_row([[140] * 10] * 5, floor=value).floor for value in (145, 139))
        self.assertEqual((behind, ahead), ("95 µs (not a limit)", "89 µs"))
        # Pauses of the machine in two rounds of five.
        self.assertEqual(self.latency_row([[140] * 10] * 3 + [[140] * 9 + [900]] * 2).verdict, targets.OPEN)

    def test_all_messages_may_say_otherwise(self):
        # One round of nine has all of the sidecar's pauses, which the median steps over.
        often = self.latency_row([[140] * 10] * 8 + [[140] * 5 + [900] * 5])
        self.assertEqual((often.value, often.spread), ("90 µs, -10 to the peer", "-10 to -10 µs"))
        self.assertEqual((often.against, often.verdict), ("haproxy 100 µs (of all messages 850, 100)", targets.OPEN))

    def test_memory(self):
        memory = held("sidecar", [8, 8, 8, 16, 16], anonymous=3, connection=0.5) + held("nginx", [9, 11, 10, 10, 10])
        resident, anonymous, connection = targets.rows({"samples": [], "memory": memory, "growth": [], "counts": {}})
        self.assertEqual(
            (resident.value, resident.spread, resident.against, resident.verdict),
            ("8.00 MiB", "8.00–16.00", "nginx 10.0 (9.0–11.0)", targets.MET))
        self.assertEqual((anonymous.spread, anonymous.verdict), ("3.00–3.00", targets.MISSED))
        self.assertEqual((connection.title, connection.value), ("clear: one of 2,000 idle connections", "0.50 KiB"))

    def test_memory_that_is_within_its_limit_at_times_is_undecided(self):
        for sizes in ([8, 8, 8, 17, 17], [8]):
            resident, _ = targets.rows({"samples": [], "memory": held("sidecar", sizes), "growth": [], "counts": {}})
            self.assertEqual(resident.verdict, targets.OPEN)


class CountTests(unittest.TestCase):
    def row(self, **more) -> targets.Row:
        with tempfile.TemporaryDirectory() as directory:
            for piece in counts.HOT_PATH:
                allowed = {**dict.fromkeys(counts.COUNTED, 0), "systemCalls": 2}
                if piece == "Relay-of-one-message":
                    allowed.update(more)
                pathlib.Path(directory, f"Micro.{piece}.p90.json").write_text(json.dumps(allowed))
            found = counts.hot_path(pathlib.Path(directory))
        return targets.rows({"samples": [], "memory": [], "growth": [], "counts": found})[0]

    def test_the_hot_path_meets_its_target_with_nothing_at_all(self):
        met, missed = self.row(), self.row(retains=2, releases=1)
        self.assertEqual((met.value, met.verdict), ("0, 0, 0", targets.MET))
        self.assertEqual((missed.value, missed.verdict), ("0, 2, 1", targets.MISSED))
        self.assertIn("micro/bench check", met.against)

    def test_the_thresholds_that_ci_holds_are_found(self):
        self.assertEqual(set(counts.hot_path()), set(counts.HOT_PATH))


class GrowthTests(unittest.TestCase):
    def test_the_last_step_is_what_the_limit_on_open_files_allows(self):
        self.assertEqual(growth.fitting(growth.BUSY_COUNTS, 20_000), [1, 10, 100, 1_000, 9_250])
        self.assertEqual(growth.fitting(growth.BUSY_COUNTS, 1_048_576)[-1], 10_000)
        self.assertEqual(growth.fitting(growth.BUSY_COUNTS, 4_096), [1, 10, 100, 1_000, 1_298])
        with self.assertRaisesRegex(BenchmarkFailure, "1024 open files are too few"):
            growth.fitting(growth.BUSY_COUNTS, 1_024)

    def rows(self, costs: dict[int, list[int]], workers: dict[int, list[int]]) -> dict[str, targets.Row]:
        """Microseconds of a round trip by connections, and by workers, the same for everybody but the peer, for whom it
        stays as it is."""
        samples = []
        for name in growth.NAMES:
            for kind, steps in (("held", costs), ("workers", workers)):
                first = min(steps)
                for step in steps:
                    spent = steps[first if name == "nginx" else step]
                    place = {"connections": step, "workers": 1} if kind == "held" else {"connections": 64, "workers": step}
                    samples += [
                        grown(name, number, kind, "round trip", cost=cost, **place) for number, cost in enumerate(spent)]
        found = targets.rows({"samples": [], "memory": [], "growth": samples, "counts": {}})
        return {row.title: row for row in found}

    def test_flat_is_the_last_step_within_a_tenth_of_the_first(self):
        rows = self.rows({64: [10, 10, 10], 1_000: [90] * 3, 9_900: [10, 11, 11]}, {1: [10, 10, 10], 2: [12, 14, 15]})
        held = rows["growth: round trip, 64 of the connections busy, 64 → 9,900"]
        self.assertEqual((held.value, held.spread, held.verdict), ("1.10×", "1.00–1.10", targets.MET))
        self.assertEqual((held.against, held.floor), ("nginx 1.00× (1.00–1.00)", "1.10× (1.00–1.10) (not a limit)"))
        self.assertEqual(rows["growth: round trip, by workers, 1 → 2"].verdict, targets.MISSED)
        flat = self.rows({64: [10, 10, 10], 9_900: [10, 10, 10]}, {1: [10] * 3, 2: [10] * 3})
        self.assertEqual({row.verdict for row in flat.values()}, {targets.MET})
        self.assertEqual(len(flat), 2)

    def test_rounds_in_which_the_machine_is_slow_say_the_same(self):
        rows = self.rows({64: [9, 12, 9, 12, 9], 9_900: [9, 12, 9, 12, 12]}, {1: [9] * 3, 2: [9] * 3})
        held = rows["growth: round trip, 64 of the connections busy, 64 → 9,900"]
        self.assertEqual((held.value, held.verdict), ("1.00×", targets.OPEN))
        held = self.rows({64: [9, 12, 12], 9_900: [9, 12, 12]}, {1: [9] * 3, 2: [9] * 3})
        self.assertEqual(held["growth: round trip, 64 of the connections busy, 64 → 9,900"].spread, "1.00–1.00")

    def test_one_busy_connection_is_no_measure_for_many(self):
        samples = [
            grown(name, 0, "busy", "round trip", connections=connections, cost=cost)
            for name in growth.NAMES for connections, cost in ((1, 50), (100, 9), (9_900, 18))]
        row = next(row for row in targets.growth_rows(samples) if "all connections busy" in row.title)
        self.assertEqual((row.title, row.value), ("growth: round trip, all connections busy, 100 → 9,900", "2.00×"))


class ReportTests(unittest.TestCase):
    def test_samples_that_were_measured_again_are_told(self):
        results = {
            "samples": [{"attempts": 1, "candidate": "envoy"}, {"attempts": 3, "candidate": "sidecar"}],
            "growth": [{"attempts": 2, "candidate": "nginx"}],
            "memory": [{"table": "clear", "round": 2, "attempts": attempts} for attempts in (1, 2, 2)] + [{"round": 2}]}
        text = report.repeated_text(results)
        self.assertTrue(text.startswith("2 of 3 samples were"), text)
        self.assertIn(": 1 of sidecar's, 1 of nginx's; and of the rounds of memory 1,", text)

    def test_memory_of_a_connection_is_what_it_adds_to_the_process_with_one(self):
        samples = [
            grown(name, number, "busy", "round trip", connections=connections, cost=10 + number,
                  anonymousBytes=2**20 + (connections - 1) * each)
            for name in growth.NAMES for number, each in enumerate((1_024, 2_048, 4_096)) for connections in (1, 1_001)]
        _, rows = report.growth_table({"growth": samples})
        self.assertEqual(rows[0], ["1", "all", "1", "sidecar", "11.0 µs (10.0–12.0)", "–", "–"])
        self.assertEqual(rows[len(growth.NAMES)][0], "1,001")
        self.assertEqual(rows[len(growth.NAMES)][-1], "2.00 KiB")

    def test_a_row_of_a_work_has_a_cell_for_each_heading(self):
        samples = counted("direct", [300]) + counted("sidecar", [150], residentBytes=9 * 2**20) + counted("nginx", [100])
        rows = report.work_rows(samples, "clear", works.messages(64, 64))
        self.assertEqual({len(row) for row in rows}, {1 + len(report.HEADINGS)})
        self.assertEqual([row[-2] for row in rows], ["–", "9.0 MiB", "–"])
        self.assertEqual([row[-1] for row in rows], ["–", "–", "1.50 (1.50–1.50)"])
        self.assertEqual(rows[1][1:4], ["150/s", "150", "6666.7 µs"])

    def test_a_part_of_a_work_is_not_held_against_the_whole(self):
        samples = counted("sidecar", [150], "connect", table="mtls") + counted("floor-tls", [100], "connect", table="mtls")
        samples += counted("floor-handshakes", [300], "connect", table="mtls")
        self.assertEqual(
            [row[-1] for row in report.work_rows(samples, "mtls", works.CONNECT)], ["–", "–", "1.50 (1.50–1.50)"])

    def test_memory_is_told_with_its_rounds(self):
        _, rows = report.memory_table({"memory": held("nginx", [10]) + held("sidecar", [8, 9, 16], connection=0.5)})
        self.assertEqual(rows, [
            ["idle process, sidecar", "9.0 (8.0–16.0) / 2.0 (2.0–2.0) MiB"],
            ["idle process, nginx", "10.0 (10.0–10.0) / 2.0 (2.0–2.0) MiB"],
            ["idle connection, clear, sidecar", "0.50 (0.50–0.50) KiB"]])

    def test_a_tool_and_the_generator_overlap_or_lie_apart(self):
        def by_wrk(candidate: str, counts: list[int]) -> list[dict]:
            return [{**one, "tool": "wrk"} for one in counted(candidate, counts)]

        ours = counted("sidecar", [110, 120, 130])
        results = {
            "samples": ours + [one for name in ("haproxy", "nginx") for one in counted(name, [100] * 3)],
            "checks": by_wrk("sidecar", [130, 140, 150]) + by_wrk("haproxy", [100] * 3) + by_wrk("nginx", [90] * 3)}
        headings, rows = report.checks_table(results)
        self.assertEqual(rows[:3], [
            ["wrk, sidecar ÷ haproxy", "1.40 (1.30–1.50)", "1.20 (1.10–1.30)", bootstrap.OVERLAP],
            ["wrk, sidecar ÷ nginx", "1.56 (1.44–1.67)", "1.20 (1.10–1.30)", bootstrap.APART],
            ["wrk, sidecar ÷ envoy", "–", "–", ""]])
        self.assertEqual(bootstrap.agreements_text(rows, -1), "1 of 2 spreads overlap")

    def test_tails_are_those_of_all_messages(self):
        samples = timed("direct", [[50] * 999 + [60]] * 3)
        samples += timed("sidecar", [[100] * 990 + [300] * 10, [101] * 1_000, [102] * 1_000])
        self.assertEqual(report.work_rows(samples, "clear", works.LATENCY)[1][4], "101 / 102 / 300 / 300")

    def test_the_page_tells_what_limited_growth(self):
        results = {"growth": [{"connections": 9_900}], "options": {"openFilesMax": 20_000}}
        self.assertIn("9,900 connections are as many as fit", page.growth_limit(results))
        self.assertEqual(page.growth_limit({"growth": [{"connections": 10_000}]}), "")


class AgainTests(unittest.TestCase):
    def results(self, ours: list[int], directory: str = "sidecar-bench-a1", buffers: str = "16k") -> dict:
        return {
            "samples": counted("sidecar", ours) + counted("nginx", [100] * len(ours)), "memory": [], "growth": [],
            "counts": {}, "builds": {"sidecar-proxy": "a"}, "versions": {}, "machine": {}, "options": {"rounds": len(ours)},
            "settings": {"clear": {"nginx-messages.conf": f"pid /tmp/{directory}/pid; buffers {buffers};"}}}

    def test_spreads_overlap_or_lie_apart(self):
        before, near, far = (self.results(ours) for ours in ([140, 150, 160], [155, 158, 170], [170, 180, 190]))
        self.assertEqual(
            again.table(before, near)[1],
            [["clear: round trips, 64 × 64 B", "1.50× (1.40–1.60)", "1.58× (1.55–1.70)", bootstrap.OVERLAP, again.NEXT, targets.MET,
              "1.56× (1.40–1.70)", targets.MET]])
        rows = again.table(before, far)[1]
        self.assertEqual(rows[0][again.SPREADS:again.TOGETHER], [bootstrap.APART, again.NEITHER, targets.MET])
        self.assertTrue(again.summary_text(rows).startswith("0 of 1 spreads overlap in these two. Of 1 figures 0 of the first one's"))

    def test_a_figure_lies_within_the_spread_of_the_other_run_or_not(self):
        wide, narrow, beside = [120, 150, 180], [152, 153, 154], [145, 145, 153]
        for first, second, cell, said in (
                (wide, wide, again.BOTH, "1 of the first one's lie within the next one's spread, and 1 of"),
                (wide, narrow, again.NEXT, "0 of the first one's lie within the next one's spread, and 1 of"),
                (narrow, wide, again.FIRST, "1 of the first one's lie within the next one's spread, and 0 of"),
                # The spreads overlap all the same, which says little.
                ([152, 160, 160], beside, again.NEITHER, "1 of 1 spreads overlap in these two. Of 1 figures 0 of the first one's")):
            with self.subTest(cell):
                rows = again.table(self.results(first), self.results(second))[1]
                self.assertEqual(rows[0][again.FIGURES], cell)
                self.assertIn(said, again.summary_text(rows))

    def test_latencies_are_compared_by_their_difference_to_the_best_peer(self):
        def results(ours: list[int], machine: int) -> dict:
            samples = timed("direct", [[50]] * 6, turns=2)
            samples += timed("haproxy", [[150 + machine]] * 6, turns=2)
            # Both turns of a round alike.
            samples += timed("sidecar", [[one + machine] for one in ours for _ in range(2)], turns=2)
            return {**self.results([1] * 3), "samples": samples}

        # On a machine that is slower for everybody at the second run.
        rows = again.table(results([130, 140, 160], 0), results([140, 160, 165], 500))[1]
        self.assertEqual(rows[0][:again.VERDICTS + 1], [
            "clear: added latency, p50", "90 µs, -10 to the peer (-20 to +10 µs)", "610 µs, +10 to the peer (-10 to +15 µs)",
            bootstrap.OVERLAP, again.BOTH, targets.OPEN])
        # Three rounds of two turns each, and as many of the second run, on a machine that is the same.
        both = again.together(results([130, 140, 140], 0), results([130, 130, 140], 0))["samples"]
        spread = latency.Comparison(both, "clear", "rate-4000").difference_spread("sidecar", ["haproxy"], 500)
        self.assertEqual(spread, bootstrap.Spread(-20, -10))
        self.assertEqual({one["round"] // 2 for one in both}, {0, 1, 2, 6, 7, 8})

    def test_figures_are_compared_as_they_are_shown(self):
        first, second = (
            {**self.results([1] * 3), "memory": held("sidecar", [size] * 3, anonymous=2.411)} for size in (8.001, 8.004))
        rows = again.table(first, second)[1]
        self.assertEqual([row[again.SPREADS:again.VERDICTS] for row in rows[-2:]], [[bootstrap.OVERLAP, again.BOTH]] * 2)

    def test_memory_is_compared_as_well(self):
        first, second = ({**self.results([1] * 3), "memory": held("sidecar", sizes)} for sizes in ([8, 9, 10], [9, 10, 11]))
        self.assertIn(
            ["idle process, resident", "9.00 MiB (8.00–10.00)", "10.00 MiB (9.00–11.00)", bootstrap.OVERLAP, again.BOTH,
             targets.MET, "9.50 MiB (8.00–11.00)", targets.MET],
            again.table(first, second)[1])

    def test_a_verdict_that_changes_is_told(self):
        rows = again.table(self.results([140, 150, 160]), self.results([110, 120, 139]))[1]
        self.assertEqual(rows[0][again.VERDICTS], f"{targets.MET}, then {targets.MISSED}")

    def test_rounds_of_both_decide_together_if_they_are_of_one_build(self):
        runs = self.results([142, 150, 160, 170]), self.results([140, 148, 150, 160])
        self.assertEqual(again.table(*runs)[1][0][again.TOGETHER:], ["1.50× (1.41–1.65)", targets.MET])
        self.assertEqual({one["round"] for one in again.together(*runs)["samples"]}, {0, 1, 2, 3, 8, 9, 10, 11})
        for other in ({"builds": {"sidecar-proxy": "b"}}, {"versions": {"clear": {}}}, {"machine": {"cores": 4}},
                      {"options": {"canStayAwake": False}}, {"settings": {"clear": {}}}):
            self.assertEqual(again.table(runs[0], {**runs[1], **other})[1][0][again.TOGETHER:], ["", ""])
            self.assertEqual(again.table({**runs[0], **other}, *runs)[1][0][again.TOGETHER:], ["", ""])

    def test_too_few_rounds_say_nothing(self):
        rows = again.table(self.results([140, 150]), self.results([240, 250]))[1]
        self.assertEqual(rows[0][again.SPREADS:again.TOGETHER], ["", "", targets.OPEN])
        self.assertTrue(again.summary_text(rows).startswith("0 of 0 spreads overlap in these two. Of 0 figures"))

    def test_a_run_is_not_held_against_itself_or_the_wrong_way_round(self):
        first, second, third = ({"begun": f"2026-01-01T1{hour}:00:00"} for hour in range(3))
        again.check_order(first, second, third)
        for runs in ((first, first), (first, second, second), (second, first)):
            with self.assertRaisesRegex(BenchmarkFailure, "2026-01-01T1.:00:00.*the oldest first"):
                again.check_order(*runs)

    def test_of_more_runs_the_last_two_are_held_against_each_other_and_all_decide(self):
        far, *near = (self.results(ours) for ours in ([170, 180, 190], [140, 150, 160], [142, 150, 160]))
        row, = again.table(far, *near)[1]
        self.assertEqual(row[:again.SPREADS + 1], again.table(*near)[1][0][:again.SPREADS + 1])
        self.assertEqual(row[again.TOGETHER:], ["1.60× (1.42–1.80)", targets.MET])
        self.assertEqual({one["round"] for one in again.together(again.together(far, near[0]), near[1])["samples"]},
                         {0, 1, 2, 6, 7, 8, 18, 19, 20})
        self.assertEqual(
            again.pairs_text(far, *near),
            "Of the 3 pairs of these 3 runs: 0 of 1 spreads overlap in 2, 1 of 1 spreads overlap in 1.")
        self.assertEqual(again.pairs_text(*near), "")

    def test_settings_are_the_same_but_for_the_directory_and_the_ports(self):
        first = self.results([1])
        ports = [
            {**first, "settings": {"clear": {"one": f'{{name: route{port}, bind: "127.0.0.1:{port}"}} "target{port}" "port_value": {port}, buffer 65536'}}}
            for port in (20956, 20959)]
        self.assertTrue(again.has_same_settings(*ports))
        self.assertTrue(again.has_same_settings(first, self.results([2], directory="sidecar-bench-b2")))
        self.assertFalse(again.has_same_settings(first, self.results([1], buffers="64k")))
