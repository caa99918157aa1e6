"""The same names for asyncio, on its own event loop: there is no thread and no second runtime.

    from manycast import aio

    async for datagram in aio.listen("239.192.0.100", 5000):
        print(datagram.source, datagram.payload)

What waits in the package ``manycast`` is a coroutine here; the rest is as it is there. Cancelling a
wait loses no datagram. Nothing blocks the event loop: a name is looked up by ``await resolve(...)``,
and refused where there is no await. It works on any loop that has ``add_reader``, uvloop's too.
"""

from __future__ import annotations

import asyncio
import errno
from itertools import islice

import manycast

from ._manycast import (
    Address,
    Answer,
    Asker,
    Datagram,
    Membership,
    Report,
    Sent,
    begin_doctor,
    begin_resolve,
)
from .address import SocketAddress
from .error import AddressError, ClosedError, TimedOut
from .readiness import Readiness, turn
from .transport import DatagramTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from typing import Any, Protocol, TypeVar

    from ._manycast import AddressLike, Payload, Pending

    _P = TypeVar("_P", bound=asyncio.DatagramProtocol)
    _Self = TypeVar("_Self", bound="_Waiting")
    _T = TypeVar("_T")

    class _Inner(Protocol):
        @property
        def closed(self) -> bool: ...
        def fileno(self) -> int: ...
        def close(self) -> None: ...


__all__ = [
    "DatagramTransport",
    "Listener",
    "MulticastListener",
    "MulticastUDPReceiver",
    "Sender",
    "Socket",
    "ask",
    "create_datagram_endpoint",
    "doctor",
    "listen",
    "resolve",
    "send",
]

# How many datagrams are sent before other tasks have their turn.
_BATCH = 256


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
    return await _result(begin_resolve(wanted))


async def _result(pending: Pending[_T]) -> _T:
    """What comes of work that a thread does, as soon as it is done."""
    readiness = Readiness(pending.fileno())
    try:
        await readiness.wait()
    finally:
        readiness.unwatch()
    return pending.result()


async def _in_numbers(address: AddressLike, port: int | None) -> Address:
    found = await resolve(address, port)
    return found[0]


def _refuse_names(*addresses: AddressLike | int) -> None:
    if len(addresses) == 2 and isinstance(addresses[1], int):
        addresses = ((addresses[0], addresses[1]),)
    for address in addresses:
        given = Address(address)  # type: ignore[arg-type]
        if given.is_name:
            raise AddressError(
                f"{given}: looking up {given.host} would block the event loop; "
                "give what 'await aio.resolve(...)' finds"
            )


class _Waiting:
    """Something to wait for on the running loop: until it is readable, or writable."""

    def __init__(self, inner: _Inner, timeout: float | None = None) -> None:
        self._object = inner
        self._timeout = timeout
        self._reading = Readiness(inner.fileno())
        self._writing: dict[int, Readiness] = {}

    async def _attempt(self, attempt: Callable[[], _T | None], timeout: float | None) -> _T:
        """Calls ``attempt`` until it finds something."""
        if timeout is None:
            timeout = self._timeout
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
        if fd not in self._writing:
            self._writing[fd] = Readiness(fd, to_write=True)
        try:
            await self._writing[fd].wait(asyncio.get_running_loop().time() + 1)
        finally:
            if fd in self._writing and not self._writing[fd].is_awaited:
                self._writing.pop(fd).unwatch()

    def fileno(self) -> int:
        """The descriptor that the event loop waits for."""
        return self._object.fileno()

    def close(self) -> None:
        """Closes it; waits of other tasks end with ClosedError. Repeating it is harmless."""
        for readiness in (self._reading, *self._writing.values()):
            readiness.fail(ClosedError(f"the {type(self).__name__} was closed"))
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


class _Receiving(_Waiting):
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
        than ``limit``. Raises what ``recv`` raises.
        """
        if limit < 1:
            raise ValueError("at least one datagram is waited for; give a limit from 1")
        return await self._attempt(lambda: self._object.try_recv_many(limit) or None, timeout)

    def __aiter__(self: _Self) -> _Self:
        return self

    async def __anext__(self) -> Datagram:
        """The next datagram; the iteration ends when it is closed."""
        try:
            return await self.recv()
        except ClosedError:
            raise StopAsyncIteration from None


class Listener(_Receiving):
    """Receives the datagrams of groups, and those to local addresses, as manycast.Listener does.

    >>> async def main():
    ...     async with aio.Listener("239.192.0.100%lo:5000", timeout=5) as listener:
    ...         await aio.send("Hello, world!", "239.192.0.100%lo:5000")
    ...         return await listener.recv()
    >>> asyncio.run(main()).payload
    b'Hello, world!'

    Iterate with ``async for``. It takes the arguments of manycast.Listener and raises what that
    raises; a name is refused with AddressError.
    """

    _object: manycast.Listener

    def __init__(
        self,
        *addresses: AddressLike | int,
        interface: str | int | None = None,
        sources: str | Iterable[str] | None = None,
        timeout: float | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        _refuse_names(*addresses)
        super().__init__(
            manycast.Listener(
                *addresses, interface=interface, sources=sources, receive_buffer=receive_buffer
            ),
            timeout,
        )

    def join(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: str | int | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins another group, and says whether it was not joined already."""
        return self._object.join(address, port, interface=interface, sources=sources)

    def leave(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: str | int | None = None,
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
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    timeout: float | None = None,
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
        timeout=timeout,
        receive_buffer=receive_buffer,
    )


def _there(take: Callable[[], bytes]) -> bytes | None:
    """What is there, or None."""
    try:
        return take()
    except TimedOut:
        return None


class MulticastListener(_Waiting):
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
        interface: str | int | None = None,
        sources: str | Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> None:
        inner = manycast.MulticastListener(group, port, interface=interface, sources=sources)
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


class MulticastUDPReceiver(_Waiting):
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
        self, interface: str | int, group: str, port: int, *, timeout: float | None = None
    ) -> None:
        super().__init__(manycast.MulticastUDPReceiver(interface, group, port), timeout)

    async def read(self, *, timeout: float | None = None) -> bytes:
        """Waits for a datagram and returns its payload, all of it."""
        return await self._attempt(lambda: _there(lambda: self._object.read(timeout=0)), timeout)


class Sender(_Waiting):
    """Sends datagrams to one group or host, as manycast.Sender does.

    >>> async def main():
    ...     async with aio.Sender("239.192.0.100%lo:5000") as sender:
    ...         print((await sender.send("Hello, world!")).size)
    >>> asyncio.run(main())
    13

    It takes the arguments of manycast.Sender and raises what that raises; a name is refused with
    AddressError.
    """

    _object: manycast.Sender

    def __init__(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: str | int | None = None,
        source: str | None = None,
        hops: int | None = None,
        loopback: bool = True,
    ) -> None:
        _refuse_names(Address(address, port))
        super().__init__(
            manycast.Sender(
                address, port, interface=interface, source=source, hops=hops, loopback=loopback
            )
        )

    async def send(self, payload: Payload, /) -> Sent:
        """Sends one datagram, of at most 65,507 bytes, and returns on which way it left."""
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
    def way(self) -> Sent:
        """The way that datagrams take: a Sent whose size is 0."""
        return self._object.way


async def send(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    interface: str | int | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
) -> Sent:
    """Sends one datagram to a group or a host, as manycast.send does. A name is looked up.

    >>> print(asyncio.run(aio.send("Hello, world!", "239.192.0.100%lo:5000")).size)
    13
    """
    numbers = await _in_numbers(address, port)
    async with Sender(
        numbers, interface=interface, source=source, hops=hops, loopback=loopback
    ) as sender:
        return await sender.send(payload)


class Socket(_Receiving):
    """Sends and receives: by unicast, to one peer or to anybody, and as a member of groups.

    >>> async def main():
    ...     async with aio.Socket("127.0.0.1:0") as server:
    ...         async with aio.Socket.connect(server.local_address) as client:
    ...             await client.send("ping")
    ...             await server.answer(await server.recv(timeout=5), "pong")
    ...             return await client.recv(timeout=5)
    >>> asyncio.run(main()).payload
    b'pong'

    It takes the arguments of manycast.Socket and raises what that raises; a name is refused with
    AddressError. What that can set is set on ``blocking``, which is the manycast.Socket behind it.
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
    ) -> None:
        if address is not None:
            _refuse_names(Address(address, port))
        inner = manycast.Socket(address, port, share_port=share_port, receive_buffer=receive_buffer)
        super().__init__(inner, timeout)

    @classmethod
    def connect(
        cls, peer: AddressLike, port: int | None = None, /, *, timeout: float | None = None
    ) -> Socket:
        """Opens a socket that sends to one peer and receives from it alone."""
        _refuse_names(Address(peer, port))
        socket = cls.__new__(cls)
        _Receiving.__init__(socket, manycast.Socket.connect(peer, port), timeout)
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
        await self._send(payload, await _in_numbers(address, port))

    async def answer(self, datagram: Datagram, payload: Payload, /) -> None:
        """Answers a datagram, from the address that it was sent to."""
        await self._send(payload, datagram)

    async def _send(self, payload: Payload, to: Address | Datagram | None) -> None:
        await turn()
        while not self._object.try_send(payload, to):
            await self._writable(self._object.sending_fileno(to))

    async def reconnect(self, peer: AddressLike, port: int | None = None, /) -> None:
        """Connects to another peer, from the same local port. A name is looked up."""
        self._object.reconnect(await _in_numbers(peer, port))

    def disconnect(self) -> None:
        """Lets anybody send to it again. The local port stays."""
        self._object.disconnect()

    def join(
        self,
        group: str,
        /,
        *,
        interface: str | int | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins a group on the port of this socket, and says whether it was not joined already."""
        return self._object.join(group, interface=interface, sources=sources)

    def leave(self, group: str, /, *, interface: str | int | None = None) -> bool:
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


async def ask(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    timeout: float = 1.0,
    retries: int = 0,
    answers: int | None = None,
    interface: str | int | None = None,
    hops: int | None = None,
    loopback: bool = True,
) -> list[Answer]:
    """Sends a question and returns a list of the answers, as manycast.ask does. A name is looked up.

    >>> asyncio.run(aio.ask("anybody?", "239.192.0.199%lo:5000", timeout=0.01))
    []
    """
    asker = Asker(
        payload,
        await _in_numbers(address, port),
        timeout=timeout,
        retries=retries,
        answers=answers,
        interface=interface,
        hops=hops,
        loopback=loopback,
    )
    found = asker.step()
    readiness = Readiness(asker.fileno())
    loop = asyncio.get_running_loop()
    try:
        while not asker.finished:
            left = asker.wait
            await readiness.wait(None if left is None else loop.time() + left)
            found += asker.step()
    finally:
        readiness.unwatch()
    return found


async def doctor(
    address: AddressLike | None = None,
    port: int | None = None,
    /,
    *,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    duration: float = 10.0,
    pid: int | None = None,
) -> Report:
    """Finds out why nothing arrives, as manycast.doctor does.

    A thread of its own does it, and is left to itself when this is cancelled.

    >>> print(asyncio.run(aio.doctor()).subject)
    this host
    """
    return await _result(
        begin_doctor(
            address, port, interface=interface, sources=sources, duration=duration, pid=pid
        )
    )


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
    own = None if address is None else await _in_numbers(address, port)
    other = None if peer is None else await _in_numbers(peer, None)
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
