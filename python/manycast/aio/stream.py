"""Streams to many on the event loop."""

from __future__ import annotations

import asyncio
import socket
from functools import wraps
from typing import TypeVar

from .. import stream as _blocking
from ..error import ClosedError
from ..stream import Incoming, Outgoing, Stream, StreamReceived, StreamSent
from .aside import result
from .readiness import Readiness, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer, ParamSpec, Self

    from .._manycast import Pending

    _P = ParamSpec("_P")
    _O = TypeVar("_O", bound="Outgoing | Incoming")

__all__ = ["StreamReceiver", "StreamSender", "receive_stream", "send_stream"]

_R = TypeVar("_R")

_CHUNK = 65_536


class _OnLoop(Stream[_R]):
    """What both ends have on an event loop."""

    def __init__(self, fd: int, pending: Pending[_R]) -> None:
        super().__init__(fd, pending)
        self._ready = Readiness(fd, to_write=isinstance(self, Outgoing))
        self._ended = Readiness(pending.fileno())

    def _shut(self) -> None:
        # Before it is closed, and its number is another's.
        for readiness in (self._ready, self._ended):
            readiness.fail(ClosedError("the stream was closed; open another"))
        super()._shut()


class StreamSender(_OnLoop[StreamSent], Outgoing):
    """What ``aio.send_stream`` returns, as manycast.stream.StreamSender.

    >>> async def main():
    ...     async with aio.send_stream("239.192.0.8%lo:5014") as out:
    ...         await out.write(b"some bytes")
    ...     return out.report.bytes
    >>> asyncio.run(main())
    10
    """

    # Made when it is first needed, since before Python 3.10 it belongs to one loop from its beginning.
    _closing: asyncio.Lock | None = None

    async def write(self, data: Buffer, /) -> int:
        """Sends bytes, and returns how many. It waits while receivers are slower; one that is cancelled
        may have sent a part, so the stream cannot go on.

        Raises what ended the stream before, such as TimedOut.
        """
        self._check()
        left = memoryview(data).cast("B")
        size = len(left)
        await turn()
        try:
            while left:
                self._check()
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    await self._ready.wait()
        except (BrokenPipeError, ConnectionResetError):
            await self.close()
            raise ClosedError("the stream has ended; open another") from None
        except asyncio.CancelledError:
            self.abort()
            raise
        return size

    async def close(self) -> None:
        """Ends the stream, and waits until those that were expected have all of it. Repeating it is
        harmless.

        TransferError: one has not said so.
        """
        if self._pending.forked:
            return self._shut()
        if self._closing is None:
            self._closing = asyncio.Lock()
        # Who comes second finds it closed: there is one outcome.
        async with self._closing:
            if self.closed:
                return
            self._ready.fail(ClosedError("the stream was closed; open another"))
            try:
                self._socket.shutdown(socket.SHUT_WR)
                sent = await result(self._pending)
            finally:
                self._shut()
        self._end(sent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_exception: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()


class StreamReceiver(_OnLoop[StreamReceived], Incoming):
    """What ``aio.receive_stream`` returns, as manycast.stream.StreamReceiver; iterate with ``async for``.

    >>> async def main():
    ...     async with aio.receive_stream("239.192.0.8%lo:5014", timeout=0.01) as stream:
    ...         return await stream.read()
    >>> asyncio.run(main())
    Traceback (most recent call last):
    manycast.TransferError: cannot receive the stream: no stream has begun
    """

    async def read(self, size: int = -1, /) -> bytes:
        """Waits for so many bytes, or by default for all until the end, and returns them; fewer only at the
        end. Where it is cancelled, nothing is lost: what it had taken is for the next read.

        TransferError: bytes are missing, or the sender fell silent.
        """
        self._is_over()
        while (missing := self._missing(size)) and (part := await self._next(missing)):
            self._keep(part)
        return self._taken(size)

    async def _next(self, size: int) -> bytes:
        """What comes next, without what was kept; nothing at the end. Where it is cancelled, it has taken
        nothing, not even the end.
        """
        await turn()
        while True:
            if self._is_over():
                return b""
            try:
                part = self._socket.recv(size)
                break
            except BlockingIOError:
                await self._ready.wait()
        if not part:
            try:
                await self._ended.wait()
            except ClosedError:
                # Another task has read to the end, or closed it.
                if self._report is None:
                    raise
            if not self._is_over():
                try:
                    self._report = self._pending.result()
                finally:
                    self._shut()
                self._is_over()
        return part

    def close(self) -> None:
        """Receives no more. Repeating it is harmless."""
        self.abort()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = self._taken(-1) or await self._next(_CHUNK)
        if not part:
            raise StopAsyncIteration
        return part

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()


def _twin(begin: Callable[_P, Outgoing | Incoming], of: type[_O]) -> Callable[_P, _O]:
    """The twin for asyncio of a function that begins a stream."""

    @wraps(begin)
    def twin(*args: _P.args, **kwargs: _P.kwargs) -> _O:
        begun = begin(*args, **kwargs)
        return of(begun._socket.detach(), begun._pending)  # type: ignore[arg-type]

    return twin


send_stream = _twin(_blocking.send_stream, StreamSender)
receive_stream = _twin(_blocking.receive_stream, StreamReceiver)
