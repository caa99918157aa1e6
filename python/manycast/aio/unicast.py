"""Sending and receiving, with one peer or with many."""

from __future__ import annotations

import manycast

from .._manycast import Address
from .aside import in_numbers, refuse_names
from .readiness import turn
from .waiting import Receiving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._manycast import Datagram
    from ..address import SocketAddress
    from ..types import AddressLike, InterfaceLike, Payload

__all__ = ["Socket"]


class Socket(Receiving):
    """Sends and receives: by unicast, to one peer or to anybody, and as a member of groups.

    >>> async def main():
    ...     async with aio.Socket("127.0.0.1:0") as server:
    ...         async with aio.Socket.connect(server.local_address) as client:
    ...             await client.send("ping")
    ...             await server.answer("pong", await server.recv(timeout=5))
    ...             return await client.recv(timeout=5)
    >>> asyncio.run(main()).payload
    b'pong'

    It takes the arguments of manycast.Socket and raises what that raises; a name is refused with
    AddressError. An address of this host that is tentative is a SocketError at once, since to wait for it
    would block the event loop. What that can set is set on ``blocking``, which is the manycast.Socket behind it.
    """

    _object: manycast.Socket

    def __init__(
        self,
        address: AddressLike | None = None,
        port: int | None = None,
        /,
        *,
        share_port: bool = False,
        timeout: float | None = None,
        receive_buffer: int | None = None,
        send_buffer: int | None = None,
        dscp: int | None = None,
    ) -> None:
        if address is not None:
            refuse_names(Address(address, port))
        inner = manycast.Socket(
            address,
            port,
            share_port=share_port,
            timeout=timeout,
            receive_buffer=receive_buffer,
            send_buffer=send_buffer,
            dscp=dscp,
        )
        super().__init__(inner, timeout)

    @classmethod
    def connect(
        cls,
        peer: AddressLike,
        port: int | None = None,
        /,
        *,
        timeout: float | None = None,
        dscp: int | None = None,
    ) -> Socket:
        """Opens a socket that sends to one peer and receives from it alone."""
        refuse_names(Address(peer, port))
        socket = cls.__new__(cls)
        inner = manycast.Socket.connect(peer, port, timeout=timeout, dscp=dscp)
        Receiving.__init__(socket, inner, timeout)
        return socket

    @property
    def blocking(self) -> manycast.Socket:
        """The socket behind it, for its options. Receive with this one alone."""
        return self._object

    async def send(self, payload: Payload, /) -> None:
        """Sends to the peer of a connected socket."""
        await self._send(payload, None)

    async def send_to(
        self, payload: Payload, address: AddressLike, port: int | None = None, /
    ) -> None:
        """Sends to a host or a group. A name is looked up."""
        await self._send(payload, await in_numbers(address, port))

    async def answer(self, payload: Payload, datagram: Datagram, /) -> None:
        """Answers a datagram, from the address that it was sent to."""
        await self._send(payload, datagram)

    async def _send(self, payload: Payload, to: Address | Datagram | None) -> None:
        await turn()
        while not self._object.try_send(payload, to):
            await self._writable(self._object.sending_fileno(to))

    async def reconnect(self, peer: AddressLike, port: int | None = None, /) -> None:
        """Connects to another peer, from the same local port. A name is looked up."""
        self._object.reconnect(await in_numbers(peer, port))

    def disconnect(self) -> None:
        """Lets anybody send to it again. The local port stays."""
        self._object.disconnect()

    def join(
        self,
        group: str,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        excluded: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins a group on the port of this socket, and says whether it was not joined already."""
        return self._object.join(group, interface=interface, sources=sources, excluded=excluded)

    def leave(self, group: str, /, *, interface: InterfaceLike | None = None) -> bool:
        """Leaves a group, and says whether it had been joined."""
        return self._object.leave(group, interface=interface)

    @property
    def local_address(self) -> SocketAddress:
        """The local address and port."""
        return self._object.local_address

    @property
    def peer_address(self) -> SocketAddress | None:
        """The peer of a connected socket, or None."""
        return self._object.peer_address
