"""Receiving from groups and from anybody."""

from __future__ import annotations

import manycast

from ..error import ClosedError, TimedOut
from .aside import refuse_names
from .waiting import Receiving, Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ..address import SocketAddress
    from ..types import AddressLike, InterfaceLike
    from ..value import Membership

    _Self = TypeVar("_Self", bound="MulticastListener")

__all__ = ["Listener", "MulticastListener", "MulticastUDPReceiver", "listen"]


class Listener(Receiving):
    """Receives the datagrams of groups, and those to local addresses, as manycast.Listener does.

    >>> async def main():
    ...     async with aio.Listener("239.192.0.100%lo:5000", timeout=5) as listener:
    ...         await aio.send("Hello, world!", "239.192.0.100%lo:5000")
    ...         return await listener.recv()
    >>> asyncio.run(main()).payload
    b'Hello, world!'

    Iterate with ``async for``. It takes the arguments of manycast.Listener and raises what that
    raises; a name is refused with AddressError. An address of this host that is tentative is a
    SocketError at once, since to wait for it would block the event loop.
    """

    _object: manycast.Listener

    def __init__(
        self,
        *addresses: AddressLike | int,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        excluded: str | Iterable[str] | None = None,
        timeout: float | None = None,
        share_port: bool = False,
        receive_buffer: int | None = None,
    ) -> None:
        refuse_names(*addresses)
        super().__init__(
            manycast.Listener(
                *addresses,
                interface=interface,
                sources=sources,
                excluded=excluded,
                timeout=timeout,
                share_port=share_port,
                receive_buffer=receive_buffer,
            ),
            timeout,
        )

    def join(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        excluded: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins another group, and says whether it was not joined already."""
        return self._object.join(
            address, port, interface=interface, sources=sources, excluded=excluded
        )

    def leave(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
    ) -> bool:
        """Leaves a group, on all interfaces unless one is named, and says whether it was joined."""
        return self._object.leave(address, port, interface=interface)

    @property
    def memberships(self) -> list[Membership]:
        """The groups that are joined now, one entry for each interface."""
        return self._object.memberships

    @property
    def local_addresses(self) -> list[SocketAddress]:
        """The local addresses that are listened on beside groups."""
        return self._object.local_addresses


def listen(
    *addresses: AddressLike | int,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    excluded: str | Iterable[str] | None = None,
    timeout: float | None = None,
    share_port: bool = False,
    receive_buffer: int | None = None,
) -> Listener:
    """Opens a Listener, to be iterated with ``async for``.

    >>> async def main():
    ...     async with aio.listen("239.192.0.100%lo:5000") as listener:
    ...         print(listener)
    >>> asyncio.run(main())
    <aio.Listener on 239.192.0.100:5000>
    """
    return Listener(
        *addresses,
        interface=interface,
        sources=sources,
        excluded=excluded,
        timeout=timeout,
        share_port=share_port,
        receive_buffer=receive_buffer,
    )


def _there(take: Callable[[], bytes]) -> bytes | None:
    """What is there, or None."""
    try:
        return take()
    except TimedOut:
        return None


class MulticastListener(Waiting):
    """Receives the payloads that come to a group, as manycast.MulticastListener does.

    >>> async def main():
    ...     async with aio.MulticastListener("239.192.0.100", 5000, interface="lo") as listener:
    ...         await aio.send("Hello, world!", "239.192.0.100%lo:5000")
    ...         return await listener.recv(100)
    >>> asyncio.run(main())
    b'Hello, world!'
    """

    _object: manycast.MulticastListener

    def __init__(
        self,
        group: AddressLike,
        port: int | None = None,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> None:
        inner = manycast.MulticastListener(
            group, port, interface=interface, sources=sources, timeout=timeout
        )
        super().__init__(inner, timeout)

    async def recv(
        self, limit: int = 65507, /, *, truncate: bool = False, timeout: float | None = None
    ) -> bytes:
        """Waits for a datagram and returns its payload, of at most ``limit`` bytes.

        A longer one raises TruncatedError; with ``truncate=True`` its beginning is returned.
        """
        return await self._attempt(
            lambda: _there(lambda: self._object.recv(limit, truncate=truncate, timeout=0)), timeout
        )

    def __aiter__(self: _Self) -> _Self:
        return self

    async def __anext__(self) -> bytes:
        """The next payload; the iteration ends when it is closed."""
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None


class MulticastUDPReceiver(Waiting):
    """Receives the payloads that come to a group on one interface, as py-multicast did.

    >>> async def main():
    ...     async with aio.MulticastUDPReceiver("lo", "239.192.0.100", 5000) as receiver:
    ...         await aio.send("Hello, world!", "239.192.0.100%lo:5000")
    ...         return await receiver.read()
    >>> asyncio.run(main())
    b'Hello, world!'
    """

    _object: manycast.MulticastUDPReceiver

    def __init__(
        self, interface: InterfaceLike, group: str, port: int, *, timeout: float | None = None
    ) -> None:
        inner = manycast.MulticastUDPReceiver(interface, group, port, timeout=timeout)
        super().__init__(inner, timeout)

    async def read(self, *, timeout: float | None = None) -> bytes:
        """Waits for a datagram and returns its payload, all of it."""
        return await self._attempt(lambda: _there(lambda: self._object.read(timeout=0)), timeout)
