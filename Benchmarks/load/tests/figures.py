"""Samples made up for tests, as the generator would have them."""

import collections


def sample(candidate: str, number: int, work: str, table: str = "clear", **measured) -> dict:
    return {
        "table": table, "work": work, "candidate": candidate, "round": number, "turns": 1, "seconds": 1.0, "unit": "round trips",
        "count": 1_000, "cpuSeconds": 0.0 if candidate == "direct" else 1.0, "residentBytes": 0,
        "latencyNanoseconds": histogram([1, 2, 3, 4, 5]), **measured}


def counted(candidate: str, counts: list[int], work: str = "pingpong-64x64", **more) -> list[dict]:
    """One round per count, each of a second of CPU."""
    return [sample(candidate, number, work, count=count, **more) for number, count in enumerate(counts)]


def timed(candidate: str, rounds: list[list[int]], **more) -> list[dict]:
    """One round of the fixed rate per list of microseconds."""
    return [
        sample(candidate, number, "rate-4000", latencyNanoseconds=histogram(values), **more)
        for number, values in enumerate(rounds)]


def held(candidate: str, resident: list[float], anonymous: float = 2, connection: float | None = None) -> list[dict]:
    """One round of memory per size: MiB of an idle process, and KiB of a connection in the clear."""
    found = []
    for number, size in enumerate(resident):
        one = {"candidate": candidate, "round": number}
        found.append({**one, "kind": "process", "residentBytes": size * 2**20, "anonymousBytes": anonymous * 2**20})
        if connection:
            found.append({**one, "kind": "connection", "table": "clear", "bytesPerConnection": connection * 1024})
    return found


def histogram(values: list[int]) -> dict:
    """Of microseconds, without the percentiles, which the harness takes itself."""
    counts = collections.Counter(values)
    return {
        "count": len(values), "max": max(values) * 1_000,
        "buckets": [[value * 1_000, counts[value]] for value in sorted(counts)]}


def grown(candidate: str, number: int, kind: str, work: str, cost: float, connections: int, workers: int = 1,
          anonymousBytes: int = 2**20) -> dict:
    """One step of a growth, at so many microseconds of CPU for each of a million."""
    return {
        "kind": kind, "work": work, "candidate": candidate, "connections": connections, "workers": workers, "round": number,
        "cpuSeconds": float(cost), "count": 1_000_000, "anonymousBytes": anonymousBytes, "attempts": 1}
