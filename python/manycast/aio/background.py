"""What a thread runs, and tells the event loop of."""

from __future__ import annotations

import errno
from typing import Generic, TypeVar

from ..error import ClosedError, TimedOut
from .readiness import Readiness, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from typing_extensions import Self

    class _Running(Protocol):
        """What the thread runs."""

        @property
        def closed(self) -> bool: ...
        def fileno(self) -> int: ...


__all__ = ["Background"]

_R = TypeVar("_R", bound="_Running")
_T = TypeVar("_T")


class Background(Generic[_R, _T]):
    """The part that all of them have: ``_take`` gives what was told, without waiting."""

    def __init__(self, running: _R) -> None:
        self._running = running
        self._readiness = Readiness(running.fileno())

    def _take(self) -> _T | None:
        raise NotImplementedError

    async def _next(self, deadline: float | None = None) -> _T | None:
        """Waits for what is told next; None: it has ended. TimedOut: the loop's time is ``deadline`` before."""
        await turn()
        while True:
            # What is told before the end is there once it has ended.
            has_ended = self._running.closed
            told = self._take()
            if told is not None or has_ended:
                return told
            if not await self._readiness.wait(deadline):
                raise TimedOut(errno.ETIMEDOUT, f"{self!r} told nothing in time")

    def _fail(self) -> None:
        """Ends the waits of other tasks."""
        self._readiness.fail(ClosedError(f"{self!r} was closed; open another"))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._running.closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            told = await self._next()
        except ClosedError:
            told = None
        if told is None:
            raise StopAsyncIteration
        return told

    async def __aenter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return repr(self._running)
