"""Sending to one destination."""

from __future__ import annotations

import asyncio
from itertools import islice

import manycast

from .._manycast import Address
from .aside import in_numbers, patiently, refuse_names
from .readiness import turn
from .waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._manycast import Sent
    from ..address import SocketAddress
    from ..types import AddressLike, InterfaceLike, Payload

__all__ = ["Sender", "send"]

# How many datagrams are sent before other tasks have their turn.
_BATCH = 256


class Sender(Waiting):
    """Sends datagrams to one group or host, as manycast.Sender does.

    >>> async def main():
    ...     async with aio.Sender("239.192.0.100%lo:5000") as sender:
    ...         print((await sender.send("Hello, world!")).size)
    >>> asyncio.run(main())
    13

    It takes the arguments of manycast.Sender and raises what that raises; a name is refused with
    AddressError. An address of this host that is tentative is a SocketError at once, since to wait for it
    would block the event loop.
    """

    _object: manycast.Sender

    def __init__(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
        source: str | None = None,
        hops: int | None = None,
        loopback: bool = True,
        dscp: int | None = None,
        send_buffer: int | None = None,
    ) -> None:
        refuse_names(Address(address, port))
        super().__init__(
            manycast.Sender(
                address,
                port,
                interface=interface,
                source=source,
                hops=hops,
                loopback=loopback,
                dscp=dscp,
                send_buffer=send_buffer,
            )
        )

    async def send(self, payload: Payload, /) -> Sent:
        """Sends one datagram, of at most 65,507 bytes, and returns how it left."""
        while True:
            await turn()
            sent = self._object.try_send(payload)
            if sent is not None:
                return sent
            await self._writable(self.fileno())

    async def send_many(self, payloads: Iterable[Payload], /) -> int:
        """Sends many datagrams with few system calls, and returns how many went, which is all."""
        if isinstance(payloads, (str, bytes, bytearray, memoryview)):
            raise TypeError("this is one payload; give many, such as a list, or use send")
        more = iter(payloads)
        total = 0
        while left := list(islice(more, _BATCH)):
            total += len(left)
            while left:
                sent = self._object.try_send_many(left)
                del left[:sent]
                if left and not sent:
                    await self._writable(self.fileno())
            # However fast they go, other tasks have their turn in between.
            await asyncio.sleep(0)
        return total

    @property
    def destination(self) -> SocketAddress:
        """The group or host that datagrams go to; a SocketAddress."""
        return self._object.destination

    @property
    def source(self) -> SocketAddress:
        """The local address and port that datagrams leave from now; a SocketAddress."""
        return self._object.source


async def send(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    interface: InterfaceLike | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
    dscp: int | None = None,
) -> Sent:
    """Sends one datagram to a group or a host, as manycast.send does. A name is looked up.

    >>> print(asyncio.run(aio.send("Hello, world!", "239.192.0.100%lo:5000")).size)
    13
    """
    numbers = await in_numbers(address, port)
    sender = await patiently(
        lambda: Sender(
            numbers, interface=interface, source=source, hops=hops, loopback=loopback, dscp=dscp
        )
    )
    async with sender:
        return await sender.send(payload)
