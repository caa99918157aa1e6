"""A stream of bytes to many, reliably and in order.

    import manycast

    with manycast.receive_stream("239.192.0.8:5014", name="lab1") as stream:       # on each receiver
        for chunk in stream:
            print(chunk)

    with manycast.send_stream("239.192.0.8:5014", names=["lab1", "lab2"]) as out:
        out.write(b"some bytes")

``aio`` has the same for asyncio.
"""

from __future__ import annotations

import select
import socket
import threading
import warnings
from dataclasses import dataclass
from typing import Generic, TypeVar

from ._manycast import receive_stream, send_stream
from .error import ClosedError, TransferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from ._manycast import Pending

__all__ = [
    "StreamReceived",
    "StreamReceiver",
    "StreamSender",
    "StreamSent",
    "receive_stream",
    "send_stream",
]

_R = TypeVar("_R")

# How many bytes are taken at once.
_CHUNK = 65_536

# A signal ends a wait at once, but one that lands just before the wait begins is only seen when it ends:
# so it ends this often, in milliseconds.
_SLICE = 100


@dataclass(frozen=True)
class StreamSent:
    """What came of a stream that was sent.

    ``complete``: all receivers that were expected have said that they have all of it. ``bytes``: those that
    were sent; ``duration``: in seconds. ``datagrams``: those that were sent for the first time; ``repairs``:
    those that repaired something. ``receivers``: the name of each that was expected, and whether it has all.

    >>> manycast.stream.StreamSent(False, 1000, 0.5, receivers=(("lab1", False),)).bits_per_second
    16000.0
    """

    complete: bool
    bytes: int
    duration: float
    datagrams: int = 0
    repairs: int = 0
    receivers: tuple[tuple[str, bool], ...] = ()

    @property
    def bits_per_second(self) -> float:
        """The rate of the stream."""
        return self.bytes * 8 / self.duration if self.duration > 0 else 0.0


@dataclass(frozen=True)
class StreamReceived:
    """What came of a stream that was received.

    ``bytes``: those that came; ``duration``: in seconds, from the first word of it on. ``error``: why it is
    not complete, or None.

    >>> manycast.stream.StreamReceived(1000, 0.5).error is None
    True
    """

    bytes: int
    duration: float
    error: str | None = None


class Stream(Generic[_R]):
    """An end of a stream, to which a thread is the other end. It is closed when it has ended."""

    def __init__(self, fd: int, pending: Pending[_R]) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._pending = pending
        self._report: _R | None = None

    @property
    def report(self) -> _R | None:
        """What came of the stream; None before it has ended, and where it could not begin."""
        return self._report

    @property
    def closed(self) -> bool:
        """Whether it was closed, or has ended."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """The descriptor that its bytes go through."""
        return self._socket.fileno()

    def abort(self) -> None:
        """Breaks it off at once; the other ends hear that it has no end, and who waits for it here hears
        ClosedError. Repeating it is harmless.
        """
        self._pending.cancel()
        self._shut()

    def _shut(self) -> None:
        """Closes this end. In a child that was forked off it is the parent's too, which goes on."""
        # Detached, it is closed for whoever waits before the wait ends.
        fd = self._socket.detach()
        if fd < 0:
            return
        with socket.socket(fileno=fd) as end:
            if not self._pending.forked:
                end.shutdown(socket.SHUT_RDWR)

    def _wait(self, event: int) -> None:
        """Waits until it is ready, or was closed by another thread. That a slice of the wait is over is no
        exception, since a handler of signals may raise the same.
        """
        fd = self._socket.fileno()
        poll = select.poll()
        if fd >= 0:
            poll.register(fd, event)
            while not poll.poll(_SLICE):
                pass

    def _check(self) -> None:
        self._pending.check(type(self).__name__)
        if self.closed:
            raise ClosedError("the stream is closed; open another")

    def __del__(self) -> None:
        if not self.closed:
            if not self._pending.forked:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self.abort()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{', closed' if self.closed else ''}>"


class Outgoing(Stream[StreamSent]):
    """The sending end, whichever way is waited."""

    def _end(self, sent: StreamSent) -> None:
        self._report = sent
        if not sent.complete:
            lacking = ", ".join(name for name, has_all in sent.receivers if not has_all)
            raise TransferError(
                f"cannot send all of the stream to {lacking}: nothing says that it has come; "
                "see whether the receiver runs, and send it again"
            )


class Incoming(Stream[StreamReceived]):
    """The receiving end, whichever way is waited."""

    def __init__(self, fd: int, pending: Pending[StreamReceived]) -> None:
        super().__init__(fd, pending)
        # What was taken for a read that was broken off: the next one begins with it.
        self._kept = bytearray()
        self._keeping = threading.Lock()

    def _missing(self, size: int) -> int:
        """How many bytes are to be taken next for a read of so many, which is all below 0."""
        return _CHUNK if size < 0 else min(max(size - len(self._kept), 0), _CHUNK)

    def _taken(self, size: int) -> bytes:
        """What was kept, as the outcome of a read."""
        with self._keeping:
            part = bytes(self._kept if size < 0 else self._kept[:size])
            del self._kept[: len(part)]
        return part

    def _keep(self, part: bytes) -> None:
        with self._keeping:
            self._kept += part

    def _is_over(self) -> bool:
        """Whether all has come. Where something is missing, that is raised each time."""
        if self._report is None:
            self._check()
            return False
        if self._report.error is not None:
            raise TransferError(self._report.error)
        return True


class StreamSender(Outgoing):
    """What ``send_stream`` returns: a file that is written, and whose bytes go to many.

    In a ``with`` statement its end is that of the stream; what leaves that by an error breaks it off.

    >>> out = manycast.send_stream("239.192.0.8%lo:5014")
    >>> out.write(b"some bytes")
    10
    >>> out.close()
    >>> out.report.bytes
    10
    """

    def __init__(self, fd: int, pending: Pending[StreamSent]) -> None:
        super().__init__(fd, pending)
        self._closing = threading.RLock()

    def write(self, data: Buffer, /) -> int:
        """Sends bytes, and returns how many. It waits while receivers are slower.

        Raises what ended the stream before, such as TimedOut.
        """
        self._check()
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                self._wait(select.POLLOUT)
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    pass
        except OSError as error:
            # What a handler of signals raises may be one too: then the stream is not at its end.
            ended = isinstance(error, (BrokenPipeError, ConnectionResetError))
            if not (ended or self.closed):
                raise
            self.close()
            raise ClosedError("the stream has ended; open another") from None
        return size

    def flush(self) -> None:
        """Does nothing, since what is written is sent at once."""

    def close(self) -> None:
        """Ends the stream, and waits until those that were expected have all of it. Repeating it is
        harmless.

        TransferError: one has not said so.
        """
        if self._pending.forked:
            return self._shut()
        # Who comes second finds it closed: there is one outcome.
        with self._closing:
            if self.closed:
                return
            try:
                self._socket.shutdown(socket.SHUT_WR)
                sent = self._pending.result()
            finally:
                self._shut()
        self._end(sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_exception: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class StreamReceiver(Incoming):
    """What ``receive_stream`` returns: a file that is read, or iterated over for its bytes as they come.

    >>> with manycast.receive_stream("239.192.0.8%lo:5014", timeout=0.01) as stream:
    ...     stream.read()
    Traceback (most recent call last):
    manycast.TransferError: cannot receive the stream: no stream has begun
    """

    def read(self, size: int = -1, /) -> bytes:
        """Waits for so many bytes, or by default for all until the end, and returns them; fewer only at the
        end.

        TransferError: bytes are missing, or the sender fell silent.
        """
        self._is_over()
        while (missing := self._missing(size)) and (part := self._next(missing)):
            self._keep(part)
        return self._taken(size)

    def _next(self, size: int) -> bytes:
        """What comes next, without what was kept; nothing at the end."""
        if self._is_over():
            return b""
        try:
            while True:
                self._wait(select.POLLIN)
                try:
                    part = self._socket.recv(size)
                    break
                except BlockingIOError:
                    pass
        except OSError:
            self._check()
            raise
        if not part:
            # Or another thread has closed it.
            self._check()
            self._shut()
            self._report = self._pending.result()
            self._is_over()
        return part

    def close(self) -> None:
        """Receives no more. Repeating it is harmless."""
        self.abort()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        part = self._taken(-1) or self._next(_CHUNK)
        if not part:
            raise StopIteration
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
