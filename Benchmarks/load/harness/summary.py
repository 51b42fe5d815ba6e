"""Samples turned into figures: medians, spreads, and ratios that pair the candidates of the same round."""

import statistics

from .candidates import PEERS


def rounds_of(samples: list[dict], table: str, work: str, candidate: str) -> dict[int, dict]:
    """A candidate's samples of one work, by round."""
    return {
        one["round"]: one for one in samples
        if one["table"] == table and one["work"] == work and one["candidate"] == candidate}


def candidates_of(samples: list[dict], table: str, work: str) -> list[str]:
    """In the order in which they were first measured, but for the turning: direct, ours, peers, floors."""
    names = {one["candidate"] for one in samples if one["table"] == table and one["work"] == work}
    order = ["direct", "sidecar", "sidecar-epoll", *PEERS]
    return [name for name in order if name in names] + sorted(names - set(order))


def per_cpu_second(sample: dict) -> float | None:
    """Work per second of proxy CPU; nothing for the direct path, which has no proxy."""
    return sample["count"] / sample["cpuSeconds"] if sample["cpuSeconds"] > 0 else None


def per_second(sample: dict) -> float:
    return sample["count"] / sample["seconds"]


def percentile(name: str):
    """A measure: latency at a percentile, in microseconds."""
    return lambda sample: sample["latencyNanoseconds"][name] / 1000


def added_latency(samples: list[dict], table: str, work: str, candidate: str, percentile_name: str) -> dict[int, float]:
    """What a candidate adds to the latency of the direct path, in microseconds, by round."""
    measure = percentile(percentile_name)
    direct = rounds_of(samples, table, work, "direct")
    through = rounds_of(samples, table, work, candidate)
    return {number: measure(through[number]) - measure(direct[number]) for number in direct.keys() & through.keys()}


def median(samples: dict[int, dict], measure) -> float | None:
    values = [value for value in map(measure, samples.values()) if value is not None]
    return statistics.median(values) if values else None


def best_peer(samples: list[dict], table: str, work: str, measure, highest: bool = True) -> str | None:
    medians = {
        name: value for name in PEERS
        if (value := median(rounds_of(samples, table, work, name), measure)) is not None}
    if not medians:
        return None
    return (max if highest else min)(medians, key=medians.get)


class Ratio:
    """One candidate against another: the ratio of medians, and of each round in which both were measured."""

    def __init__(self, ours: dict[int, dict], theirs: dict[int, dict], measure):
        own, other = median(ours, measure), median(theirs, measure)
        self.of_medians = own / other
        self.paired = sorted(
            measure(ours[number]) / measure(theirs[number]) for number in ours.keys() & theirs.keys())

    @property
    def low(self) -> float:
        return self.paired[0]

    @property
    def high(self) -> float:
        return self.paired[-1]

    @property
    def paired_median(self) -> float:
        return statistics.median(self.paired)


def ratio(samples: list[dict], table: str, work: str, measure, candidate: str = "sidecar") -> tuple[str, Ratio] | None:
    """A candidate against the best peer, and who that is."""
    peer = best_peer(samples, table, work, measure)
    ours = rounds_of(samples, table, work, candidate)
    if peer is None or not ours:
        return None
    return peer, Ratio(ours, rounds_of(samples, table, work, peer), measure)
