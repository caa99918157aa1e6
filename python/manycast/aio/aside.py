"""What a thread does while the event loop goes on: looking up names, waiting, examining."""

from __future__ import annotations

import asyncio
import errno
from functools import wraps

from .._manycast import Address, begin_doctor, begin_resolve, begin_wait_for_addresses
from ..error import AddressError, SocketError
from .readiness import Readiness, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any, TypeVar

    from typing_extensions import ParamSpec

    from .._manycast import Pending
    from ..types import AddressLike, Payload
    from ..value import Report

    _P = ParamSpec("_P")
    _T = TypeVar("_T")

__all__ = ["awaited", "doctor", "in_numbers", "patiently", "refuse_names", "resolve"]


async def resolve(address: AddressLike, port: int | None = None, /) -> list[Address]:
    """Looks up a host as ``manycast.resolve`` does.

    A thread of its own waits for the name server, and is left to itself when this is cancelled.

    >>> asyncio.run(aio.resolve("127.0.0.1:5000"))
    [Address('127.0.0.1:5000')]
    """
    wanted = Address(address, port)
    if not wanted.is_name:
        await turn()
        return [wanted]
    return await result(begin_resolve(wanted))


async def doctor(
    address: AddressLike | None = None,
    port: int | None = None,
    /,
    *,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    duration: float = 10.0,
    pid: int | None = None,
    with_: AddressLike | None = None,
    key: str | None = None,
    answers: bool = False,
    question: Payload | None = None,
) -> Report:
    """Finds out why nothing arrives, as manycast.doctor does.

    A thread of its own does it, and is left to itself when this is cancelled.

    >>> print(asyncio.run(aio.doctor()).subject)
    this host
    """
    return await result(
        begin_doctor(
            address,
            port,
            interface=interface,
            sources=sources,
            duration=duration,
            pid=pid,
            with_=with_,
            key=key,
            answers=answers,
            question=question,
        )
    )


def awaited(
    waits: Callable[_P, _T], begins: Callable[..., Pending[_T]]
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """The coroutine of a function that waits, by the one that begins the same."""

    @wraps(waits)
    async def wait(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await result(begins(*args, **kwargs))

    return wait


async def result(pending: Pending[_T]) -> _T:
    """What comes of work that a thread does, as soon as it is done. Where this is cancelled, the work is
    ended, if it can be, and has let go of its files.
    """
    readiness = Readiness(pending.fileno())
    try:
        await readiness.wait()
    except asyncio.CancelledError:
        if pending.cancel():
            await readiness.wait(asyncio.get_running_loop().time() + 1)
        raise
    finally:
        readiness.unwatch()
    return pending.result()


async def patiently(open: Callable[[], _T]) -> _T:
    """Opens something. Where an address of this host cannot be used, it may be tentative: a thread waits
    until none is, at most three seconds, and it is opened again.
    """
    try:
        return open()
    except SocketError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    await result(begin_wait_for_addresses())
    return open()


async def in_numbers(address: AddressLike, port: int | None) -> Address:
    found = await resolve(address, port)
    return found[0]


def refuse_names(*addresses: AddressLike | int) -> None:
    if len(addresses) == 2 and isinstance(addresses[1], int):
        addresses = ((addresses[0], addresses[1]),)
    for address in addresses:
        given = Address(address)  # type: ignore[arg-type]
        if given.is_name:
            raise AddressError(
                f"{given}: looking up {given.host} would block the event loop; "
                "give what 'await aio.resolve(...)' finds"
            )
