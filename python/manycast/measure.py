"""Loss, duplicates, reordering, delay, jitter and throughput of streams of numbered datagrams.

    from manycast import measure

    with measure.receive("239.1.1.1:5001") as receiving:        # on one host
        for event in receiving:
            if isinstance(event, measure.Interval):
                print(*event.streams, sep="\\n")

    print(measure.send("239.1.1.1:5001", rate=50e6).run())      # on another

Datagrams have the header of iperf 2, so either end can be iperf. ``aio.measure`` has the same for
asyncio. What is returned is a Driver: iterate over it, or ``run`` it to its end.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._manycast import measure_receive as receive, measure_send as send
from .value import Dropped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .address import SocketAddress

__all__ = [
    "Began",
    "Finished",
    "Freed",
    "Interval",
    "ReceiverStats",
    "SenderStats",
    "ServerReport",
    "Spread",
    "Stream",
    "receive",
    "send",
]


@dataclass(frozen=True)
class Spread:
    """What half, 99 % and 99.9 % of the values do not exceed, in seconds."""

    p50: float
    p99: float
    p999: float


@dataclass(frozen=True)
class Stream:
    """What was measured of a stream, over an interval or over its whole length.

    ``source``, ``destination``, ``interface``: who sends it to which group or local address, and what
    it comes in on. ``duration``: the time that was measured, in seconds. ``datagrams`` and ``bytes``:
    what came, duplicates included. ``lost``: numbers between the first and the last that did not come.
    ``kernel_dropped``: those of them that this host's own kernel dropped, at most. ``duplicated``: came
    once more. ``reordered``: came after a greater number (RFC 4737). ``stale``: came too late to tell.
    ``jitter``: in seconds (RFC 3550). ``delay``: from sender to receiver, None where the clocks do not
    agree. ``variation``: the delay beyond the least one (RFC 3393). ``hops``: the least and the greatest
    hop limit that was left. ``first_number``: more than 1 where it was under way already. ``ended``:
    the sender has ended it. ``run``: which of its sender, from 1; one that is started anew begins another.
    ``start``: when an interval began, in seconds after the stream. ``confirmed``: more than one datagram
    came; one alone may be forged or astray.
    """

    source: SocketAddress
    destination: SocketAddress
    interface: str
    duration: float
    datagrams: int
    bytes: int
    lost: int = 0
    kernel_dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    stale: int = 0
    jitter: float = 0.0
    delay: Spread | None = None
    variation: Spread | None = None
    hops: tuple[int, int] | None = None
    first_number: int = 1
    ended: bool = False
    run: int = 1
    start: float = 0.0
    confirmed: bool = True

    @property
    def expected(self) -> int:
        """How many were sent, as far as the numbers tell: those that came once, and the lost."""
        return max(0, self.datagrams + self.lost - self.duplicated - self.stale)

    @property
    def loss(self) -> float:
        """The part that was lost, from 0 to 1."""
        return self.lost / self.expected if self.expected else 0.0

    @property
    def bits_per_second(self) -> float:
        """The rate of its payload."""
        return self.bytes * 8 / self.duration if self.duration > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.source} > {self.destination} {self.interface}: {self.datagrams} datagrams, "
            f"{self.bits_per_second / 1e6:.3f} Mbit/s, {self.lost} of {self.expected} lost"
        )


@dataclass(frozen=True)
class Began:
    """A stream has begun."""

    source: SocketAddress
    destination: SocketAddress
    interface: str


@dataclass(frozen=True)
class Interval:
    """An interval is over: what each stream was in it, in the order in which they began."""

    streams: tuple[Stream, ...]


@dataclass(frozen=True)
class Freed:
    """A stream made room for another, and is not in ReceiverStats any more: what it was as a whole."""

    stream: Stream


@dataclass(frozen=True)
class ReceiverStats:
    """All that was received until now: each stream from its beginning.

    ``malformed``: datagrams without the header, which are of something else. ``untracked``: of more
    streams than are measured at once. ``untimely``: came before the start or after the end.
    ``unconfirmed``: streams of one datagram that made room for others. ``dropped``: what the kernel
    dropped for want of room in the receive buffer, of any stream or none; a Dropped.
    """

    streams: tuple[Stream, ...] = ()
    malformed: int = 0
    untracked: int = 0
    untimely: int = 0
    unconfirmed: int = 0
    dropped: Dropped = Dropped()


@dataclass(frozen=True)
class ServerReport:
    """What a receiver answered at the end; ``duration`` and ``jitter`` are in seconds."""

    bytes: int
    duration: float
    lost: int
    reordered: int
    datagrams: int
    jitter: float


@dataclass(frozen=True)
class Finished:
    """All is sent. ``report`` is the receiver's, where a host answered within a second."""

    report: ServerReport | None = None


@dataclass(frozen=True)
class SenderStats:
    """All that was sent until now.

    ``destination``: to whom. ``datagrams``, ``bytes``: what the kernel took. ``unsent``: datagrams that
    it did not take, because an interface was down or its queue full. ``duration``: in seconds.
    ``refused``: how often the destination said that nobody listens. ``malformed``: datagrams from it
    that were no report. ``report``: the receiver's, or None.
    """

    destination: SocketAddress
    datagrams: int = 0
    bytes: int = 0
    unsent: int = 0
    duration: float = 0.0
    refused: int = 0
    malformed: int = 0
    report: ServerReport | None = None

    @property
    def bits_per_second(self) -> float:
        """The rate of its payload."""
        return self.bytes * 8 / self.duration if self.duration > 0 else 0.0
