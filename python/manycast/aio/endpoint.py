"""Endpoints for the protocols of asyncio."""

from __future__ import annotations

import asyncio

import manycast

from .._manycast import Address
from .aside import in_numbers
from .transport import DatagramTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from ..types import AddressLike, InterfaceLike

    _P = TypeVar("_P", bound=asyncio.DatagramProtocol)

__all__ = ["create_datagram_endpoint"]


async def create_datagram_endpoint(
    protocol_factory: Callable[[], _P],
    address: AddressLike | None = None,
    port: int | None = None,
    *,
    peer: AddressLike | None = None,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    share_port: bool | None = None,
    allow_broadcast: bool | None = None,
    receive_buffer: int | None = None,
) -> tuple[DatagramTransport, _P]:
    """Opens an endpoint for any standard asyncio.DatagramProtocol.

    ``address`` is a group to join, whose port is shared, so that datagrams to the group and to this
    host both arrive; or a local address; or any free port where it is left out. With a ``peer`` it
    sends to that one and receives from it alone. With ``allow_broadcast`` it may send to broadcast
    addresses. It returns a DatagramTransport and the protocol.

    The protocol hears ``connection_made``, then ``datagram_received(data, (host, port))`` for each
    datagram, ``error_received`` with a ConnectionRefusedError where nobody listens, and
    ``connection_lost`` once at the end.

    >>> class Server(asyncio.DatagramProtocol):
    ...     def connection_made(self, transport):
    ...         self.transport = transport
    ...     def datagram_received(self, data, address):
    ...         self.transport.sendto(b"OK..." + data, address)
    >>> async def main():
    ...     transport, server = await aio.create_datagram_endpoint(Server, "127.0.0.1:0")
    ...     (answer,) = await aio.ask("hello", transport.get_extra_info("sockname"))
    ...     transport.close()
    ...     return answer.payload
    >>> asyncio.run(main())
    b'OK...hello'
    """
    own = None if address is None else await in_numbers(address, port)
    other = None if peer is None else await in_numbers(peer, None)
    if own is not None and own.is_group and other is not None:
        raise ValueError("a group and a peer do not go together; give one of the two")
    socket = _open(own, other, interface, sources, share_port, receive_buffer)
    try:
        socket.broadcast = bool(allow_broadcast)
        protocol = protocol_factory()
        transport = DatagramTransport(asyncio.get_running_loop(), socket, protocol)
    except BaseException:
        socket.close()
        raise
    transport._start()
    return transport, protocol


def _open(
    own: Address | None,
    peer: Address | None,
    interface: str | int | None,
    sources: str | Iterable[str] | None,
    share_port: bool | None,
    receive_buffer: int | None,
) -> manycast.Socket:
    if own is None and peer is not None and not share_port and receive_buffer is None:
        return manycast.Socket.connect(peer)
    if own is None and peer is not None and ":" in peer.host:
        own = Address("[::]:0")
    if own is not None and own.is_group:
        return _open_group(own, interface, sources, share_port, receive_buffer)
    socket = manycast.Socket(own, share_port=bool(share_port), receive_buffer=receive_buffer)
    try:
        if peer is not None:
            socket.reconnect(peer)
    except BaseException:
        socket.close()
        raise
    return socket


def _open_group(
    group: Address,
    interface: str | int | None,
    sources: str | Iterable[str] | None,
    share_port: bool | None,
    receive_buffer: int | None,
) -> manycast.Socket:
    anywhere = "::" if ":" in group.host else "0.0.0.0"
    shared = True if share_port is None else share_port
    socket = manycast.Socket(
        (anywhere, group.port), share_port=shared, receive_buffer=receive_buffer
    )
    try:
        given = interface if interface is not None else group.interface
        socket.join(group.host, interface=given, sources=sources or group.sources or None)
        if given is not None:
            socket.multicast_interface = given
    except BaseException:
        socket.close()
        raise
    return socket
