"""UDP and UDP multicast that works the first time, and says why when it does not.

    import manycast

    manycast.send("Hello, world!", "239.192.0.100", 1000)

    for datagram in manycast.listen("239.192.0.100", 1000):
        print(datagram.source, datagram.payload)

========================================  =============================================
to                                        use
========================================  =============================================
receive from groups, or from anybody      listen, Listener; MulticastListener for bytes
send to a group or a host                 send, Sender
do both, with one peer or with many       Socket
ask a group or a host, gather answers     ask
see the interfaces as multicast does      interfaces, ifconfig
find out why nothing arrives              doctor
do all this in asyncio                    manycast.aio
serve each datagram with a handler        manycast.server, on the standard socketserver
hand a plain socket to other libraries    socket
========================================  =============================================

Wherever an address is wanted, a text like "239.1.1.1%eth0:5000", a host and a port, or an Address
will do. Times are in seconds, sizes in bytes. Every error is a manycast.Error, and its message says
what happened, on what, why, and what to do next.
"""

from __future__ import annotations

from ._manycast import (
    Address,
    Answer,
    Datagram,
    Finding,
    Interface,
    Listener,
    Membership,
    MulticastListener,
    MulticastUDPReceiver,
    Report,
    Sender,
    Sent,
    Socket,
    __version__,
    ask,
    doctor,
    interfaces,
    open_plain as _open_plain,
    resolve,
    send,
)
from .address import SocketAddress
from .error import (
    AddressError,
    ClosedError,
    ConnectionRefused,
    Error,
    PermissionDenied,
    SocketError,
    TimedOut,
    TruncatedError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as standard
    from collections.abc import Iterable

    from . import aio as aio, server as server
    from ._manycast import AddressLike

__all__ = [
    "Address",
    "AddressError",
    "Answer",
    "ClosedError",
    "ConnectionRefused",
    "Datagram",
    "Error",
    "Finding",
    "Interface",
    "Listener",
    "Membership",
    "MulticastListener",
    "MulticastUDPReceiver",
    "PermissionDenied",
    "Report",
    "Sender",
    "Sent",
    "Socket",
    "SocketAddress",
    "SocketError",
    "TimedOut",
    "TruncatedError",
    "__version__",
    "ask",
    "doctor",
    "ifconfig",
    "interfaces",
    "listen",
    "resolve",
    "send",
    "socket",
]


def __getattr__(name: str) -> object:
    """Imports manycast.aio and manycast.server when they are first asked for."""
    if name in ("aio", "server"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def listen(
    *addresses: AddressLike | int,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    timeout: float | None = None,
    receive_buffer: int | None = None,
) -> Listener:
    """Opens a Listener, which explains the arguments.

    >>> with listen("239.192.0.100%lo:5000") as listener:
    ...     listener
    <Listener on 239.192.0.100:5000>
    """
    return Listener(
        *addresses,
        interface=interface,
        sources=sources,
        timeout=timeout,
        receive_buffer=receive_buffer,
    )


def ifconfig() -> dict[str, Interface]:
    """Returns the interfaces of this host by name, each an Interface.

    >>> ifconfig()["lo"].up
    True
    """
    return {interface.name: interface for interface in interfaces()}


def socket(
    *addresses: AddressLike | int,
    interface: str | int | None = None,
    sources: str | Iterable[str] | None = None,
    receive_buffer: int | None = None,
    hops: int | None = None,
    loopback: bool = True,
    broadcast: bool = False,
) -> standard.socket:
    """Opens a standard socket.socket: bound, and where the address is a group, joined to it on every
    interface that can multicast unless one is named, and isolated from other groups.

    It is for code that wants a plain socket: select, trio, anyio, socketserver, Twisted. Its
    memberships do not follow interfaces that come later, as those of a Listener do.

    What it sends to groups leaves by the ``interface`` that is named, as the route says without one.
    ``hops`` is the hop limit (to groups 1 by default), ``loopback`` says whether members on this host
    receive it too, ``broadcast`` whether it may send to broadcast addresses.

    Several addresses are groups of one version of IP on one port. The socket is then bound to no
    group, so that datagrams to the host arrive too.

    >>> with socket("239.192.0.100%lo:5000") as sock:
    ...     sock.getsockname()
    ('239.192.0.100', 5000)

    Raises what opening a Listener raises, and AddressError where it would take several sockets, as
    ":8888" does, which is two of them.
    """
    from socket import socket as plain

    return plain(
        fileno=_open_plain(
            *addresses,
            interface=interface,
            sources=sources,
            receive_buffer=receive_buffer,
            hops=hops,
            loopback=loopback,
            broadcast=broadcast,
        )
    )
