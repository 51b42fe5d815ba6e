"""Samples turned into figures: medians, spreads, and ratios that pair the candidates of the same round."""

import dataclasses
import statistics

from . import bootstrap
from .candidates import PEERS


def rounds_of(samples: list[dict], table: str, work: str, candidate: str) -> dict[int, dict]:
    """A candidate's samples of one work, by round."""
    return {
        one["round"]: one for one in samples
        if one["table"] == table and one["work"] == work and one["candidate"] == candidate}


def candidates_of(samples: list[dict], table: str, work: str) -> list[str]:
    return sorted(
        {one["candidate"] for one in samples if one["table"] == table and one["work"] == work}, key=candidate_order)


def candidate_order(name: str) -> tuple[int, str]:
    """The direct path, ours, the peers, then the floors and whatever else there is."""
    order = ["direct", "sidecar", "sidecar-epoll", *PEERS]
    return order.index(name) if name in order else len(order), name


def per_cpu_second(sample: dict) -> float | None:
    """Work per second of proxy CPU; nothing for the direct path, which has no proxy."""
    return sample["count"] / sample["cpuSeconds"] if sample["cpuSeconds"] > 0 else None


def per_second(sample: dict) -> float:
    return sample["count"] / sample["seconds"]


def worst(samples: dict[int, dict]) -> float:
    """The longest that any message of any sample took, in microseconds."""
    return max(sample["latencyNanoseconds"]["max"] for sample in samples.values()) / 1000


def median(samples: dict[int, dict], measure) -> float | None:
    values = [value for value in map(measure, samples.values()) if value is not None]
    return statistics.median(values) if values else None


def best_peer(samples: list[dict], table: str, work: str, measure) -> str | None:
    medians = {
        name: value for name in PEERS
        if (value := median(rounds_of(samples, table, work, name), measure)) is not None}
    if not medians:
        return None
    return max(medians, key=medians.get)


class Ratio:
    """One candidate against another: the ratio of medians, and the lowest and highest of a round in which both were
    measured."""

    def __init__(self, ours: dict[int, dict], theirs: dict[int, dict], measure):
        self.of_medians = median(ours, measure) / median(theirs, measure)
        self._rounds = {number: (measure(ours[number]), measure(theirs[number])) for number in ours.keys() & theirs.keys()}
        paired = [our / their for our, their in self._rounds.values()]
        self.low, self.high = min(paired), max(paired)

    def spread(self) -> bootstrap.Spread:
        """Of the ratio of medians."""

        def of_medians(drawn: list[int]) -> float:
            ours, theirs = zip(*(self._rounds[number] for number in drawn))
            return statistics.median(ours) / statistics.median(theirs)

        return bootstrap.spread(self._rounds, of_medians)


@dataclasses.dataclass(frozen=True)
class AgainstBest:
    """A candidate against the best peer: who that is, the ratio of medians, and how far it can be trusted."""

    peer: str
    ratio: float
    spread: bootstrap.Spread


def against_best(samples: list[dict], table: str, work: str, measure, candidate: str = "sidecar") -> AgainstBest | None:
    """A candidate. Which peer is best may change with the rounds that are drawn."""
    peer = best_peer(samples, table, work, measure)
    ours = rounds_of(samples, table, work, candidate)
    if peer is None or not ours:
        return None
    peers = [found for name in PEERS if (found := rounds_of(samples, table, work, name))]
    rounds = set(ours).intersection(*peers)

    def of_medians(drawn: list[int]) -> float:
        own, *others = (statistics.median(measure(found[number]) for number in drawn) for found in (ours, *peers))
        return own / max(others)

    return AgainstBest(
        peer, Ratio(ours, rounds_of(samples, table, work, peer), measure).of_medians,
        bootstrap.spread(rounds, of_medians))
