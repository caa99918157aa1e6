"""The compiled part of the package, which ``manycast`` passes on."""

import ipaddress
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar, Union, final

from typing_extensions import Buffer, Self, TypeAlias

from .address import SocketAddress

__version__: str

_T = TypeVar("_T")

#: What may be sent: text, as UTF-8, and whatever is bytes.
Payload: TypeAlias = Union[str, Buffer]
#: What may stand where an address is wanted: a text, (host, port), or an Address.
AddressLike: TypeAlias = Union[str, tuple[Any, ...], Address]
#: An interface by name, index or local address.
InterfaceLike: TypeAlias = Union[str, int]

@final
class Address:
    """Where to listen or to send: sources, host or group, interface and port.

    It has one text form, the same everywhere in manycast::

        [SOURCE[,SOURCE...]@]HOST[%INTERFACE]:PORT

        239.192.0.100:1000            a group, any source
        239.192.0.100%eth0:1000       ... on one interface (name, index or local address)
        10.0.0.5@232.1.1.1%eth0:5000  ... from one source only (SSM)
        [ff15::1%eth0]:5000           IPv6; the zone stands inside the brackets
        192.0.2.7:5005                unicast
        localhost:8888                unicast; the name is resolved
        :8888                         any local address (listening only)

    Wherever an address is wanted, such a text, a pair (host, port) or an Address will do.

    >>> address = Address("239.192.0.100", 1000, interface="eth0")
    >>> str(address), address.host, address.port, address.is_group
    ('239.192.0.100%eth0:1000', '239.192.0.100', 1000, True)

    AddressError says what is wrong with a text, and in which column.
    """

    def __new__(
        cls,
        host: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> Self: ...
    @property
    def host(self) -> str:
        """The host or group as text; empty for any local address."""

    @property
    def port(self) -> int:
        """The port, from 0 (any free one, when listening) to 65,535."""

    @property
    def interface(self) -> str | None:
        """The interface as text, or None where none is named."""

    @property
    def sources(self) -> list[str]:
        """The sources that are wanted; empty means any."""

    @property
    def is_group(self) -> bool:
        """Whether it is a multicast group."""

    @property
    def is_name(self) -> bool:
        """Whether its host is a name, which has to be looked up before it can be used."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __getnewargs__(self) -> tuple[str]: ...

def resolve(address: AddressLike, port: int | None = None, /) -> list[Address]:
    """Looks up a host, and returns its addresses in numbers, those of IPv4 first.

    It waits for the name server where the host is a name. SocketError: nobody knows the name.

    >>> [str(address) for address in resolve("192.0.2.7:5005")]
    ['192.0.2.7:5005']
    """

def begin_resolve(
    address: AddressLike, port: int | None = None, /
) -> Pending[list[Address]]:
    """Begins to look up a host. The result of the Pending is that of ``resolve``."""

@final
class Pending(Generic[_T]):
    """Work that is being done, for event loops: they wait for ``fileno`` to be readable, and then take
    the ``result``, once.
    """

    def result(self) -> _T:
        """What came of the work; waits until it is done."""

    def fileno(self) -> int:
        """The descriptor that is readable when the work is done."""

@final
class Datagram:
    """A datagram as it was received: the payload, and all that the kernel tells of it.

    It cannot be changed, compares by all that it holds, and unpacks in a match statement:

    >>> match listener.recv():                                    # doctest: +SKIP
    ...     case Datagram(payload, (host, port), interface="eth0"):
    ...         print(host, "said", payload)

    ``bytes(datagram)`` is its payload. ``payload`` is a ``bytes`` object made once on arrival;
    ``memoryview(datagram.payload)`` looks at it without another copy.
    """

    __match_args__ = (
        "payload",
        "source",
        "destination",
        "interface",
        "hops",
        "time",
        "dropped",
        "truncated",
    )
    @property
    def payload(self) -> bytes:
        """What was sent, from 0 to 65,507 bytes. Empty datagrams are datagrams too."""

    @property
    def source(self) -> SocketAddress:
        """Who sent it: a SocketAddress, which is a (host, port)."""

    @property
    def destination(self) -> SocketAddress:
        """What it was sent to: the group or the local address, and the port; a SocketAddress."""

    @property
    def local(self) -> str | None:
        """The own address to answer from; None for a group, where the kernel chooses."""

    @property
    def interface(self) -> str:
        """The name of the interface that it came in on."""

    @property
    def hops(self) -> int | None:
        """The hop limit (IPv4: TTL) that was left, from 0 to 255; None where the kernel did not say."""

    @property
    def time(self) -> float | None:
        """When the kernel received it, in seconds since 1970 as ``time.time()`` counts them; None
        where the kernel did not say.
        """

    @property
    def time_ns(self) -> int | None:
        """As ``time``, in whole nanoseconds, as ``time.time_ns()`` counts them."""

    @property
    def ecn(self) -> int:
        """The congestion mark of the IP header (RFC 3168): 0 not ECT, 1 ECT(1), 2 ECT(0), 3 CE."""

    @property
    def truncated(self) -> bool:
        """Whether its end is lost, because it was longer than the buffer."""

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel had dropped on this socket before this one came, since the
        socket was opened, because its receive buffer was full.
        """

    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __reduce__(self) -> Any: ...

@final
class Membership:
    """A group that is joined on one interface.

    >>> with Listener("239.192.0.100%lo:5000") as listener:
    ...     [(joined.group, joined.interface) for joined in listener.memberships]
    [(SocketAddress('239.192.0.100', 5000), 'lo')]
    """

    @property
    def group(self) -> SocketAddress:
        """The group and the port that is listened on; a SocketAddress."""

    @property
    def interface(self) -> str:
        """The name of the interface."""

    @property
    def sources(self) -> list[str]:
        """The sources that are wanted; empty means any."""

@final
class Listener:
    """Receives the datagrams of groups, on every interface that can multicast unless one is named, and
    those to local addresses.

    It receives what it asked for and nothing else: other groups on the same port, the same group on
    other interfaces and other sources stay out. When an interface comes back, its groups are joined
    there again.

        Listener("239.192.0.100", 5000)                      a group and its port
        Listener("239.192.0.100%eth0:5000", ":8888")         several addresses, as text
        Listener("232.1.1.1", 5000, interface="eth0", sources=["10.0.0.5"])

    ``interface`` is a name, an index or a local address; ``sources`` are the senders that are wanted
    (SSM); ``timeout`` is how many seconds each wait may take, None for ever; ``receive_buffer`` is
    the size in bytes to ask the kernel for.

    >>> with Listener("239.192.0.100%lo:5000", timeout=5) as listener:
    ...     sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
    ...     datagram = listener.recv()
    >>> datagram.payload, datagram.destination.port, datagram.interface
    (b'Hello, world!', 5000, 'lo')

    Iterate over it for all that comes; close it, or use it as a context manager. Threads may share
    it: each datagram goes to one of them. After a fork, open one anew in the child.

    AddressError: a text is no address. PermissionDenied: the port is a privileged one. SocketError:
    the port is in use, the interface is not there, is down or cannot multicast.
    """

    def __new__(
        cls,
        *addresses: AddressLike | int,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        timeout: float | None = None,
        receive_buffer: int | None = None,
    ) -> Self: ...
    def recv(self, *, timeout: float | None = None) -> Datagram:
        """Waits for a datagram and returns it.

        ``timeout`` in seconds takes the place of the listener's own; 0 does not wait, infinity waits
        for ever.

        TimedOut: nothing came in time. ClosedError: another thread closed the listener.
        """

    def recv_many(self, limit: int = 256, /, *, timeout: float | None = None) -> list[Datagram]:
        """Waits for datagrams and returns a list of those that are there: at least one, and no more
        than ``limit``. It is the fastest way to receive.

        Raises what ``recv`` raises.
        """

    def try_recv(self) -> Datagram | None:
        """Returns the next datagram that is there now, or None; never waits."""

    def try_recv_many(self, limit: int = 256, /) -> list[Datagram]:
        """Returns a list of the datagrams that are there now, which may be empty; never waits."""

    def join(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins another group, and says whether it was not joined already.

        The same group with other sources takes the place of the former. Raises what opening a
        Listener raises; the memberships are then as before.
        """

    def leave(
        self,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
    ) -> bool:
        """Leaves a group, on all interfaces unless one is named, and says whether it had been joined."""

    @property
    def memberships(self) -> list[Membership]:
        """The groups that are joined now, one entry for each interface."""

    @property
    def local_addresses(self) -> list[SocketAddress]:
        """The local addresses that are listened on beside groups, with the ports that were chosen."""

    @property
    def receive_buffer(self) -> int:
        """The size in bytes of the receive buffer that the kernel granted, which may be less than what
        was asked for (sysctl net.core.rmem_max).
        """

    def fileno(self) -> int:
        """A descriptor for select, poll and event loops: readable as long as there is something to
        receive, be it in the kernel or fetched already.
        """

    def close(self) -> None:
        """Leaves the groups and closes the sockets; waits of other threads end with ClosedError.
        Repeating it is harmless.
        """

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> Datagram: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def open_plain(
    *addresses: AddressLike | int,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    receive_buffer: int | None = None,
    hops: int | None = None,
    loopback: bool = True,
    broadcast: bool = False,
) -> int:
    """Opens a plain socket and returns its descriptor: bound, and joined where the addresses are groups."""

@final
class MulticastListener:
    """Receives the payloads that come to a group.

    The smallest of interfaces: where source, interface or time of a datagram matter, use Listener.
    ``interface`` is a name, an index or a local address, and every interface that can multicast
    where it is left out; ``sources`` are the senders that are wanted (SSM); ``timeout`` is in
    seconds, None waits for ever.

    >>> with MulticastListener("239.192.0.100", 5000, interface="lo", timeout=5) as listener:
    ...     sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
    ...     print(listener.recv(100))
    b'Hello, world!'

    Raises what opening a Listener raises.
    """

    def __new__(
        cls,
        group: AddressLike,
        port: int | None = None,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> Self: ...
    def recv(
        self, limit: int = 65507, /, *, truncate: bool = False, timeout: float | None = None
    ) -> bytes:
        """Waits for a datagram and returns its payload, of at most ``limit`` bytes.

        A longer one is never cut silently: it raises TruncatedError, whose ``datagram`` has all of
        it; with ``truncate=True`` its beginning is returned. ``timeout`` in seconds takes the place
        of the listener's own.

        TimedOut: nothing came in time. ClosedError: another thread closed the listener.
        """

    def fileno(self) -> int:
        """A descriptor for select, poll and event loops: readable as long as there is something to
        receive.
        """

    def close(self) -> None:
        """Leaves the group and closes the socket. Repeating it is harmless."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class MulticastUDPReceiver:
    """Receives the payloads that come to a group on one interface: the interface of py-multicast.

    ``interface`` is a name, an index or a local address.

    >>> receiver = MulticastUDPReceiver("lo", "239.192.0.100", 5000)
    >>> sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
    >>> receiver.read()
    b'Hello, world!'
    >>> receiver.close()

    Raises what opening a Listener raises.
    """

    def __new__(
        cls, interface: InterfaceLike, group: str, port: int, *, timeout: float | None = None
    ) -> Self: ...
    def read(self, *, timeout: float | None = None) -> bytes:
        """Waits for a datagram and returns its payload, all of it.

        ``timeout`` in seconds takes the place of the receiver's own. TimedOut: nothing came in time.
        """

    def fileno(self) -> int:
        """A descriptor for select, poll and event loops: readable as long as there is something to
        receive.
        """

    def close(self) -> None:
        """Leaves the group and closes the socket. Repeating it is harmless."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Sent:
    """What was handed to the kernel, and on which way. That it arrived is not known.

    >>> str(send("Hello, world!", "239.192.0.100%lo:5000"))        # doctest: +ELLIPSIS
    '13 bytes to 239.192.0.100:5000 from ... by lo, hop limit 1'
    """

    @property
    def size(self) -> int:
        """Length of the payload in bytes."""

    @property
    def destination(self) -> SocketAddress:
        """The group or host; a SocketAddress."""

    @property
    def source(self) -> SocketAddress:
        """The local address and port that it was sent from; a SocketAddress."""

    @property
    def interface(self) -> str:
        """The name of the interface by which it left."""

    @property
    def hops(self) -> int:
        """The hop limit that it left with, from 0 to 255."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

def send(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    interface: InterfaceLike | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
) -> Sent:
    """Sends one datagram to a group or a host, and returns on which way it left.

    ``payload`` is str, sent as UTF-8, or bytes-like, of at most 65,507 bytes. Returning means that
    the kernel took it, never that it arrived. To send more than one, keep a Sender, which also
    explains the other arguments.

        send("Hello, world!", "239.192.0.100", 1000)
        send(b"Hello, world!", "239.192.0.100%eth0:1000", hops=8)

    >>> print(send("Hello, world!", "239.192.0.100%lo:5000"))     # doctest: +ELLIPSIS
    13 bytes to 239.192.0.100:5000 from ... by lo, hop limit 1

    Raises what opening a Sender raises, and SocketError where the payload is too long.
    """

@final
class Sender:
    """Sends datagrams to one group or host, by one interface.

        Sender("239.192.0.100", 5000)
        Sender("239.192.0.100%eth0:5000", hops=8)

    They leave by ``interface`` (a name, an index or a local address); else as the route says; else,
    for a group, by the first interface that is up and can multicast. ``source`` is the local address
    to send from. ``hops`` is the hop limit from 0 to 255: to a group 1 by default, which stays on the
    link. ``loopback`` says whether members on this host receive it too.

    >>> with Sender("239.192.0.100%lo:5000") as sender:
    ...     sent = sender.send("Hello, world!")
    >>> sent.size, sent.interface, sent.hops
    (13, 'lo', 1)

    AddressError: the address is none, or names no destination. SocketError: the interface is not
    there, is down or cannot multicast, no route leads there, or the name is not known.
    """

    def __new__(
        cls,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        interface: InterfaceLike | None = None,
        source: str | None = None,
        hops: int | None = None,
        loopback: bool = True,
    ) -> Self: ...
    def send(self, payload: Payload, /) -> Sent:
        """Sends one datagram, of at most 65,507 bytes, and returns on which way it left.

        ``payload`` is str, sent as UTF-8, or bytes-like. SocketError: it is too long, or the
        interface went away; ``reopen`` then finds it again, or another.
        """

    def try_send(self, payload: Payload, /) -> Sent | None:
        """As ``send``, but never waits: None means that the send buffer is full."""

    def send_many(self, payloads: Iterable[Payload], /) -> int:
        """Sends many datagrams with few system calls, and returns how many went, which is all.

        ``payloads`` is any iterable of str and bytes-like, also one without end: it is read 256 at a
        time. Raises what ``send`` raises; what was read before is sent then.
        """

    def try_send_many(self, payloads: list[Payload], /) -> int:
        """Sends what it can of a list of datagrams without waiting, at most 256, and returns how many
        went; 0 means that the send buffer is full.
        """

    @property
    def way(self) -> Sent:
        """The way that datagrams take: a Sent whose size is 0."""

    @property
    def hops(self) -> int:
        """The hop limit of what is sent, from 0 to 255. It can be set; to a group, 1 stays on the link."""

    @hops.setter
    def hops(self, hops: int) -> None: ...
    @property
    def loopback(self) -> bool:
        """Whether members on this host receive what is sent to a group. It can be set."""

    @loopback.setter
    def loopback(self, loopback: bool) -> None: ...
    @property
    def interface(self) -> str:
        """The name of the interface by which datagrams leave. It can be set, by name, index or address."""

    @interface.setter
    def interface(self, interface: InterfaceLike) -> None: ...
    def reopen(self) -> None:
        """Opens it anew, as the interfaces and routes are now. When that fails, it stays as it was."""

    def fileno(self) -> int:
        """The descriptor of its socket: writable when the send buffer has room."""

    def close(self) -> None:
        """Closes it. Repeating it is harmless."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Socket:
    """Sends and receives: by unicast, to one peer or to anybody, and as a member of groups.

        Socket("127.0.0.1", 5005)          bound to a local address
        Socket(":8888")                    ... to all of them, IPv4 and IPv6
        Socket(":0")                       ... on any free port, which local_address tells
        Socket.connect("192.0.2.7:5005")   sends to one peer, and receives from it alone

    The port is not shared with other sockets, unless ``share_port`` is true. ``timeout`` is how many
    seconds each wait may take, None for ever; ``receive_buffer`` is the size in bytes to ask the
    kernel for.

    >>> with Socket("127.0.0.1:0") as server, Socket.connect(server.local_address) as client:
    ...     client.send("ping")
    ...     server.answer(server.recv(timeout=5), "pong")
    ...     client.recv(timeout=5).payload
    b'pong'

    Threads may share it. After a fork, open one anew in the child.

    AddressError: a text is no address, or is a group. PermissionDenied: the port is a privileged
    one. SocketError: the port is in use, or the address is not one of this host.
    """

    def __new__(
        cls,
        address: AddressLike | None = None,
        port: int | None = None,
        /,
        *,
        share_port: bool = False,
        timeout: float | None = None,
        receive_buffer: int | None = None,
    ) -> Self: ...
    @classmethod
    def connect(
        cls, peer: AddressLike, port: int | None = None, /, *, timeout: float | None = None
    ) -> Self:
        """Opens a socket that sends to one peer and receives from it alone. UDP has no connections:
        the peer hears nothing of it.

        Answers to a group come from the addresses of its members and are not received; ask a group
        with ``ask``, or from a socket that is not connected.

        SocketError: no route leads there, or the name is not known.
        """

    def reconnect(self, peer: AddressLike, port: int | None = None, /) -> None:
        """Connects to another peer, from the same local port."""

    def disconnect(self) -> None:
        """Lets anybody send to it again. The local port stays."""

    def send(self, payload: Payload, /) -> None:
        """Sends to the peer of a connected socket. ``payload`` is str, sent as UTF-8, or bytes-like,
        of at most 65,507 bytes.

        SocketError: it is too long, or no route leads there. AddressError: there is no peer.
        """

    def send_to(self, payload: Payload, address: AddressLike, port: int | None = None, /) -> None:
        """Sends to a host or a group. A group needs no route.

        Raises what ``send`` raises.
        """

    def try_send(self, payload: Payload, to: AddressLike | Datagram | None = None, /) -> bool:
        """Sends without waiting, and says whether the send buffer had room: to an address, to the peer
        where it is None, or as an answer to a Datagram.

        AddressError: the address is a name, which would have to be looked up.
        """

    def sending_fileno(self, to: AddressLike | Datagram | None = None, /) -> int:
        """The descriptor by which ``try_send`` sends, writable when the send buffer has room."""

    def answer(self, datagram: Datagram, payload: Payload, /) -> None:
        """Answers a datagram, from the address that it was sent to. Raises what ``send`` raises."""

    def recv(self, *, timeout: float | None = None) -> Datagram:
        """Waits for a datagram and returns it.

        ``timeout`` in seconds takes the place of the socket's own; 0 does not wait, infinity waits
        for ever.

        ConnectionRefused: it is connected, and nobody listens on the port of its peer; it goes on
        working.
        TimedOut: nothing came in time. ClosedError: another thread closed the socket.
        """

    def recv_many(self, limit: int = 256, /, *, timeout: float | None = None) -> list[Datagram]:
        """Waits for datagrams and returns a list of those that are there: at least one, and no more
        than ``limit``. Raises what ``recv`` raises.
        """

    def try_recv(self) -> Datagram | None:
        """Returns the next datagram that is there now, or None; never waits."""

    def try_recv_many(self, limit: int = 256, /) -> list[Datagram]:
        """Returns a list of the datagrams that are there now, which may be empty; never waits."""

    def join(
        self,
        group: str,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins a group on the port of this socket, on every interface unless one is named, and says
        whether it was not joined already. Datagrams to the host and to the group both arrive.
        """

    def leave(self, group: str, /, *, interface: InterfaceLike | None = None) -> bool:
        """Leaves a group, on all interfaces unless one is named, and says whether it had been joined."""

    @property
    def memberships(self) -> list[Membership]:
        """The groups that are joined now, one entry for each interface."""

    @property
    def local_address(self) -> SocketAddress:
        """The local address and port; of two sockets that of IPv4. A SocketAddress."""

    @property
    def peer_address(self) -> SocketAddress | None:
        """The peer of a connected socket, a SocketAddress, or None."""

    @property
    def multicast_hops(self) -> int:
        """The hop limit of datagrams to groups, from 0 to 255; 1 stays on the link. It can be set."""

    @multicast_hops.setter
    def multicast_hops(self, hops: int) -> None: ...
    @property
    def unicast_hops(self) -> int:
        """The hop limit of datagrams to hosts, from 1 to 255. It can be set."""

    @unicast_hops.setter
    def unicast_hops(self, hops: int) -> None: ...
    @property
    def loopback(self) -> bool:
        """Whether members on this host receive what this socket sends to a group. It can be set."""

    @loopback.setter
    def loopback(self, loopback: bool) -> None: ...
    @property
    def multicast_interface(self) -> str | None:
        """The name of the interface by which datagrams to groups leave; None leaves it to the route.
        It can be set, by name, index or address.
        """

    @multicast_interface.setter
    def multicast_interface(self, interface: InterfaceLike | None) -> None: ...
    @property
    def broadcast(self) -> bool:
        """Whether datagrams may go to broadcast addresses. It can be set."""

    @broadcast.setter
    def broadcast(self, broadcast: bool) -> None: ...
    @property
    def receive_buffer(self) -> int:
        """The size in bytes of the receive buffer that the kernel granted, which may be less than what
        was asked for (sysctl net.core.rmem_max).
        """

    def fileno(self) -> int:
        """A descriptor for select, poll and event loops: readable as long as there is something to
        receive, be it in the kernel or fetched already.
        """

    def close(self) -> None:
        """Leaves its groups and closes it; waits of other threads end with ClosedError. Repeating it
        is harmless.
        """

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> Datagram: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Answer:
    """An answer to a question, and how long it took.

    >>> with manycast.Socket("127.0.0.1:0") as server:
    ...     threading.Thread(target=lambda: server.answer(server.recv(), "OK")).start()
    ...     (answer,) = ask("hello", server.local_address)
    >>> answer.payload, answer.source.host, answer.attempt, answer.round_trip < 1
    (b'OK', '127.0.0.1', 1, True)
    """

    @property
    def datagram(self) -> Datagram:
        """The answer as it came."""

    @property
    def payload(self) -> bytes:
        """What was answered, in bytes."""

    @property
    def source(self) -> SocketAddress:
        """Who answered; a SocketAddress."""

    @property
    def round_trip(self) -> float:
        """The seconds since the question was last sent."""

    @property
    def attempt(self) -> int:
        """How often the question had been sent by then. When that was more than once, this may be the
        answer to an earlier one, and took longer than ``round_trip`` says.
        """

    def __bytes__(self) -> bytes: ...

def ask(
    payload: Payload,
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    timeout: float = 1.0,
    retries: int = 0,
    answers: int | None = None,
    interface: InterfaceLike | None = None,
    hops: int | None = None,
    loopback: bool = True,
) -> list[Answer]:
    """Sends a question and returns a list of the answers: of a host the first, of a group all that
    come within the time-out. No answer is an empty list.

    ``payload`` is str, sent as UTF-8, or bytes-like. ``timeout`` is how many seconds answers to the
    first question are waited for; each of the ``retries`` waits twice as long as the one before.
    ``answers`` is how many are enough.

        ask("hello", "192.0.2.7", 8888, retries=2)
        ask("who is there?", "239.192.0.100%eth0:5000", timeout=2)

    >>> with manycast.Socket("127.0.0.1:0") as server:
    ...     threading.Thread(target=lambda: server.answer(server.recv(), "OK...hello")).start()
    ...     [answer.payload for answer in ask("hello", server.local_address)]
    [b'OK...hello']

    ConnectionRefused: nobody listens on that port of that host. Raises also what opening a Sender
    raises.
    """

@final
class Asker:
    """A question that is being asked, for event loops: they wait for ``fileno`` to be readable, for
    ``wait`` seconds at most, and call ``step`` until it is ``finished``.
    """

    def __new__(
        cls,
        payload: Payload,
        address: AddressLike,
        port: int | None = None,
        /,
        *,
        timeout: float = 1.0,
        retries: int = 0,
        answers: int | None = None,
        interface: InterfaceLike | None = None,
        hops: int | None = None,
        loopback: bool = True,
    ) -> Self: ...
    def step(self) -> list[Answer]:
        """Does what there is to do, without waiting, and returns the answers that came."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""

    @property
    def wait(self) -> float | None:
        """How many seconds to wait at most before the next step."""

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to receive."""

@final
class Finding:
    """Something that was found: what, how sure it is, why, and what mends it.

    >>> all(finding.title in str(finding) for finding in doctor().findings)
    True
    """

    @property
    def code(self) -> str:
        """Its stable name."""

    @property
    def fault(self) -> bool:
        """Whether it keeps datagrams away; otherwise it is a warning."""

    @property
    def confidence(self) -> str:
        """How sure it is: 'proved', 'likely', 'possible' or 'cannot see'."""

    @property
    def title(self) -> str:
        """One sentence, about this host."""

    @property
    def evidence(self) -> list[str]:
        """What it rests on, a list of sentences."""

    @property
    def remedy(self) -> str | None:
        """What mends it, for this host, or None. Nothing of it was done."""

    @property
    def confirm(self) -> str | None:
        """Where it is not proved: which command or privilege would confirm it, or None."""

@final
class Report:
    """The outcome of an examination.

    >>> report = doctor()
    >>> report.healthy == (report.verdict == "delivered")
    True
    """

    @property
    def subject(self) -> str:
        """What was examined, as text: an address, or this host."""

    @property
    def verdict(self) -> str:
        """The code of the first fault, or 'delivered'."""

    @property
    def healthy(self) -> bool:
        """Whether no fault was found. Warnings are none."""

    @property
    def received(self) -> int:
        """How many datagrams were received as they were asked for."""

    @property
    def findings(self) -> list[Finding]:
        """What was found, a list of Finding, the most important first."""

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """The way of a datagram step by step: a list of (step, mark, detail), where mark is 'passed',
        'broken', 'unknown' or 'not-reached'.
        """

def doctor(
    address: AddressLike | None = None,
    port: int | None = None,
    /,
    *,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    duration: float = 10.0,
    pid: int | None = None,
) -> Report:
    """Finds out what becomes of datagrams to a group or a local address on this host, and why nothing
    arrives; without an address, what this host can do with groups.

    It listens meanwhile as a Listener does, for ``duration`` seconds, at least two and ten by default,
    and reads the kernel's counters before and after. ``pid`` is the number of another program, to be
    told why that does not receive. Nothing of the host is changed.

        for finding in doctor("239.1.1.1", 5000).findings:
            print(finding)

    >>> report = doctor()
    >>> print(report.subject)
    this host

    AddressError: the address is of another host, or has no port. SocketError: there is no such
    interface or program. Faults are no errors, but findings. Ctrl-C ends the wait at once; the
    listening then goes on in the background until ``duration`` is over.
    """

def begin_doctor(
    address: AddressLike | None = None,
    port: int | None = None,
    /,
    *,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    duration: float = 10.0,
    pid: int | None = None,
) -> Pending[Report]:
    """Begins an examination. The result of the Pending is that of ``doctor``."""

@final
class Interface:
    """An interface of this host, as it was when it was listed.

    >>> lo = ifconfig()["lo"]
    >>> lo.up, lo.loopback, "127.0.0.1" in lo.addresses
    (True, True, True)
    """

    @property
    def index(self) -> int:
        """The kernel's index, from 1. A device that is recreated under its name has another."""

    @property
    def name(self) -> str:
        """The name, such as 'eth0'."""

    @property
    def alternative_names(self) -> list[str]:
        """Further names by which it can be chosen."""

    @property
    def kind(self) -> str:
        """What it is: 'ethernet', 'wifi', 'loopback', or the kernel's word: 'bridge', 'veth', 'vlan',
        'wireguard' and so on; 'other' where there is no word.
        """

    @property
    def up(self) -> bool:
        """Whether it is switched on."""

    @property
    def running(self) -> bool:
        """Whether it can carry datagrams: it is up, and its cable, radio or peer is there."""

    @property
    def multicast(self) -> bool:
        """Whether it says that it can multicast. See ``can_multicast``."""

    @property
    def can_multicast(self) -> bool:
        """Whether groups can be joined on it and sent to by it: it is up, and says that it can or is
        the loopback interface, which can although it does not say so.
        """

    @property
    def loopback(self) -> bool:
        """Whether it leads back to this host."""

    @property
    def point_to_point(self) -> bool:
        """Whether there is one peer at its other end, and no link of many."""

    @property
    def broadcast(self) -> bool:
        """Whether it has a broadcast address."""

    @property
    def all_multicast(self) -> bool:
        """Whether it takes in all groups, joined or not."""

    @property
    def promiscuous(self) -> bool:
        """Whether it takes in everything."""

    @property
    def mtu(self) -> int:
        """The largest IP packet that it carries in one piece, in bytes."""

    @property
    def mac(self) -> str | None:
        """The hardware address as 'aa:bb:cc:dd:ee:ff', or None."""

    @property
    def addresses(self) -> list[str]:
        """The local addresses as text: IPv4, then IPv6."""

    @property
    def networks(self) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
        """The local addresses with the networks that they are in, as ``ipaddress.ip_interface`` makes
        them.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

def interfaces() -> list[Interface]:
    """Lists the interfaces of this host, by index.

    >>> [interface.name for interface in interfaces() if interface.loopback]
    ['lo']
    """
