"""A transport of asyncio that standard protocols can live on, and that knows groups."""

from __future__ import annotations

import asyncio
import os
import socket as standard
from asyncio.trsock import TransportSocket
from collections import deque

from .._manycast import Address
from .plain import Plain
from .readiness import AGAIN, is_refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    import manycast

    from .._manycast import Datagram
    from ..types import AddressLike, Payload

__all__ = ["DatagramTransport"]

# How many datagrams are handled before other tasks have their turn.
_BATCH = 64


class DatagramTransport(asyncio.DatagramTransport):
    """The transport of ``create_datagram_endpoint``: a standard one that also knows groups.

    Its extra information is ``sockname``, ``peername``, ``socket`` (to look at and to set options
    of), and ``manycast``: the manycast.Socket. Groups are joined with ``join_group``: what is joined
    by an option of the plain socket is not received. Over a socket that was given it is the other way
    round: there is no manycast.Socket, and all is set on the plain one.

    >>> async def main():
    ...     transport, protocol = await aio.create_datagram_endpoint(
    ...         asyncio.DatagramProtocol, "127.0.0.1:0")
    ...     transport.set_ttl(4)
    ...     print(transport.get_ttl(), transport.get_extra_info("sockname").host)
    ...     transport.close()
    >>> asyncio.run(main())
    4 127.0.0.1
    """

    # So much is counted for the header of each datagram that waits: empty ones take room too.
    _HEADER = 8

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: manycast.Socket | Plain,
        protocol: asyncio.DatagramProtocol,
    ) -> None:
        plain = socket.plain if isinstance(socket, Plain) else _plain(socket)
        super().__init__(
            {
                "sockname": socket.local_address,
                "peername": socket.peer_address,
                "socket": TransportSocket(plain),
                "manycast": None if isinstance(socket, Plain) else socket,
            }
        )
        self._loop = loop
        # Both have what is called here; a Plain says so where it has not.
        self._socket: manycast.Socket = socket  # type: ignore[assignment]
        self._opened = socket
        self._plain = plain
        self._peer = socket.peer_address
        self._protocol = protocol
        self._reading = socket.fileno()
        self._is_reading = False
        # What was taken and not yet handed to the protocol.
        self._taken: deque[Datagram] = deque()
        self._unsent: deque[tuple[bytes, AddressLike | None]] = deque()
        self._unsent_size = 0
        # While it waits for room: a descriptor of its own, and when it looks again in any case.
        self._writing: int | None = None
        self._again: asyncio.TimerHandle | None = None
        self._paused = False
        self._closing = False
        self._lost = False
        self.set_write_buffer_limits()

    def _start(self) -> None:
        try:
            self._protocol.connection_made(self)
        except BaseException:
            self.abort()
            raise
        self.resume_reading()

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that hears of what comes."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Sets another protocol, which hears of all that comes from now on."""
        self._protocol = protocol  # type: ignore[assignment]

    def is_reading(self) -> bool:
        """Whether the protocol hears of what comes."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Leaves what comes in the kernel's receive buffer. Repeating it is harmless."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._reading)

    def resume_reading(self) -> None:
        """Goes on after ``pause_reading``. Repeating it is harmless."""
        if not (self._is_reading or self._closing):
            self._is_reading = True
            self._loop.add_reader(self._reading, self._read)
            if self._taken:
                self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Hands some datagrams to the protocol; the loop calls again while there are more."""
        if not self._is_reading:
            return
        if not self._taken:
            try:
                self._taken.extend(self._socket.try_recv_many(_BATCH))
            except OSError as error:
                self._protocol.error_received(error)
                return
        while self._taken and self._is_reading:
            datagram = self._taken.popleft()
            try:
                self._protocol.datagram_received(datagram.payload, datagram.source)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                # The datagrams behind it must not be lost with it.
                self._loop.call_exception_handler(
                    {
                        "message": "datagram_received raised an exception",
                        "exception": error,
                        "transport": self,
                        "protocol": self._protocol,
                    }
                )
        if isinstance(self._opened, Plain) and self._opened.failure is not None:
            # The descriptor tells nothing of an error that was taken from it already.
            self._loop.call_soon(self._read)

    def sendto(self, data: Payload, addr: Any = None) -> None:
        """Sends a datagram to ``addr``, in numbers, or to the peer where it is left out.

        What the kernel refuses comes back by ``error_received``. AddressError: it is a name.
        ValueError: there is a peer, and ``addr`` is another.
        """
        if self._lost or self._closing:
            return
        if self._peer is not None and addr is not None and addr != self._peer:
            other = Address(addr)
            # A name is refused below, with a better sentence.
            if not other.is_name and other != Address(self._peer):
                raise ValueError(f"{other}: it sends to its peer {self._peer} alone")
        if self._unsent or not self._try_send(data, addr):
            kept = data.encode() if isinstance(data, str) else bytes(data)
            self._unsent.append((kept, addr))
            self._unsent_size += len(kept) + self._HEADER
            if self._again is None:
                self._wait_for_room(addr)
            self._pause_or_resume()

    def _try_send(self, data: Payload, addr: AddressLike | None) -> bool:
        try:
            return self._socket.try_send(data, addr)
        except OSError as error:
            self._protocol.error_received(error)
            return True

    def _write(self) -> None:
        for _ in range(_BATCH):
            if not self._unsent:
                break
            data, addr = self._unsent[0]
            if not self._try_send(data, addr):
                break
            if not self._unsent:  # The protocol was told of an error, and aborted.
                return
            self._unsent.popleft()
            self._unsent_size -= len(data) + self._HEADER
        if self._unsent:
            self._wait_for_room(self._unsent[0][1])
        else:
            self._stop_writing()
        self._pause_or_resume()
        if self._closing and not self._unsent:
            self._finish()

    def _wait_for_room(self, addr: AddressLike | None) -> None:
        self._stop_writing()
        # The socket may be replaced by another meanwhile, when the interfaces change.
        self._again = self._loop.call_later(1, self._write)
        full = self._socket.sending_fileno(addr)
        try:
            # It stays open while the loop knows it.
            self._writing = None if is_refused(full) else os.dup(full)
        except OSError:
            # No descriptor is left.
            pass
        if self._writing is None:
            self._again.cancel()
            self._again = self._loop.call_later(AGAIN, self._write)
            return
        self._loop.add_writer(self._writing, self._write)

    def _stop_writing(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._writing is not None:
            self._loop.remove_writer(self._writing)
            os.close(self._writing)
            self._writing = None

    def _pause_or_resume(self) -> None:
        if not self._paused and self._unsent_size > self._high:
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and self._unsent_size <= self._low:
            self._paused = False
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent, with 8 for the header of each datagram."""
        return self._unsent_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high limit, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets from how many waiting bytes on the protocol is asked to pause, and at how many to
        resume. By default ``high`` is 64 KiB, and ``low`` a quarter of it.
        """
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be at least low ({low}), and that at least 0")
        self._low, self._high = low, high

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def close(self) -> None:
        """Sends what waits to be sent, then closes; ``connection_lost`` is called once."""
        if not self._closing:
            self.pause_reading()
            self._closing = True
            if not self._unsent:
                self._finish()

    def abort(self) -> None:
        """Closes at once; ``connection_lost`` is called once."""
        self.pause_reading()
        self._closing = True
        self._stop_writing()
        self._unsent.clear()
        self._unsent_size = 0
        self._finish()

    def _finish(self) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._plain.close()
            self._socket.close()

    def join_group(
        self,
        group: str,
        interface: str | int | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins a group on the transport's port, and says whether it was not joined already."""
        return self._socket.join(group, interface=interface, sources=sources)

    def leave_group(self, group: str, interface: str | int | None = None) -> bool:
        """Leaves a group, and says whether it had been joined."""
        return self._socket.leave(group, interface=interface)

    def set_ttl(self, hops: int) -> None:
        """Sets the hop limit of datagrams to groups, from 0 to 255; 1 stays on the link."""
        self._socket.multicast_hops = hops

    def get_ttl(self) -> int:
        """The hop limit of datagrams to groups."""
        return self._socket.multicast_hops

    def set_outgoing_interface(self, interface: str | int | None) -> None:
        """Sets by which interface datagrams to groups leave; None leaves it to the route."""
        self._socket.multicast_interface = interface

    def get_outgoing_interface(self) -> str | None:
        """The name of the interface by which datagrams to groups leave, or None."""
        return self._socket.multicast_interface

    def set_loopback_mode(self, loopback: bool) -> None:
        """Sets whether members on this host receive what is sent to a group."""
        self._socket.loopback = loopback

    def get_loopback_mode(self) -> bool:
        """Whether members on this host receive what is sent to a group."""
        return self._socket.loopback

    def __repr__(self) -> str:
        return f"<DatagramTransport of {self._socket!r}>"


def _plain(socket: manycast.Socket) -> standard.socket:
    """The plain socket that something is sent by, to be closed by itself."""
    return standard.socket(fileno=os.dup(socket.sending_fileno(socket.local_address)))

