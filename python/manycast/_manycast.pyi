"""The compiled part of the package, which ``manycast`` passes on."""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import IO, Any, Generic, TypeVar, final

from typing_extensions import Buffer, Self

from .address import SocketAddress
from .discovery import AnnounceEvent, BrowseEvent, BrowseStats
from .files import ReceiveEvent, ReceiveReport, SendEvent, SendReport
from .measure import Began, Finished, Freed, Interval, ReceiverStats, SenderStats
from .stream import StreamReceiver, StreamSender
from .tftp import Report as TftpReport, Transfer
from .types import AddressLike, InterfaceLike, InterfacesLike, Payload
from .value import Answer, Dropped, Interface, Membership, Report

__version__: str

_E = TypeVar("_E")
_S = TypeVar("_S")
_T = TypeVar("_T")

@final
class Address:
    """Where to listen or to send: sources, host or group, interface and port.

    It has one text form, the same everywhere in manycast::

        [SOURCE[,SOURCE...]@]HOST[%INTERFACE]:PORT

        239.192.0.100:5000            a group, any source
        239.192.0.100%eth0:5000       ... on one interface (name, index or local address)
        10.0.0.5@232.1.1.1%eth0:5000  ... from one source only (SSM)
        [ff15::1%eth0]:5000           IPv6; the zone stands inside the brackets
        192.0.2.7:5005                unicast
        localhost:8888                unicast; the name is resolved
        :8888                         any local address (listening only)

    Wherever an address is wanted, such a text, a pair (host, port) or an Address will do.

    >>> address = Address("239.192.0.100", 5000, interface="eth0")
    >>> str(address), address.host, address.port, address.is_group
    ('239.192.0.100%eth0:5000', '239.192.0.100', 5000, True)

    AddressError says what is wrong with a text, and in which column.
    """

    __match_args__ = ("host", "port", "interface", "sources")
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

def begin_wait_for_addresses() -> Pending[None]:
    """Begins to wait until no address of this host is tentative, three seconds at most. The result of the
    Pending is None.
    """

@final
class Pending(Generic[_T]):
    """Work that is being done, for event loops: they wait for ``fileno`` to be readable, and then take
    the ``result``, once.
    """

    def result(self) -> _T:
        """What came of the work; waits until it is done. Ctrl-C ends the work too, where it can be ended."""

    def cancel(self) -> bool:
        """Ends the work, and says whether it can be ended: ``fileno`` is readable soon then. In a child that
        was forked off, it is left to the parent.
        """

    @property
    def forked(self) -> bool:
        """Whether this process was forked off since the work was begun, which the parent still does."""

    def check(self, what: str) -> None:
        """Fails in a child that was forked off since; ``what`` stands in the message."""

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

    It can be pickled, for a queue or a pool of processes; the other process answers from a socket of its
    own. For tests it can be constructed: ``Datagram(b"hello", ("192.0.2.7", 4000), ("192.0.2.1", 5000))``.
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
    def __new__(
        cls,
        payload: Payload,
        source: AddressLike,
        destination: AddressLike,
        interface: str = "",
        hops: int | None = None,
        time: float | None = None,
        dropped: int = 0,
        truncated: bool = False,
        *,
        local: str | None = None,
        ecn: int = 0,
        time_ns: int | None = None,
        interface_index: int | None = None,
    ) -> Self: ...
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
    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...

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
        Listener()                                           nothing yet; ``join`` gives it groups

    ``interface`` is a name, an index or a local address; ``sources`` are the senders that are wanted
    (SSM), ``excluded`` those that are not; ``timeout`` is how many seconds each wait may take, None for
    ever; ``receive_buffer`` is the size in bytes to ask the kernel for. The port of a group is shared
    with other sockets, that of a local address only with ``share_port=True``; each datagram to it then
    goes to one of them.

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
        excluded: str | Iterable[str] | None = None,
        timeout: float | None = None,
        share_port: bool = False,
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
        than ``limit``, nor than 16,384. It is the fastest way to receive.

        Raises what ``recv`` raises.
        """

    def try_recv(self) -> Datagram | None:
        """Returns the next datagram that is there now, or None; never waits."""

    def try_recv_many(self, limit: int = 256, /) -> list[Datagram]:
        """Returns a list of the datagrams that are there now, which may be empty; never waits."""

    def recv_into(
        self, buffer: Buffer, limit: int = 256, /, *, timeout: float | None = None
    ) -> list[int]:
        """Waits for datagrams, and writes the payloads of those that are there into a buffer, one behind
        the other: at least one, at most ``limit`` or 16,384, and no more than fit. It makes no object for
        each.

        It returns a list of offsets, one more than datagrams: the first payload is
        ``buffer[offsets[0]:offsets[1]]``, and the last ends at ``offsets[-1]``. ``buffer`` is a
        bytearray, or whatever else can be written to.

        TruncatedError: the first datagram is longer than the buffer; the error has it. Raises also what
        ``recv`` raises.
        """

    def try_recv_into(self, buffer: Buffer, limit: int = 256, /) -> list[int]:
        """As ``recv_into``, but never waits: an empty list means that nothing is there."""

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
        """Leaves a group, on all interfaces unless one is named, and says whether it had been joined.

        AddressError: one is named, and the group was joined on every one; leave it without, and join it
        on those that are wanted.
        """

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

    @property
    def dropped(self) -> Dropped:
        """What the kernel dropped until now for want of room in the receive buffer; a Dropped."""

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
    """What was handed to the kernel, and how it left. That it arrived is not known.

    >>> str(send("Hello, world!", "239.192.0.100%lo:5000"))        # doctest: +ELLIPSIS
    '13 bytes to 239.192.0.100:5000 from ... by lo, hop limit 1'
    """

    __match_args__ = ("size", "destination", "source", "interface", "hops")
    def __new__(
        cls,
        size: int,
        destination: AddressLike,
        source: AddressLike,
        interface: str,
        hops: int,
    ) -> Self: ...
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
    def __hash__(self, /) -> int: ...
    def __getnewargs__(self) -> tuple[int, SocketAddress, SocketAddress, str, int]: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...

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
    dscp: int | None = None,
) -> Sent:
    """Sends one datagram to a group or a host, and returns how it left.

    ``payload`` is str, sent as UTF-8, or bytes-like, of at most 65,507 bytes. Returning means that
    the kernel took it, never that it arrived. To send more than one, keep a Sender, which also
    explains the other arguments.

        send("Hello, world!", "239.192.0.100", 5000)
        send(b"Hello, world!", "239.192.0.100%eth0:5000", hops=8)

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
    to send from, with a port if wanted, or a port alone: "192.0.2.1", "192.0.2.1:5000", ":5000". ``hops`` is the hop limit from 0 to 255: to a group 1 by default, which stays on the
    link. ``loopback`` says whether members on this host receive it too. ``dscp`` is from 0 to 63 (RFC
    2474); ``send_buffer`` is the size in bytes to ask the kernel for.

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
        dscp: int | None = None,
        send_buffer: int | None = None,
    ) -> Self: ...
    def send(self, payload: Payload, /) -> Sent:
        """Sends one datagram, of at most 65,507 bytes, and returns how it left.

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
    def destination(self) -> SocketAddress:
        """The group or host that datagrams go to; a SocketAddress."""

    @property
    def source(self) -> SocketAddress:
        """The local address and port that datagrams leave from now; a SocketAddress."""

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
    @property
    def dscp(self) -> int | None:
        """The DSCP of what is sent, from 0 to 63 (RFC 2474), or None where the system's was left."""

    @property
    def send_buffer(self) -> int:
        """The size in bytes of the send buffer that the kernel granted, which may be less than what was
        asked for (sysctl net.core.wmem_max).
        """

    def reopen(self) -> None:
        """Opens it anew, as the interfaces and routes are now. When that fails, it stays as it was."""

    def fileno(self) -> int:
        """The descriptor of its socket: writable when the send buffer has room."""

    def close(self) -> None:
        """Closes it; what other threads send ends with ClosedError. Repeating it is harmless."""

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
    seconds each wait may take, None for ever; ``receive_buffer`` and ``send_buffer`` are the sizes in
    bytes to ask the kernel for; ``dscp`` is from 0 to 63 (RFC 2474).

    >>> with Socket("127.0.0.1:0") as server, Socket.connect(server.local_address) as client:
    ...     client.send("ping")
    ...     server.answer("pong", server.recv(timeout=5))
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
        send_buffer: int | None = None,
        dscp: int | None = None,
    ) -> Self: ...
    @classmethod
    def connect(
        cls,
        peer: AddressLike,
        port: int | None = None,
        /,
        *,
        timeout: float | None = None,
        dscp: int | None = None,
    ) -> Self:
        """Opens a socket that sends to one peer and receives from it alone. UDP has no connections:
        the peer is told nothing of it.

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

    def answer(self, payload: Payload, datagram: Datagram, /) -> None:
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
        than ``limit``, nor than 16,384. Raises what ``recv`` raises.
        """

    def try_recv(self) -> Datagram | None:
        """Returns the next datagram that is there now, or None; never waits."""

    def try_recv_many(self, limit: int = 256, /) -> list[Datagram]:
        """Returns a list of the datagrams that are there now, which may be empty; never waits."""

    def recv_into(
        self, buffer: Buffer, limit: int = 256, /, *, timeout: float | None = None
    ) -> list[int]:
        """Waits for datagrams, and writes the payloads of those that are there into a buffer, one behind
        the other: at least one, at most ``limit`` or 16,384, and no more than fit. It makes no object for
        each.

        It returns a list of offsets, one more than datagrams: the first payload is
        ``buffer[offsets[0]:offsets[1]]``, and the last ends at ``offsets[-1]``. ``buffer`` is a
        bytearray, or whatever else can be written to.

        TruncatedError: the first datagram is longer than the buffer; the error has it. Raises also what
        ``recv`` raises.
        """

    def try_recv_into(self, buffer: Buffer, limit: int = 256, /) -> list[int]:
        """As ``recv_into``, but never waits: an empty list means that nothing is there."""

    def join(
        self,
        group: str,
        /,
        *,
        interface: InterfaceLike | None = None,
        sources: str | Iterable[str] | None = None,
        excluded: str | Iterable[str] | None = None,
    ) -> bool:
        """Joins a group on the port of this socket, on every interface unless one is named, and says
        whether it was not joined already. Datagrams to the host and to the group both arrive.
        ``sources`` are the senders that are wanted (SSM), ``excluded`` those that are not.
        """

    def leave(self, group: str, /, *, interface: InterfaceLike | None = None) -> bool:
        """Leaves a group, on all interfaces unless one is named, and says whether it had been joined.

        AddressError: one is named, and the group was joined on every one; leave it without, and join it
        on those that are wanted.
        """

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

    @property
    def send_buffer(self) -> int:
        """The size in bytes of the send buffer that the kernel granted (sysctl net.core.wmem_max)."""

    @property
    def dscp(self) -> int | None:
        """The DSCP of what is sent, from 0 to 63 (RFC 2474); None leaves the system's. It can be set."""

    @dscp.setter
    def dscp(self, dscp: int | None) -> None: ...
    @property
    def dropped(self) -> Dropped:
        """What the kernel dropped until now for want of room in the receive buffer; a Dropped."""

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

def doctor(
    address: AddressLike | None = None,
    port: int | None = None,
    /,
    *,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    duration: float = 10.0,
    pid: int | None = None,
    with_: AddressLike | None = None,
    key: str | None = None,
    answers: bool = False,
    question: Payload | None = None,
) -> Report:
    """Finds out what becomes of datagrams to a group or a local address on this host, and why nothing
    arrives; without an address, what this host can do with groups.

    It listens meanwhile as a Listener does, for ``duration`` seconds, at least two and ten by default,
    and reads the kernel's counters before and after. ``pid`` is the number of another program, to be
    told why that does not receive. Nothing of the host is changed.

    ``with_`` is a far host on which ``manycast doctor serve`` runs, as HOST or HOST:PORT: a group is then
    tried in both directions, and the far host examines itself too. ``key`` is the secret that was given
    there.

    ``answers`` asks the group, and finds out whether the answers come, which its members send by unicast:
    with ``question``, or else as the protocol of the port does (SLP, SSDP, WS-Discovery, mDNS, CoAP).

        print(doctor("239.1.1.1", 5000))
        for finding in doctor("239.1.1.1", 5000).findings:
            print(finding.title, finding.remedy)

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
    with_: AddressLike | None = None,
    key: str | None = None,
    answers: bool = False,
    question: Payload | None = None,
) -> Pending[Report]:
    """Begins what the function without ``begin_`` does. The result of the Pending is what that returns."""

def send_files(
    address: AddressLike,
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    /,
    *,
    receivers: int = 0,
    names: str | Iterable[str] | None = None,
    rate: float = 100e6,
    congestion_control: bool = False,
    parity: int | None = None,
    skip_links: bool = False,
    wait: float = 5.0,
    interface: InterfaceLike | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
    dscp: int | None = None,
    send_buffer: int | None = None,
    progress: Callable[[SendEvent], object] | None = None,
) -> SendReport:
    """Sends files and folders to all receivers at an address, a group or a host, and returns a SendReport.

    ``paths`` is a path or several. Links, and what else is neither a file nor a folder, are an error, or left
    out with ``skip_links``. What is lost on the way is asked for and repaired. It ends when each receiver
    that answers has all, or does not come on; who has what is in the report, and no error.

    ``receivers`` is how many are expected, ``names`` the name of one or of several of them: it begins when
    they are there, or after ``wait`` seconds, and waits for them so long at the end. ``rate`` is in bits a
    second, 8,000 or more; with ``congestion_control`` it is the most, and what the network carries beside
    other flows decides. ``parity``, 0 to 64, is how many repairs go unasked with each 64 datagrams, for
    receivers with no way back; None: none where receivers are expected, 8 otherwise. ``source``, which may
    be ":5013", is the local address that receivers answer to. The other arguments are those of a Sender.

    ``progress`` is called with each event by the thread that sends: Scanned, Started, Heard, FileSent,
    SendProgress, some four times a second, and Warned. What it raises ends the transfer.

        report = manycast.send_files("239.192.0.7:5013", ["firmware.bin", "dir"], receivers=3)
        print(report.complete, *report.receivers, sep="\n")

    >>> report = manycast.send_files("239.192.0.7%lo:5013", "conftest.py")
    >>> report.files, report.receivers, report.expected
    (1, (), 0)

    FileError: a file cannot be read or sent. ConnectionRefused: nobody listens at the host that it is sent
    to. Raises also what opening a Sender raises. Ctrl-C ends it, and receivers are told.
    """

begin_send_files: Callable[..., Pending[SendReport]]

def receive_files(
    address: AddressLike | list[Any],
    folder: str | PathLike[str],
    /,
    *,
    name: str | None = None,
    count: int = 1,
    timeout: float | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    silent: bool = False,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    receive_buffer: int | None = None,
    progress: Callable[[ReceiveEvent], object] | None = None,
) -> ReceiveReport:
    """Receives files into a folder, and returns a ReceiveReport when ``count`` deliveries have ended.

    ``address`` is a group or ":PORT", or a list of them. A file has its name once it is complete and has
    the hash that it has at the sender; what is there already is not asked for again. Nothing is written
    outside of ``folder``. There is no password: whoever can send to the address can write into it.

    ``name`` is that of this receiver, another one for each: 1 to 64 bytes, by default that of the host.
    With a ``count`` of 0 it goes on until something ends it, such as what ``progress`` raises. ``timeout`` is
    how many seconds nothing may come; then it ends too. ``limit`` is how many bytes a delivery may have.
    ``overwrite`` lets a file take the place of one with other content. With ``silent`` it says nothing to
    the sender, where there is no way back. The other arguments are those of a Listener.

    ``progress`` is called with each event by the thread that receives: Listening, Began, FileReceived,
    ReceiveProgress, some four times a second, Ended and Warned. What it raises ends the transfer.

        report = manycast.receive_files("239.192.0.7:5013", "/srv", name="lab1", limit=2**30)
        for file in report.deliveries[0].files:
            print(file)

    >>> manycast.receive_files("239.192.0.7%lo:5013", ".", timeout=0.01)
    ReceiveReport(deliveries=(), timed_out=True)

    FileError: there is no such folder. Raises also what opening a Listener raises. What becomes of files is
    no error, but in the report. Ctrl-C ends it at once, and leaves no half file.
    """

begin_receive_files: Callable[..., Pending[ReceiveReport]]

def send_stream(
    address: AddressLike,
    /,
    *,
    receivers: int = 0,
    names: str | Iterable[str] | None = None,
    rate: float = 100e6,
    congestion_control: bool = False,
    parity: int | None = None,
    wait: float = 5.0,
    window: int = 8388608,
    interface: InterfaceLike | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
    dscp: int | None = None,
    send_buffer: int | None = None,
) -> StreamSender:
    """Begins to send a stream of bytes to all receivers at an address, and returns a StreamSender to write
    it to. A with statement ends the stream, and waits until those that were expected have all of it.

    ``receivers`` is how many are expected, ``names`` the name of one or of several of them: it begins when
    they are there, in ``wait`` seconds, and the slowest of them slows it down, since ``window`` bytes at
    most, 65,536 or more, are kept of what they lack. Who is not expected and lacks more than that is left
    behind; who listens from the beginning gets all. The other arguments are those of ``send_files``.

        with manycast.send_stream("239.192.0.8:5014", names=["lab1", "lab2"]) as out:
            with tarfile.open(fileobj=out, mode="w|") as tar:
                tar.add("dir")

    >>> with manycast.send_stream("239.192.0.8%lo:5014") as out:
    ...     out.write(b"some bytes")
    10
    >>> out.report.bytes, out.report.complete
    (10, True)

    TimedOut: a receiver that is expected is not there in time; ``write`` or the end raises it.
    ConnectionRefused, by either: nobody listens at the host that it is sent to. TransferError, at the end:
    one has not said that it has all. Raises also, there, what opening a Sender
    raises. What leaves the with statement by an error breaks off the stream, and receivers hear no end.
    """

def receive_stream(
    address: AddressLike,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    silent: bool = False,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    receive_buffer: int | None = None,
) -> StreamReceiver:
    """Begins to receive a stream of bytes, the first that begins, and returns a StreamReceiver: iterate over
    it for the bytes as they come, or ``read`` it as a file.

    ``timeout`` is how many seconds nothing may come. The other arguments are those of ``receive_files``.
    While nothing is read, what comes is lost and asked for again; a sender that expects this receiver by
    its name waits for it.

        with manycast.receive_stream("239.192.0.8:5014", name="lab1") as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                tar.extractall("into", filter="data")

    >>> with manycast.receive_stream("239.192.0.8%lo:5014", name="lab1") as stream:
    ...     with manycast.send_stream("239.192.0.8%lo:5014", names="lab1") as out:
    ...         out.write(b"some bytes")
    ...     b"".join(stream)
    10
    b'some bytes'

    TransferError, behind the bytes that came: bytes are missing, or the sender fell silent before the end;
    nothing that follows is returned. Raises also, when it is read, what opening a Listener raises.
    """

def interfaces() -> list[Interface]:
    """Lists the interfaces of this host, by index; each is an Interface.

    >>> [interface.name for interface in interfaces() if interface.loopback]
    ['lo']
    """

def begin_ask(
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
) -> Driver[Answer, Any]:
    """Begins to ask. What the Driver tells of is each answer, as it comes."""

def tftp_get(
    location: str,
    local: str | PathLike[str] | IO[bytes],
    /,
    *,
    block_size: int | None = None,
    window: int | None = None,
    mode: str = "octet",
    multicast: bool = False,
    timeout: float = 30.0,
    rollover: int = 0,
    progress: Callable[[int, int | None], object] | None = None,
) -> TftpReport:
    """Gets a file from a TFTP server, and returns a Report.

    ``location`` is HOST/FILE, HOST:PORT/FILE or tftp://HOST/FILE; the port is 69 unless it is named.
    ``local`` is the path that it gets, in place of a file that is there, once it is complete; or an
    object with a ``write`` method, such as ``io.BytesIO``.

    ``block_size``, 8 to 65,464 bytes, and ``window``, in blocks, are chosen for the path unless they are
    given; a server that knows no options sends 512 bytes at a time. ``mode`` is "octet", or "netascii"
    for text. With ``multicast`` one stream serves many clients, where the server does that. After
    ``timeout`` seconds in which nothing comes it is given up. ``rollover`` is the number that follows on
    block 65,535, 0 or 1. ``progress`` is called some ten times a second with the bytes that have come and
    the bytes in the file, or None, by the thread that transfers; what it raises ends the transfer.

    >>> with manycast.tftp.Server(".", "127.0.0.1:0") as server:
    ...     into = io.BytesIO()
    ...     report = manycast.tftp.get(f"{server.local_addresses[0]}/conftest.py", into)
    ...     report.bytes == len(into.getvalue())
    True

    TransferError: the server refuses it; its ``code`` is the server's. ConnectionRefused: nobody listens
    there. TimedOut: nothing came for too long. FileError: the file cannot be written. Ctrl-C ends it at
    once. Whatever ends it leaves no half file.
    """

begin_tftp_get: Callable[..., Pending[TftpReport]]

def tftp_put(
    local: str | PathLike[str] | IO[bytes],
    location: str,
    /,
    *,
    block_size: int | None = None,
    window: int | None = None,
    mode: str = "octet",
    timeout: float = 30.0,
    rollover: int = 0,
    progress: Callable[[int, int | None], object] | None = None,
) -> TftpReport:
    """Puts a file to a TFTP server that allows it, and returns a Report.

    ``local`` is a path, or an object with a ``read`` method, such as ``io.BytesIO``. The other arguments
    and what it raises are those of ``get``; FileError: the file cannot be read.

    >>> with manycast.tftp.Server(folder, "127.0.0.1:0", write=True) as server:    # doctest: +SKIP
    ...     manycast.tftp.put(io.BytesIO(b"hello"), f"{server.local_addresses[0]}/greeting").bytes
    5
    """

begin_tftp_put: Callable[..., Pending[TftpReport]]

@final
class Server:
    """Serves the files of a folder by TFTP, in a thread of its own, until it is closed.

    Nothing outside of ``folder`` is served: neither ``..`` nor a link leads out of it. ``addresses`` is
    where it listens, by default ":69", which takes the privilege. It is for reading; with ``write`` it
    takes new files of up to ``max_size`` bytes, with ``overwrite`` in place of others too. With
    ``single_port`` it answers from the port that was asked, for firewalls. ``multicast`` is the group, or
    the groups, that files are sent to when clients ask for that. ``limit`` is how many transfers run at
    once, ``limit_per_address`` how many of them one address has, ``max_duration`` how many seconds each
    may take.

    Iterate over it, or wait by ``next_transfer``, for each transfer that has ended: a Transfer. The latest
    thousand wait to be asked for; it serves whether or not anybody asks. Close it, or use it as a context
    manager. ``aio.tftp.Server`` is the same for asyncio.

    >>> with manycast.tftp.Server(".", "127.0.0.1:0") as server:
    ...     report = manycast.tftp.get(f"{server.local_addresses[0]}/conftest.py", io.BytesIO())
    ...     transfer = server.next_transfer(timeout=10)
    >>> transfer.name, transfer.bytes == report.bytes, transfer.error
    ('conftest.py', True, None)

    FileError: there is no such folder. Raises also what opening a Listener raises.
    """

    def __new__(
        cls,
        folder: str | PathLike[str],
        /,
        *addresses: AddressLike | int,
        interface: InterfaceLike | None = None,
        write: bool = False,
        overwrite: bool = False,
        max_size: int | None = None,
        single_port: bool = False,
        multicast: str | Iterable[str] | None = None,
        limit: int = 1000,
        limit_per_address: int = 100,
        max_duration: float = 43200.0,
        rollover: int = 0,
    ) -> Self: ...
    @property
    def local_addresses(self) -> list[SocketAddress]:
        """The addresses that it listens on, with their ports."""

    def next_transfer(self, *, timeout: float | None = None) -> Transfer | None:
        """Waits for the next transfer that ends, and returns it, a Transfer; None: the server was closed.

        ``timeout`` is in seconds; None waits for ever. TimedOut: none has ended in time.
        """

    def try_next_transfer(self) -> Transfer | None:
        """The next transfer that has ended, without waiting, or None. For event loops, which call it when
        ``fileno`` is readable.
        """

    def fileno(self) -> int:
        """The descriptor that is readable when a transfer has ended that was not taken, or when the server
        was closed.
        """

    def close(self) -> None:
        """Ends it, and tells those who have transfers. Repeating it is harmless."""

    @property
    def closed(self) -> bool:
        """Whether it serves no longer."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Transfer: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def measure_send(
    address: AddressLike,
    port: int | None = None,
    /,
    *,
    size: int = 1316,
    rate: float | None = 1e6,
    burst: float = 0.001,
    duration: float | None = None,
    count: int | None = None,
    interface: InterfacesLike | None = None,
    source: str | None = None,
    hops: int | None = None,
    loopback: bool = True,
    dscp: int | None = None,
    send_buffer: int | None = None,
) -> Driver[Finished, SenderStats]:
    """Sends a stream of numbered datagrams to a group or a host. The Driver tells of its end, by
    ``Finished``; its ``stats`` are SenderStats.

    ``size`` is that of a payload in bytes, from 12 to 65,507. ``rate`` is in payload bits a second, None
    is as fast as it goes; it is held in bursts of ``burst`` seconds at most. It ends after ``duration``
    seconds, by default 10, or without an end where there is a ``count``, which is how many datagrams
    are sent. A host answers at the end with what it received. The other arguments are those of a
    Sender; ``interface`` may be several, or "all" for a group, which are as many streams, and ``stats``
    is then a tuple.

    >>> stats = manycast.measure.send("239.192.0.100%lo:5001", rate=1e6, count=5).run()
    >>> stats.datagrams, stats.bytes, stats.report
    (5, 6580, None)

    Raises what opening a Sender raises.
    """

def measure_receive(
    *addresses: AddressLike | int,
    interface: InterfaceLike | None = None,
    sources: str | Iterable[str] | None = None,
    excluded: str | Iterable[str] | None = None,
    interval: float = 1.0,
    duration: float | None = None,
    expect: int | None = None,
    max_streams: int = 256,
    share_port: bool = False,
    receive_buffer: int | None = None,
) -> Driver[Began | Interval | Freed, ReceiverStats]:
    """Measures each stream that comes. The Driver tells of each stream that begins, by ``Began``, and each
    ``interval`` seconds of what came in it, by ``Interval``; of one that made room for another, by
    ``Freed``. Its ``stats`` are ReceiverStats.

    It ends after ``duration`` seconds, or when ``expect`` senders have ended; without either, when it is
    closed or ``finish`` is called. An ``interval`` of 0 is none. No more than ``max_streams`` are
    measured. The other arguments are those of a Listener.

    >>> with manycast.measure.receive("239.192.0.100%lo:5001", expect=1) as receiving:
    ...     sent = manycast.measure.send("239.192.0.100%lo:5001", rate=1e6, count=5).run()
    ...     (stream,) = receiving.run().streams
    >>> stream.datagrams, stream.lost, stream.interface
    (5, 0, 'lo')

    Raises what opening a Listener raises.
    """

def browse(
    what: str | Iterable[str] | None = None,
    *,
    timeout: float | None = None,
    protocol: str | Iterable[str] | None = None,
    interface: InterfacesLike | None = None,
) -> Driver[BrowseEvent, BrowseStats]:
    """Looks for services on the link, and returns a Driver that tells of each as it comes, changes and goes:
    Found, Changed and Gone, each with its ``service``, all of which is known at once.

    ``what`` is a type of DNS-SD ("_http._tcp"), a search target of SSDP ("upnp:rootdevice"), a type of
    WS-Discovery ("dn:NetworkVideoTransmitter"), or a word: "camera", "files", "media-server", "printer",
    "router", "scanner", "speaker", "web". It may be several; None is everything. ``protocol`` is one or
    several of "dns-sd", "ssdp" and "ws-discovery", ``interface`` one or several, by default all. It ends after
    ``timeout`` seconds, or goes on until it is closed. Its ``stats`` are BrowseStats, with the devices that
    are there.

        with manycast.browse("printer") as browsing:
            for event in browsing:
                print(type(event).__name__, event.service)

    >>> stats = manycast.browse("printer", interface="lo", timeout=0.1).run()
    >>> stats.devices, stats.overflowed
    ((), 0)

    ValueError: ``what`` is nothing that can be looked for, or no protocol has words for it. SocketError:
    there is no such interface.
    """

def announce(
    name: str,
    kind: str | Iterable[str],
    port: int,
    *,
    attributes: Mapping[str, str | bytes | None] | None = None,
    protocol: str | Iterable[str] | None = None,
    interface: InterfacesLike | None = None,
    uuid: str | None = None,
    path: str = "/",
) -> Announcer:
    """Announces a service of this host until the end of the with statement, and says goodbye then. Returns an
    Announcer.

    ``name`` is what people see. ``kind`` is what it is, and says by which protocol it is announced:
    "_http._tcp" by DNS-SD, "urn:schemas-upnp-org:device:Basic:1" by SSDP, "wsdp:Device" by WS-Discovery; it
    may be several. ``port`` is that of the service, which listens by itself.

    ``attributes`` is what else is to be known, by DNS-SD, such as {"path": "/index.html"}. ``protocol`` is
    one or several of "dns-sd", "ssdp" and "ws-discovery", whatever the kind; ``interface`` one or several, by
    default all. ``uuid`` is that of the device, by SSDP and WS-Discovery, a random one by default; ``path``
    is where its description is, as http://ADDRESS:PORT and this path.

        with manycast.announce("My web", "_http._tcp", 8080, attributes={"path": "/"}):
            server.serve_forever()

    >>> kind = "urn:schemas-upnp-org:device:Basic:1"
    >>> with manycast.announce("My web", kind, 8080, interface="lo") as announcer:
    ...     announcer.next_event(timeout=10).interface
    'lo'

    ValueError: a kind or a name is none, or is too long. SocketError: there is no such interface.
    """

@final
class Announcer:
    """Announces a service of this host, in a thread of its own, until it is closed: what ``announce`` returns.

    It answers those who look for the service, and follows the interfaces and addresses of this host. Iterate
    over it, or wait by ``next_event``, for what happens: Announced, Renamed, Asked and Warned. The latest
    thousand wait to be asked for; it goes on whether or not anybody asks. Close it, or use it as a context
    manager: goodbye is said then. ``aio.announce`` is the same for asyncio.

    >>> with manycast.announce("Cam", "dn:NetworkVideoTransmitter", 80, interface="lo") as announcer:
    ...     print(announcer)
    <Announcer of "Cam">
    """

    def next_event(self, *, timeout: float | None = None) -> AnnounceEvent | None:
        """Waits for what happens next, and returns it; None: it was closed.

        ``timeout`` is in seconds; None waits for ever. TimedOut: nothing happened in time.
        """

    def try_next_event(self) -> AnnounceEvent | None:
        """What has happened, without waiting, or None. For event loops, which call it when ``fileno`` is
        readable.
        """

    def fileno(self) -> int:
        """The descriptor that is readable when something has happened that was not taken, or when it was
        closed.
        """

    def close(self) -> None:
        """Says goodbye, which takes some tenths of a second, and ends it. Repeating it is harmless."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> AnnounceEvent: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def run_command(words: list[str], /) -> int:
    """Runs the command ``manycast`` with the words that were typed, of which the first is its name, and
    returns its exit code. Once a process, which it takes charge of: its signals, input and output.
    """

@final
class Driver(Generic[_E, _S]):
    """Runs a protocol in the thread that iterates over it, or that waits by ``next_event``.

    What is told of is plain values. ``run`` goes on to the end and returns the ``stats``. Close it, or
    use it as a context manager; one that has finished is closed. Several threads may use it: each event
    goes to one of them. ``aio.Driver`` is the same for asyncio.

    >>> with manycast.measure.send("127.0.0.1:9", count=3) as driver:
    ...     for event in driver:
    ...         print(event)
    ...     driver.stats.datagrams
    Finished(report=None)
    3
    """

    def next_event(self, *, timeout: float | None = None) -> _E | None:
        """Waits for what the protocol tells next, and returns it; None: it has finished.

        ``timeout`` is in seconds; None waits for ever. TimedOut: nothing was told in time.
        ClosedError: another thread closed it.
        """

    def try_next_event(self) -> _E | None:
        """Does what there is to do without waiting, and returns what the protocol tells, or None. For
        event loops, which call it again after ``wait`` seconds, or when ``fileno`` is readable before,
        and close it when it has ``finished``.
        """

    def run(self) -> _S:
        """Runs the protocol to its end, closes it and returns its ``stats``."""

    def finish(self) -> None:
        """Asks the protocol to come to its end in good order; iterate until it has."""

    def command(self, name: str, /, *arguments: Any) -> None:
        """Gives the protocol a command of its own.

        AttributeError: it has none of this name.
        """

    @property
    def stats(self) -> _S:
        """What the protocol has counted until now, or until it was closed."""

    @property
    def finished(self) -> bool:
        """Whether the protocol has finished, or was closed."""

    @property
    def wait(self) -> float | None:
        """How many seconds an event loop may wait before the next ``try_next_event``; None: for ever."""

    def fileno(self) -> int:
        """The descriptor that is readable when there is something to do."""

    def close(self) -> None:
        """Ends it at once and closes its sockets; waits of other threads end with ClosedError. Repeating
        it is harmless.
        """

    @property
    def closed(self) -> bool:
        """Whether its sockets are closed: it was closed, or has finished."""

    def __iter__(self, /) -> Self: ...
    def __next__(self, /) -> _E: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
