"""Files to many, reliably: what is lost is repaired, and a report says who has what.

    import manycast

    manycast.receive_files("239.192.0.7:5013", "/srv")                             # on each receiver
    report = manycast.send_files("239.192.0.7:5013", ["firmware.bin"], receivers=3)
    for receiver in report.receivers:
        print(receiver)

A file has its name only once it is complete and has the right hash. ``aio`` has the same for asyncio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ._manycast import receive_files, send_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._manycast import Sent
    from .address import SocketAddress

__all__ = [
    "Began",
    "Delivery",
    "Ended",
    "File",
    "FileReceived",
    "FileSent",
    "Heard",
    "Listening",
    "ReceiveEvent",
    "ReceiveProgress",
    "ReceiveReport",
    "Receiver",
    "ReceiverProgress",
    "Sample",
    "Scanned",
    "SendEvent",
    "SendProgress",
    "SendReport",
    "Started",
    "Warned",
    "receive_files",
    "send_files",
]


@dataclass(frozen=True)
class File:
    """A file or folder, and what became of it at a receiver.

    ``path``: relative, with "/" between its parts. ``size``: in bytes; 0 of a folder. ``state``:
    "verified", it is there with the hash that it has at the sender; "failed"; or "incomplete".
    ``reason``: why it failed, or None. ``folder``: whether it is one.

    >>> print(manycast.files.File("dir/a", 5, "failed", "No space left on device"))
    dir/a: failed: No space left on device
    """

    path: str
    size: int
    state: str
    reason: str | None = None
    folder: bool = False

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason is not None else ""
        return f"{self.path}: {self.state}{why}"


@dataclass(frozen=True)
class Sample:
    """How it went at a receiver since the sample before.

    ``time``: in seconds since the first datagram. ``bits_per_second``: of files, that it took. ``loss``:
    the part of the datagrams that it missed, from 0 to 1.

    >>> manycast.files.Sample(0.5, 80e6, 0.01).loss
    0.01
    """

    time: float
    bits_per_second: float
    loss: float


@dataclass(frozen=True)
class Receiver:
    """What came of a delivery at a receiver.

    ``name``: its own. ``complete``: it has verified every file. ``files``: each File, in one order for all
    receivers. ``heard``: it answered. ``named``: it was expected by its name. ``loss``: the part of the
    datagrams that it missed, from 0 to 1. ``samples``: how it went over time. ``silent``: for how many seconds
    it was not heard at the end.

    >>> files = (manycast.files.File("a", 5, "verified"), manycast.files.File("b", 5, "incomplete"))
    >>> print(manycast.files.Receiver("lab1", False, files))
    lab1: 1 of 2 files verified
    """

    name: str
    complete: bool
    files: tuple[File, ...] = ()
    heard: bool = True
    named: bool = False
    loss: float = 0.0
    samples: tuple[Sample, ...] = ()
    silent: float = 0.0

    def __str__(self) -> str:
        if not self.heard:
            return f"{self.name}: did not answer"
        verified = sum(file.state == "verified" for file in self.files)
        return f"{self.name}: {verified} of {len(self.files)} files verified"


@dataclass(frozen=True)
class SendReport:
    """What came of files that were sent.

    ``complete``: all receivers that were expected have verified every file; where none was expected, all
    that answered. ``receivers``: each Receiver that was expected by its name or answered. ``expected``: how
    many were. ``files``: how many files and folders there are; ``bytes``: those of all files. ``duration``:
    in seconds. ``datagrams``: those with data that were sent for the first time; ``repairs``: those that
    repaired something. ``nacks``: how often receivers said what they missed. ``sent``: how many of the bytes
    were sent, whatever was repaired; fewer than all where all receivers had some before.

    >>> receivers = (manycast.files.Receiver("lab1", True),)
    >>> report = manycast.files.SendReport(True, receivers, 1, 2, 10**6, 0.5, sent=10**6)
    >>> report.bits_per_second
    16000000.0
    """

    complete: bool
    receivers: tuple[Receiver, ...]
    expected: int
    files: int
    bytes: int
    duration: float
    datagrams: int = 0
    repairs: int = 0
    nacks: int = 0
    sent: int = 0

    @property
    def bits_per_second(self) -> float:
        """The rate of what was sent of the files."""
        return self.sent * 8 / self.duration if self.duration > 0 else 0.0

    def __str__(self) -> str:
        complete = sum(receiver.complete for receiver in self.receivers)
        sent = "" if self.sent == self.bytes else f", of which {self.sent} were sent,"
        return (
            f"{self.files} files, {self.bytes} bytes{sent} in {self.duration:.3f} s, "
            f"{self.bits_per_second / 1e6:.1f} Mbit/s; "
            f"complete at {complete} of {len(self.receivers)} receivers"
        )


@dataclass(frozen=True)
class Scanned:
    """Files are read for their hashes, since receivers may have them: so many ``bytes`` until now.

    >>> manycast.files.Scanned(1000).bytes
    1000
    """

    bytes: int


@dataclass(frozen=True)
class Started:
    """Sending begins.

    ``files``: how many files and folders; ``bytes``: those of all files; ``sent``: whereto, from which
    address and by which interface.

    >>> manycast.files.Started(1, 1000).files
    1
    """

    files: int
    bytes: int
    sent: Sent | None = None


@dataclass(frozen=True)
class Heard:
    """A receiver was heard of for the first time, by its ``name``.

    >>> manycast.files.Heard("lab1").name
    'lab1'
    """

    name: str


@dataclass(frozen=True)
class FileSent:
    """A file has come to its end at a receiver. ``state`` and ``reason`` are those of a File.

    >>> manycast.files.FileSent("lab1", "dir/a", "verified").state
    'verified'
    """

    receiver: str
    path: str
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class ReceiverProgress:
    """How far a receiver is.

    ``verified``, ``failed``: how many files; ``bytes``: those that it has; ``bits_per_second``, ``loss``:
    as in a Sample, of late. ``silent``: for how many seconds it was not heard.

    >>> manycast.files.ReceiverProgress("lab1", 3, 0, 1000, 80e6, 0.0).verified
    3
    """

    name: str
    verified: int
    failed: int
    bytes: int
    bits_per_second: float
    loss: float
    silent: float = 0.0


@dataclass(frozen=True)
class SendProgress:
    """How far sending is.

    ``duration``: in seconds until now. ``files``, ``bytes``: how many there are. ``sent``: the bytes that
    were sent for the first time. ``datagrams``, ``repairs``: as in a SendReport. ``receivers``: the
    ReceiverProgress of each that was heard of. ``left``: how many seconds it will take until the slowest
    has all, or None where that is not known. ``absent``: the names of those that are expected and were not
    heard of.

    >>> manycast.files.SendProgress(0.5, 1, 1000, 500, 1, 0).sent
    500
    """

    duration: float
    files: int
    bytes: int
    sent: int
    datagrams: int
    repairs: int
    receivers: tuple[ReceiverProgress, ...] = ()
    left: float | None = None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Warned:
    """Something is not as it should be: ``message`` is a whole sentence.

    >>> print(manycast.files.Warned("two receivers call themselves lab1").message)
    two receivers call themselves lab1
    """

    message: str


@dataclass(frozen=True)
class Delivery:
    """A delivery that was received.

    ``sender``: the number of its sender, as 8 hexadecimal digits. ``complete``: all is there, verified.
    ``files``: each File. ``bytes``: those that are there. ``duration``: in seconds. ``ended``: the sender
    said that this was all.

    >>> files = (manycast.files.File("a", 5, "verified"),)
    >>> print(manycast.files.Delivery("5a77f9d3", True, files, 5, 0.5))
    5a77f9d3: 1 of 1 files verified, 5 bytes in 0.500 s
    """

    sender: str
    complete: bool
    files: tuple[File, ...] = ()
    bytes: int = 0
    duration: float = 0.0
    ended: bool = True

    def __str__(self) -> str:
        verified = sum(file.state == "verified" for file in self.files)
        return (
            f"{self.sender}: {verified} of {len(self.files)} files verified, "
            f"{self.bytes} bytes in {self.duration:.3f} s"
        )


@dataclass(frozen=True)
class ReceiveReport:
    """What came of receiving files.

    ``deliveries``: each Delivery that has ended. ``timed_out``: it ended since nothing came.

    >>> manycast.files.ReceiveReport(()).complete
    False
    """

    deliveries: tuple[Delivery, ...]
    timed_out: bool = False

    @property
    def complete(self) -> bool:
        """Whether each delivery that ended is complete, and one ended."""
        return bool(self.deliveries) and all(it.complete for it in self.deliveries)


@dataclass(frozen=True)
class Listening:
    """It listens: ``name`` is that of this receiver, ``addresses`` the groups or local addresses.

    >>> manycast.files.Listening("lab1", (manycast.SocketAddress("239.192.0.7", 5013),)).name
    'lab1'
    """

    name: str
    addresses: tuple[SocketAddress, ...]


@dataclass(frozen=True)
class Began:
    """A delivery begins: ``sender`` as in a Delivery, how many ``files`` and ``bytes``.

    >>> manycast.files.Began("5a77f9d3", 1, 1000).bytes
    1000
    """

    sender: str
    files: int
    bytes: int


@dataclass(frozen=True)
class FileReceived:
    """A file has come to its end. ``sender`` is as in a Delivery, the others are those of a File.

    >>> manycast.files.FileReceived("5a77f9d3", "dir/a", 5, "verified").path
    'dir/a'
    """

    sender: str
    path: str
    size: int
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class ReceiveProgress:
    """How far a delivery is: ``bytes`` are there of ``total``. ``loss`` is the part of the datagrams that
    did not come, from 0 to 1.

    >>> manycast.files.ReceiveProgress("5a77f9d3", 500, 1000, 0.0).total
    1000
    """

    sender: str
    bytes: int
    total: int
    loss: float


@dataclass(frozen=True)
class Ended:
    """A ``delivery`` has ended.

    >>> manycast.files.Ended(manycast.files.Delivery("5a77f9d3", True)).delivery.complete
    True
    """

    delivery: Delivery


# What ``progress`` is called with.
SendEvent = Union[Scanned, Started, Heard, FileSent, SendProgress, Warned]
ReceiveEvent = Union[Listening, Began, FileReceived, ReceiveProgress, Ended, Warned]
