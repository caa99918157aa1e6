"""UDP and UDP multicast that works the first time, and says why when it does not.

    import manycast

    manycast.send("Hello, world!", "239.192.0.100", 5000)

    for datagram in manycast.listen("239.192.0.100", 5000):
        print(datagram.source, datagram.payload)

========================================  =============================================
to                                        use
========================================  =============================================
receive from groups, or from anybody      listen, Listener; MulticastListener for bytes
send to a group or a host                 send, Sender
do both, with one peer or with many       Socket
ask a group or a host, gather answers     ask
measure loss, delay, jitter, throughput   manycast.measure
send files to many, and receive them      send_files, receive_files
send a stream to many, and receive it     send_stream, receive_stream
get, put and serve files by TFTP          manycast.tftp
find devices and services on the link     discover, browse
announce a service of this host           announce
see the interfaces as multicast does      interfaces, ifconfig
find out why nothing arrives              doctor
do all this in asyncio                    manycast.aio
serve each datagram with a handler        manycast.server, on the standard socketserver
hand a plain socket to other libraries    socket
========================================  =============================================

Wherever an address is wanted, a text like "239.1.1.1%eth0:5000", a host and a port, or an Address
will do. Times are in seconds, sizes in bytes. Whatever fails is a manycast.Error, and its message says
what happened, on what, why, and what to do next.
"""

from __future__ import annotations

from ._manycast import (
    Address,
    Datagram,
    Driver,
    Listener,
    MulticastListener,
    MulticastUDPReceiver,
    Sender,
    Sent,
    Socket,
    __version__,
    announce,
    begin_ask as _begin_ask,
    browse,
    doctor,
    interfaces,
    open_plain as _open_plain,
    receive_files,
    receive_stream,
    resolve,
    send,
    send_files,
    send_stream,
)
from .address import SocketAddress
from .error import (
    AddressError,
    ClosedError,
    ConnectionRefused,
    Error,
    FileError,
    PermissionDenied,
    ResolveError,
    SocketError,
    TimedOut,
    TransferError,
    TruncatedError,
)
TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as standard
    from collections.abc import Iterable

    from . import aio as aio, discovery as discovery, files as files, measure as measure
    from . import server as server, stream as stream, tftp as tftp
    from .discovery import discover
    from .types import AddressLike, InterfaceLike, InterfacesLike, Payload
    from .value import Answer, Dropped, Finding, Interface, Membership, Report

__all__ = [
    "Address",
    "AddressError",
    "AddressLike",
    "Answer",
    "ClosedError",
    "ConnectionRefused",
    "Datagram",
    "Driver",
    "Dropped",
    "Error",
    "FileError",
    "Finding",
    "Interface",
    "InterfaceLike",
    "InterfacesLike",
    "Listener",
    "Membership",
    "MulticastListener",
    "MulticastUDPReceiver",
    "Payload",
    "PermissionDenied",
    "Report",
    "ResolveError",
    "Sender",
    "Sent",
    "Socket",
    "SocketAddress",
    "SocketError",
    "TimedOut",
    "TransferError",
    "TruncatedError",
    "__version__",
    "announce",
    "ask",
    "browse",
    "discover",
    "doctor",
    "ifconfig",
    "interfaces",
    "listen",
    "receive_files",
    "receive_stream",
    "resolve",
    "send",
    "send_files",
    "send_stream",
    "socket",
]


# Imported when they are first asked for: the standard modules that they need take longer to import
# than all the rest.
_LATER = {
    **{
        name: name
        for name in ("aio", "discovery", "files", "measure", "server", "stream", "tftp")
    },
    "discover": "discovery",
    **dict.fromkeys(("AddressLike", "InterfaceLike", "InterfacesLike", "Payload"), "types"),
    **dict.fromkeys(("Answer", "Dropped", "Finding", "Interface", "Membership", "Report"), "value"),
}


def __getattr__(name: str) -> object:
    """Imports what is not needed by all."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{_LATER[name]}")
    found = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def listen(
    *addresses: AddressLike | int,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    excluded: str | Iterable[str] | None = None,
    timeout: float | None = None,
    share_port: bool = False,
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
        excluded=excluded,
        timeout=timeout,
        share_port=share_port,
        receive_buffer=receive_buffer,
    )


def ask(
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
    """Sends a question and returns a list of the answers: of a host the first, of a group all that
    come within the time-out. No answer is an empty list.

    ``payload`` is str, sent as UTF-8, or bytes-like. ``timeout`` is how many seconds answers to the
    first question are waited for; each of the ``retries`` waits twice as long as the one before.
    ``answers`` is how many are enough. ``interface`` is one, several, or "all" for a group, which are
    those that can multicast; each answer has the ``interface`` that it came in on.

        ask("hello", "192.0.2.7", 8888, retries=2)
        ask("who is there?", "239.192.0.100", 5000, interface="all", timeout=2)

    >>> with manycast.Socket("127.0.0.1:0") as server:
    ...     threading.Thread(target=lambda: server.answer("OK...hello", server.recv())).start()
    ...     [answer.payload for answer in ask("hello", server.local_address)]
    [b'OK...hello']

    ConnectionRefused: nobody listens on that port of that host. SocketError: this host did not send
    the question; PermissionDenied where its firewall forbids it. Raises also what opening a Sender
    raises.
    """
    asking = _begin_ask(
        payload,
        address,
        port,
        timeout=timeout,
        retries=retries,
        answers=answers,
        interface=interface,
        hops=hops,
        loopback=loopback,
        dscp=dscp,
    )
    gathered: list[Answer] = []
    with asking:
        try:
            gathered.extend(asking)
        except Error:
            # What failed on one interface takes nothing from what came by another.
            if not gathered:
                raise
    return gathered


def ifconfig() -> dict[str, Interface]:
    """Returns the interfaces of this host by name, each an Interface.

    >>> ifconfig()["lo"].up
    True
    """
    return {interface.name: interface for interface in interfaces()}


def socket(
    *addresses: AddressLike | int,
    interface: InterfaceLike | None = None,
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
