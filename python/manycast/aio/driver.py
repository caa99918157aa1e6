"""Running protocols on the event loop: one class for all of them, and what is built on it."""

from __future__ import annotations

import asyncio
import errno
from functools import wraps
from typing import Generic, TypeVar

from .._manycast import begin_ask
from ..error import ClosedError, Error, TimedOut
from .aside import in_numbers, patiently, refuse_names
from .readiness import Readiness, checked, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import ParamSpec, Self

    import manycast

    from ..types import AddressLike, InterfacesLike, Payload
    from ..value import Answer

    _P = ParamSpec("_P")

__all__ = ["Driver", "ask", "twin"]

_E = TypeVar("_E")
_S = TypeVar("_S")


class Driver(Generic[_E, _S]):
    """Runs a protocol on the event loop, as manycast.Driver does in a thread.

    Iterate with ``async for``, or ``run`` it to its end. Cancelling a wait loses no event.

    >>> async def main():
    ...     return await aio.measure.send("127.0.0.1:9", count=1).run()
    >>> asyncio.run(main()).datagrams
    1
    """

    def __init__(self, driver: manycast.Driver[_E, _S]) -> None:
        self._driver = driver
        self._readiness: Readiness | None = None
        self._has_ended = False

    async def next_event(self, *, timeout: float | None = None) -> _E | None:
        """Waits for what the protocol tells next; None: it has finished.

        TimedOut: nothing came in time. ClosedError: it was closed.
        """
        loop = asyncio.get_running_loop()
        deadline = float("inf") if timeout is None else loop.time() + checked(timeout)
        driver = self._driver
        await (self._readiness.turn() if self._readiness is not None else turn())
        while True:
            event = driver.try_next_event()
            if event is not None:
                return event
            if driver.finished:
                self._end()
                return None
            now = loop.time()
            if now >= deadline:
                raise TimedOut(errno.ETIMEDOUT, f"{self!r} told nothing within {timeout:g} s")
            wait = driver.wait
            until = deadline if wait is None else min(deadline, now + wait)
            if self._readiness is None:
                self._readiness = Readiness(driver.fileno())
            try:
                await self._readiness.wait(until)
            except ClosedError:
                if self._has_ended:  # as another task found
                    return None
                raise

    async def run(self) -> _S:
        """Runs the protocol to its end and returns its ``stats``."""
        async with self:
            async for _ in self:
                pass
        return self.stats

    def finish(self) -> None:
        """Asks the protocol to come to its end in good order; iterate until it has."""
        self._driver.finish()

    def command(self, name: str, /, *arguments: Any) -> None:
        """Gives the protocol a command of its own."""
        self._driver.command(name, *arguments)

    @property
    def stats(self) -> _S:
        """What the protocol has counted until now, or until it was closed."""
        return self._driver.stats

    @property
    def finished(self) -> bool:
        """Whether the protocol has finished, or was closed."""
        return self._driver.finished

    @property
    def closed(self) -> bool:
        """Whether its sockets are closed."""
        return self._driver.closed

    def close(self) -> None:
        """Ends it at once; waits of other tasks end with ClosedError. Repeating it is harmless."""
        try:
            if self._readiness is not None:
                self._readiness.fail(ClosedError("the Driver was closed"))
        finally:
            self._driver.close()

    def _end(self) -> None:
        """Closes what has finished, and tells the other tasks that wait."""
        self._has_ended = True
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _E:
        """The next event; the iteration ends when the protocol does, or when it is closed."""
        try:
            event = await self.next_event()
        except ClosedError:
            raise StopAsyncIteration from None
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._driver).replace("<", "<aio.", 1)


def twin(begin: Callable[_P, manycast.Driver[_E, _S]]) -> Callable[_P, Driver[_E, _S]]:
    """The twin for asyncio of a function whose positional arguments are addresses, and which returns
    a Driver. A name is refused, since to look it up would block the event loop.
    """

    @wraps(begin)
    def twin(*args: _P.args, **kwargs: _P.kwargs) -> Driver[_E, _S]:
        refuse_names(*args)
        return Driver(begin(*args, **kwargs))

    return twin


async def ask(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    timeout: float = 1.0,
    retries: int = 0,
    answers: int | None = None,
    interface: InterfacesLike | None = None,
    hops: int | None = None,
    loopback: bool = True,
    dscp: int | None = None,
) -> list[Answer]:
    """Sends a question and returns a list of the answers, as manycast.ask does. A name is looked up.

    >>> asyncio.run(aio.ask("anybody?", "239.192.0.199%lo:5000", timeout=0.01))
    []
    """
    numbers = await in_numbers(address, port)
    asking = await patiently(
        lambda: begin_ask(
            payload,
            numbers,
            timeout=timeout,
            retries=retries,
            answers=answers,
            interface=interface,
            hops=hops,
            loopback=loopback,
            dscp=dscp,
        )
    )
    gathered: list[Answer] = []
    async with Driver(asking) as asker:
        try:
            async for answer in asker:
                gathered.append(answer)
        except Error:
            # What failed on one interface takes nothing from what came by another.
            if not gathered:
                raise
    return gathered
