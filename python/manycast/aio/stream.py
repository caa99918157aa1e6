"""Streams to many on the event loop."""

from __future__ import annotations

import asyncio
import socket
from functools import wraps

from .. import stream as _blocking
from ..error import ClosedError
from ..stream import Incoming, Outgoing
from .aside import result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from typing_extensions import Buffer, ParamSpec, Self

    _P = ParamSpec("_P")
    _O = TypeVar("_O", bound="Outgoing | Incoming")

__all__ = ["StreamReceiver", "StreamSender", "receive_stream", "send_stream"]

_CHUNK = 65_536


class StreamSender(Outgoing):
    """What ``aio.send_stream`` returns, as manycast.stream.StreamSender.

    >>> async def main():
    ...     async with aio.send_stream("239.192.0.8%lo:5014") as out:
    ...         await out.write(b"some bytes")
    ...     return out.report.bytes
    >>> asyncio.run(main())
    10
    """

    async def write(self, data: Buffer, /) -> int:
        """Sends bytes, and returns how many. It waits while receivers are slower; one that is cancelled
        may have sent a part, so the stream cannot go on.

        Raises what ended the stream before, such as TimedOut.
        """
        self._check()
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except (BrokenPipeError, ConnectionResetError):
            await self.close()
            raise ClosedError("the stream has ended; open another") from None
        except asyncio.CancelledError:
            self.abort()
            raise
        return memoryview(data).nbytes

    async def close(self) -> None:
        """Ends the stream, and waits until those that were expected have all of it. Repeating it is
        harmless.

        TransferError: one has not said so.
        """
        if self.closed:
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
            sent = await result(self._pending)
        finally:
            self._socket.close()
        self._end(sent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_exception: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.abort()


class StreamReceiver(Incoming):
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
        end. Where it is cancelled, what it had taken is lost.

        TransferError: bytes are missing, or the sender fell silent.
        """
        parts = []
        while size and (part := await self._next(_CHUNK if size < 0 else min(size, _CHUNK))):
            parts.append(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    async def _next(self, size: int) -> bytes:
        if self._is_over():
            return b""
        part = await asyncio.get_running_loop().sock_recv(self._socket, size)
        if not part:
            self._socket.close()
            self._report = await result(self._pending)
            self._is_over()
        return part

    def close(self) -> None:
        """Receives no more. Repeating it is harmless."""
        self.abort()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part = await self._next(_CHUNK)
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
        own = of(begun._socket.detach(), begun._pending)  # type: ignore[arg-type]
        own._socket.setblocking(False)
        return own

    return twin


send_stream = _twin(_blocking.send_stream, StreamSender)
receive_stream = _twin(_blocking.receive_stream, StreamReceiver)
