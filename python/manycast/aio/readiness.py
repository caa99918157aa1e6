"""Waiting for descriptors on an event loop, with a turn for every task."""

from __future__ import annotations

import asyncio
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _S = TypeVar("_S", bound="float | None")

__all__ = ["AGAIN", "Readiness", "checked", "is_refused", "turn"]

# How long until it is looked again whether there is room, in seconds, where the kernel does not tell.
AGAIN = 0.001

# How many calls in a row may find what they want at once before the other tasks have their turn.
_IN_A_ROW = 64

_calls = 0


async def turn() -> None:
    """Lets the other tasks have their turn, now and then.

    A call that need not wait never suspends its task. In a loop of such calls no other task would
    run, no time-out would be over and no cancelling would be heard; so each begins with this.
    """
    global _calls
    _calls += 1
    if _calls >= _IN_A_ROW:
        _calls = 0
        await asyncio.sleep(0)


def checked(timeout: _S) -> _S:
    """The time-out itself. ValueError: it is none, as for the calls that block."""
    if timeout is not None and not timeout >= 0:
        raise ValueError(
            f"a time-out of {timeout:g} s cannot be waited; give seconds from 0, or None"
        )
    return timeout


def is_refused(fd: int) -> bool:
    """Whether a wait for room would end at once, though there is none: what came back as undeliverable
    does that, until somebody receives it.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(ready & (select.POLLERR | select.POLLOUT) == select.POLLERR for _, ready in poll.poll(0))


class Readiness:
    """What waits for one descriptor to be readable, or writable: any number of tasks, in order.

    The loop calls again for as long as the descriptor is ready, so each call wakes one task.
    """

    def __init__(self, fd: int, *, to_write: bool = False) -> None:
        self.fd = fd
        self._to_write = to_write
        # A dict, for its order.
        self._waiters: dict[asyncio.Future[bool], None] = {}
        self._inside = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits here."""
        return self._inside > 0

    async def turn(self) -> None:
        """Lets the tasks that wait here take theirs first; without any, other tasks now and then."""
        if not self._inside:
            await turn()
            return
        self._inside += 1
        try:
            await asyncio.sleep(0)
        finally:
            self._inside -= 1

    async def wait(self, deadline: float | None = None) -> bool:
        """Waits until it is ready; False where the loop's time reaches ``deadline`` before."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.unwatch()
            add = loop.add_writer if self._to_write else loop.add_reader
            add(self.fd, self._wake)
            self._loop = loop
            self._process = os.getpid()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = None
        timer = None
        if deadline is not None and deadline < float("inf"):
            timer = loop.call_at(deadline, _finish, waiter, False)
        self._inside += 1
        try:
            return await waiter
        finally:
            self._inside -= 1
            self._waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if _waits(waiter):
                waiter.set_result(True)
                return
        # With nobody waiting, it would be called again and again until somebody takes what is there.
        self.unwatch()

    def unwatch(self) -> None:
        """Takes the descriptor from the loop, before it is closed and its number is another's."""
        # A child that was forked off would take it from the loop of its parent too: what the kernel
        # watches for a loop is shared.
        if (
            self._loop is not None
            and not self._loop.is_closed()
            and self._process == os.getpid()
        ):
            remove = self._loop.remove_writer if self._to_write else self._loop.remove_reader
            remove(self.fd)
        self._loop = None

    def fail(self, error: Exception) -> None:
        """Ends all waits with an error."""
        self.unwatch()
        for waiter in self._waiters:
            if _waits(waiter):
                waiter.set_exception(error)


def _waits(waiter: asyncio.Future[bool]) -> bool:
    """Whether a task still waits; it does not where its loop was closed."""
    return not (waiter.done() or waiter.get_loop().is_closed())


def _finish(waiter: asyncio.Future[bool], ready: bool) -> None:
    if not waiter.done():
        waiter.set_result(ready)
