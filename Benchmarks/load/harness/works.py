"""What candidates are asked to do. A work is one command of the load generator; its name is what the command line and
the results call it."""

import dataclasses


TLS_FLOOR = "floor-tls"
HANDSHAKES = "floor-handshakes"
MESSAGE_FLOORS = ("floor-epoll", "floor-io_uring+ready")
FEW_ROUNDS = 5
"""Of a whole run's rounds so many have the works without a target, and these without floors; and those with several turns."""


@dataclasses.dataclass(frozen=True)
class Work:
    name: str
    title: str
    profile: str
    arguments: tuple[str, ...]
    length: float = 1.0
    """A sample of it takes so many times as long as others."""
    turns: int = 1
    """So many samples of each candidate in a round, all of one turn before the next. Each turn has a number of its own, as a round
    has; those of one round are drawn together where spreads are made."""
    has_target: bool = True
    real_time: bool = False
    """Whether everybody who takes part runs ahead of all else on the machine (processes.real_time), on cores that don't halt
    (machine.awake)."""
    clear_floors: tuple[str, ...] = ()
    """The candidates that do this with a bare loop."""
    mtls_floors: tuple[str, ...] = (TLS_FLOOR,)
    mtls_part: str | None = None
    """The floor that does what a pair with mutual TLS has to do between its two proxies. What is left of the pair is a
    single relay in the clear, the floor of that table."""

    def floors(self, table: str) -> tuple[str, ...]:
        return self.mtls_floors if table == "mtls" else self.clear_floors

    @property
    def is_in_every_round(self) -> bool:
        return self.has_target and self.turns == 1

    def without_floors(self) -> "Work":
        return dataclasses.replace(self, clear_floors=(), mtls_floors=(), mtls_part=None)

    def part(self, table: str) -> str | None:
        return self.mtls_part if table == "mtls" else None


def messages(connections: int, size: int) -> Work:
    return Work(
        name=f"pingpong-{connections}x{size}", title=f"round trips, {connections} × {size_text(size)}",
        profile="messages", has_target=connections == 64, clear_floors=MESSAGE_FLOORS, mtls_floors=(TLS_FLOOR, *MESSAGE_FLOORS),
        arguments=("pingpong", "--connections", str(connections), "--bytes", str(size)))


def bulk(streams: int, direction: str) -> Work:
    return Work(
        name=f"bulk-{streams}-{direction}", title=f"bulk, {streams} stream{'s' * (streams > 1)} {direction}",
        profile="bulk", clear_floors=("floor-splice",),
        arguments=("bulk", "--streams", str(streams), "--direction", direction))


def rate(messages_per_second: int) -> Work:
    """A sample lasts for two half seconds and more: so long after a burst a proxy may give memory back, and what that does to
    messages belongs to their latency. Pauses of the machine's fall into some of the samples; with two turns it is
    rarer that they are in half of them."""
    return Work(
        name=f"rate-{messages_per_second}", title=f"open loop, {messages_per_second} messages/s",
        profile="messages", length=5.5, turns=2, real_time=True, clear_floors=("floor-epoll",),
        arguments=("rate", "--rate", str(messages_per_second), "--connections", "64", "--bytes", "64"))


CONNECT = Work(
    name="connect", title="new connections", profile="messages", clear_floors=("floor-epoll", "floor-io_uring"),
    mtls_part=HANDSHAKES, arguments=("connect", "--concurrency", "16"))


def size_text(size: int) -> str:
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


LATENCY = rate(4000)
QUICK_LATENCY = dataclasses.replace(LATENCY, length=4.0, turns=1)

FULL = [
    *(messages(connections, size) for connections in (1, 64, 512) for size in (64, 4096)),
    *(bulk(streams, direction) for streams in (1, 16) for direction in ("up", "down")),
    CONNECT, LATENCY]

QUICK = [messages(64, 64), messages(64, 4096), bulk(1, "up"), bulk(16, "down"), CONNECT, QUICK_LATENCY]


def named(name: str) -> Work:
    return next(work for work in FULL if work.name == name)
