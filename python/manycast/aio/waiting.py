"""Waiting on the running loop, with time-outs, in turns, until somebody closes it."""

from __future__ import annotations

import asyncio
import errno
import os

from ..error import ClosedError, TimedOut
from .readiness import AGAIN, Readiness, checked, is_refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from typing_extensions import Buffer

    import manycast

    from .._manycast import Datagram

    _Self = TypeVar("_Self", bound="Waiting")
    _T = TypeVar("_T")

    class _Inner(Protocol):
        @property
        def closed(self) -> bool: ...
        def fileno(self) -> int: ...
        def close(self) -> None: ...

__all__ = ["Receiving", "Waiting"]


class Waiting:
    """Something to wait for on the running loop: until it is readable, or writable."""

    def __init__(self, inner: _Inner, timeout: float | None = None) -> None:
        self._object = inner
        self._timeout = timeout
        self._reading = Readiness(inner.fileno())
        self._writing: dict[int, Readiness] = {}

    async def _attempt(self, attempt: Callable[[], _T | None], timeout: float | None) -> _T:
        """Calls ``attempt`` until it finds something."""
        timeout = self._timeout if timeout is None else checked(timeout)
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        await self._reading.turn()
        found = attempt()
        while found is None:
            ready = await self._reading.wait(deadline)
            found = attempt()
            if found is None and not ready:
                told = f"nothing came on {self!r} within {timeout:g} s; aio.doctor() finds out why"
                raise TimedOut(errno.ETIMEDOUT, told)
        return found

    async def _writable(self, fd: int) -> None:
        """Waits until there is room in the send buffer of a descriptor, a second at most: the socket
        may be replaced by another meanwhile, when the interfaces change.
        """
        try:
            if is_refused(fd):
                return await asyncio.sleep(AGAIN)
            if fd not in self._writing:
                # One of its own, which stays open while the loop knows it.
                self._writing[fd] = Readiness(os.dup(fd), to_write=True)
        except OSError:
            # No descriptor is left.
            return await asyncio.sleep(AGAIN)
        try:
            await self._writing[fd].wait(asyncio.get_running_loop().time() + 1)
        finally:
            if fd in self._writing and not self._writing[fd].is_awaited:
                self._forget(fd)

    def _forget(self, fd: int) -> None:
        writing = self._writing.pop(fd)
        writing.unwatch()
        os.close(writing.fd)

    def fileno(self) -> int:
        """The descriptor that the event loop waits for."""
        return self._object.fileno()

    def close(self) -> None:
        """Closes it; waits of other tasks end with ClosedError. Repeating it is harmless."""
        try:
            for readiness in (self._reading, *self._writing.values()):
                readiness.fail(ClosedError(f"the {type(self).__name__} was closed"))
            for fd in list(self._writing):
                self._forget(fd)
        finally:
            self._object.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._object.closed

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._object).replace("<", "<aio.", 1)


class Receiving(Waiting):
    """Receives datagrams: what a Listener and a Socket have in common."""

    _object: manycast.Listener | manycast.Socket

    async def recv(self, *, timeout: float | None = None) -> Datagram:
        """Waits for a datagram and returns it.

        ``timeout`` in seconds takes the place of its own. Tasks that wait for the same take turns.
        TimedOut: nothing came in time. ClosedError: another task closed it.
        """
        return await self._attempt(self._object.try_recv, timeout)

    async def recv_many(
        self, limit: int = 256, /, *, timeout: float | None = None
    ) -> list[Datagram]:
        """Waits for datagrams and returns a list of those that are there: at least one, and no more
        than ``limit``, nor than 16,384. Raises what ``recv`` raises.
        """
        if limit < 1:
            raise ValueError("at least one datagram is waited for; give a limit from 1")
        return await self._attempt(lambda: self._object.try_recv_many(limit) or None, timeout)

    async def recv_into(
        self, buffer: Buffer, limit: int = 256, /, *, timeout: float | None = None
    ) -> list[int]:
        """Waits for datagrams, and writes the payloads of those that are there into a buffer, one
        behind the other; returns where each begins and the last ends, as manycast.Listener does.
        """
        if limit < 1:
            raise ValueError("at least one datagram is waited for; give a limit from 1")
        return await self._attempt(
            lambda: self._object.try_recv_into(buffer, limit) or None, timeout
        )

    def __aiter__(self: _Self) -> _Self:
        return self

    async def __anext__(self) -> Datagram:
        """The next datagram; the iteration ends when it is closed."""
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None
