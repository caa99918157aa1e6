"""Endpoints for the protocols of asyncio."""

from __future__ import annotations

import asyncio
import socket

import manycast

from .._manycast import Address
from ..error import AddressError
from .aside import patiently, resolve
from .plain import Plain
from .transport import DatagramTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from ..types import AddressLike, InterfaceLike

    _P = TypeVar("_P", bound=asyncio.DatagramProtocol)

__all__ = ["create_datagram_endpoint"]


async def create_datagram_endpoint(
    protocol_factory: Callable[[], _P],
    address: AddressLike | None = None,
    port: int | AddressLike | None = None,
    *,
    peer: AddressLike | None = None,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    share_port: bool | None = None,
    allow_broadcast: bool | None = None,
    receive_buffer: int | None = None,
    sock: socket.socket | None = None,
    local_addr: AddressLike | None = None,
    remote_addr: AddressLike | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
) -> tuple[DatagramTransport, _P]:
    """Opens an endpoint for any standard asyncio.DatagramProtocol.

    ``address`` is a group to join, whose port is shared, so that datagrams to the group and to this
    host both arrive; or a local address; or any free port where it is left out. With a ``peer`` it
    sends to that one and receives from it alone. With ``allow_broadcast`` it may send to broadcast
    addresses. It returns a DatagramTransport and the protocol.

    The names that ``loop.create_datagram_endpoint`` has are understood too: ``local_addr`` is the
    address, ``remote_addr`` the peer, which may be the third positional argument as it is there;
    ``reuse_port`` is ``share_port``, and ``family`` says which version of IP is wanted of names. ``sock``
    is a socket that was made elsewhere, and goes with none of them. So libraries that open their
    endpoints themselves can be given this one:

        asyncio.get_running_loop().create_datagram_endpoint = aio.create_datagram_endpoint

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
    if port is not None and not isinstance(port, int):
        remote_addr, port = port, None
    if local_addr is not None:
        address, port = local_addr, None
    peer = remote_addr if peer is None else peer
    share_port = reuse_port if share_port is None else share_port
    opened: manycast.Socket | Plain
    if sock is not None:
        others = (address, peer, interface, sources, share_port, receive_buffer)
        if any(others) or family or proto or flags:
            raise ValueError("sock= is bound and set up already; give it alone")
        opened = Plain(sock)
        if allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    else:
        if address is None and peer is None and family == socket.AF_INET6:
            address = "[::]:0"
        own = None if address is None else await _of_family(address, port, family)
        other = None if peer is None else await _of_family(peer, None, family)
        if own is not None and own.is_group and other is not None:
            raise ValueError("a group and a peer do not go together; give one of the two")
        opened = await patiently(
            lambda: _open(own, other, interface, sources, share_port, receive_buffer)
        )
    try:
        if isinstance(opened, manycast.Socket):
            opened.broadcast = bool(allow_broadcast)
        protocol = protocol_factory()
        transport = DatagramTransport(asyncio.get_running_loop(), opened, protocol)
    except BaseException:
        opened.close()
        raise
    transport._start()
    return transport, protocol


async def _of_family(address: AddressLike, port: int | None, family: int) -> Address:
    """An address in numbers, of the version of IP that is wanted, if one is."""
    found = await resolve(address, port)
    if family:
        wanted = [it for it in found if (":" in it.host) == (family == socket.AF_INET6)]
        if not wanted and found[0].host:
            version = "IPv6" if family == socket.AF_INET6 else "IPv4"
            raise AddressError(f"{found[0]} is no address of {version}, which family= asks for")
        found = wanted or found
    return found[0]


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
    opened = manycast.Socket(own, share_port=bool(share_port), receive_buffer=receive_buffer)
    try:
        if peer is not None:
            opened.reconnect(peer)
    except BaseException:
        opened.close()
        raise
    return opened


def _open_group(
    group: Address,
    interface: str | int | None,
    sources: str | Iterable[str] | None,
    share_port: bool | None,
    receive_buffer: int | None,
) -> manycast.Socket:
    anywhere = "::" if ":" in group.host else "0.0.0.0"
    shared = True if share_port is None else share_port
    opened = manycast.Socket(
        (anywhere, group.port), share_port=shared, receive_buffer=receive_buffer
    )
    try:
        given = interface if interface is not None else group.interface
        opened.join(group.host, interface=given, sources=sources or group.sources or None)
        if given is not None:
            opened.multicast_interface = given
    except BaseException:
        opened.close()
        raise
    return opened
