"""What calls return: plain values, which hold no socket and can be passed on.

They are frozen dataclasses: they can be constructed, compared, copied, pickled, weakly referenced and
matched. ``Datagram``, ``Sent``, ``Address`` and ``SocketAddress`` behave in the same way, but are
compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Interface, IPv6Interface

    from ._manycast import Datagram
    from .address import SocketAddress

__all__ = ["Answer", "Dropped", "Finding", "Interface", "Membership", "Report"]


@dataclass(frozen=True, repr=False)
class Answer:
    """An answer to a question, and how long it took.

    ``datagram``: the answer as it came. ``round_trip``: the seconds since the question was last sent.
    ``attempt``: how often the question had been sent by then; when that was more than once, this may
    be the answer to an earlier one, and took longer than ``round_trip`` says. ``bytes(answer)`` is its
    payload.

    >>> with manycast.Socket("127.0.0.1:0") as server:
    ...     threading.Thread(target=lambda: server.answer("OK", server.recv())).start()
    ...     (answer,) = manycast.ask("hello", server.local_address)
    >>> answer.payload, answer.source.host, answer.interface, answer.attempt, answer.round_trip < 1
    (b'OK', '127.0.0.1', 'lo', 1, True)
    """

    datagram: Datagram
    round_trip: float
    attempt: int = 1

    @property
    def payload(self) -> bytes:
        """What was answered."""
        return self.datagram.payload

    @property
    def source(self) -> SocketAddress:
        """Who answered."""
        return self.datagram.source

    @property
    def interface(self) -> str:
        """The name of the interface that the answer came in on."""
        return self.datagram.interface

    def __bytes__(self) -> bytes:
        return self.datagram.payload

    def __repr__(self) -> str:
        return (
            f"<Answer of {len(self.payload)} bytes from {self.source} on {self.interface} "
            f"after {self.round_trip:.6f} s>"
        )


@dataclass(frozen=True, repr=False)
class Dropped:
    """What the kernel dropped for want of room in a receive buffer.

    ``count``: how many buffers of the kernel. ``exact``: each was of one datagram; otherwise ``count`` is
    the least number of datagrams, since up to 128 may come in one buffer (see GRO, udp(7)).

    >>> with manycast.Listener("239.192.0.100%lo:5000") as listener:
    ...     print(listener.dropped)
    0
    """

    count: int = 0
    exact: bool = True

    def __str__(self) -> str:
        return str(self.count) if self.exact or not self.count else f"at least {self.count}"

    def __repr__(self) -> str:
        return f"<Dropped {self}>"


@dataclass(frozen=True, repr=False)
class Membership:
    """A group that is joined on one interface.

    ``group``: the group and the port that is listened on. ``interface``: the name of the interface.
    ``sources``: the senders that are wanted; empty means any. ``excluded``: those that are not wanted.

    >>> with manycast.Listener("239.192.0.100%lo:5000") as listener:
    ...     [(joined.group, joined.interface) for joined in listener.memberships]
    [(SocketAddress('239.192.0.100', 5000), 'lo')]
    """

    group: SocketAddress
    interface: str
    sources: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.group} on {self.interface}"
        if self.sources:
            text += f" from {', '.join(self.sources)}"
        if self.excluded:
            text += f" without {', '.join(self.excluded)}"
        return text

    def __repr__(self) -> str:
        return f"<Membership of {self}>"


@dataclass(frozen=True, repr=False)
class Interface:
    """An interface of this host, as it was when it was listed.

    ``index``: the kernel's, from 1; a device that is recreated under its name has another. ``name``:
    such as 'eth0'. ``alternative_names``: further ones by which it can be chosen. ``kind``: 'ethernet',
    'wifi', 'loopback', or the kernel's word, such as 'bridge', 'veth', 'vlan', 'wireguard'; 'other'
    where there is none. ``mtu``: the largest IP packet that it carries in one piece, in bytes. ``mac``:
    the hardware address as 'aa:bb:cc:dd:ee:ff', or None. ``addresses``: the local addresses, IPv4
    before IPv6. ``prefixes``: of each of them, how many bits are the network's.

    ``up``: it is switched on. ``running``: it can carry datagrams; it is up, and its cable, radio or
    peer is there. ``multicast``: it says that it can multicast. ``can_multicast``: groups can be joined
    on it and sent to by it; it is up, and says that it can or is the loopback interface, which can
    although it does not say so. ``loopback``: it leads back to this host. ``point_to_point``: there is
    one peer at its other end. ``broadcast``: it has a broadcast address. ``all_multicast``: it takes in
    all groups, joined or not. ``promiscuous``: it takes in everything.

    >>> lo = manycast.ifconfig()["lo"]
    >>> lo.up, lo.loopback, "127.0.0.1" in lo.addresses
    (True, True, True)
    """

    index: int
    name: str
    alternative_names: tuple[str, ...] = ()
    kind: str = "other"
    up: bool = False
    running: bool = False
    multicast: bool = False
    can_multicast: bool = False
    loopback: bool = False
    point_to_point: bool = False
    broadcast: bool = False
    all_multicast: bool = False
    promiscuous: bool = False
    mtu: int = 0
    mac: str | None = None
    addresses: tuple[str, ...] = ()
    prefixes: tuple[int, ...] = ()

    @property
    def networks(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The local addresses with their networks, as ``ipaddress.ip_interface`` makes them."""
        from ipaddress import ip_interface

        return tuple(map(ip_interface, map("{}/{}".format, self.addresses, self.prefixes)))

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Interface {self.index} {self.name} {state} {' '.join(self.addresses)}>"


@dataclass(frozen=True, repr=False)
class Finding:
    """Something that was found: what, how sure it is, why, and what mends it.

    ``code``: its stable name, which is that of its page, ``docs/doctor/CODE.md``. ``fault``: it keeps
    datagrams away; otherwise it is a warning. ``confidence``: 'proved', 'likely', 'possible' or 'cannot
    see'. ``title``: one sentence. ``evidence``: what it rests on, in sentences. ``remedy``: what mends
    it, or None; nothing of it was done. ``confirm``: where it is not proved, which command or privilege
    would confirm it, or None. ``host``: the far host that it is about; None for this one.

    >>> all(finding.title in str(finding) for finding in manycast.doctor().findings)
    True
    """

    code: str
    fault: bool
    confidence: str
    title: str
    evidence: tuple[str, ...] = ()
    remedy: str | None = None
    confirm: str | None = None
    host: str | None = None

    def __str__(self) -> str:
        text = f"{self.code} ({self.confidence}): {self.title}"
        return f"{text}; to mend it: {self.remedy}" if self.remedy else text

    def __repr__(self) -> str:
        return f"<Finding {self}>"


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of an examination. ``print(report)`` shows what the command ``manycast doctor`` does.

    ``subject``: what was examined, as text; an address, or this host. ``verdict``: the code of the
    first fault, or 'delivered'. ``healthy``: no fault was found; warnings are none. ``received``: how
    many datagrams came as they were asked for. ``findings``: what was found, the most important first.
    ``steps``: what a datagram passes on its way to the program, in this order, as (step, mark, detail);
    mark is 'passed', 'broken', 'unknown' or 'not-reached'. ``far_steps``: the same on the far host, where there is one.

    >>> report = manycast.doctor()
    >>> "this host" in str(report) and "verdict" in report.json()
    True
    >>> report.healthy == (report.verdict == "delivered")
    True
    """

    subject: str
    verdict: str
    healthy: bool
    received: int = 0
    findings: tuple[Finding, ...] = ()
    steps: tuple[tuple[str, str, str], ...] = ()
    far_steps: tuple[tuple[str, str, str], ...] = ()
    _screen: str = ""
    _json: str = "{}"

    def json(self) -> str:
        """All of it as one JSON object, that of ``manycast doctor --json`` (docs/json.md)."""
        return self._json

    def __str__(self) -> str:
        return self._screen or f"{self.subject}: {self.verdict}"

    def __repr__(self) -> str:
        return f"<Report on {self.subject}: {self.verdict}, {len(self.findings)} findings>"


for _class in (Answer, Dropped, Finding, Interface, Membership, Report):
    _class.__module__ = "manycast"
del _class
