"""What candidates are asked to do. A work is one command of the load generator; its name is what the command line and
the results call it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Work:
    name: str
    title: str
    group: str
    """The row of the target table that it belongs to."""
    profile: str
    arguments: tuple[str, ...]
    floors: tuple[str, ...] = ()
    """The candidates that do this with a bare loop, where there are any."""


def messages(connections: int, size: int) -> Work:
    return Work(
        f"pingpong-{connections}x{size}", f"round trips, {connections} × {size_text(size)}", "small messages", "messages",
        ("pingpong", "--connections", str(connections), "--bytes", str(size)), ("floor-epoll", "floor-io_uring"))


def bulk(streams: int, direction: str) -> Work:
    return Work(
        f"bulk-{streams}-{direction}", f"bulk, {streams} stream{'s' * (streams > 1)} {direction}", "bulk", "bulk",
        ("bulk", "--streams", str(streams), "--direction", direction), ("floor-splice",))


def rate(messages_per_second: int) -> Work:
    return Work(
        f"rate-{messages_per_second}", f"open loop, {messages_per_second} messages/s", "latency",
        "messages", ("rate", "--rate", str(messages_per_second), "--connections", "64", "--bytes", "64"))


CONNECT = Work(
    "connect", "new connections", "new connections", "messages", ("connect", "--concurrency", "16"),
    ("floor-epoll", "floor-io_uring"))


def size_text(size: int) -> str:
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


FULL = [
    *(messages(connections, size) for connections in (1, 64, 512) for size in (64, 4096)),
    *(bulk(streams, direction) for streams in (1, 16) for direction in ("up", "down")),
    CONNECT, rate(4000)]

QUICK = [messages(64, 64), messages(64, 4096), bulk(1, "up"), bulk(16, "down"), CONNECT, rate(4000)]

# The rows that design targets are about; the others show how cost grows, and carry none.
TARGETS = {
    ("clear", "small messages"): 1.4, ("clear", "bulk"): 2.0, ("clear", "new connections"): 1.2,
    ("mtls", "small messages"): 1.6, ("mtls", "bulk"): 1.3, ("mtls", "new connections"): 1.2}


def target(table: str, work: Work) -> float | None:
    """The ratio against the best peer that this row has to reach, if it is one with a target."""
    if work.group == "small messages" and not work.name.startswith("pingpong-64x"):
        return None
    return TARGETS.get((table, work.group))
