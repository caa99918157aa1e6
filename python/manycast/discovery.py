"""What is on the link, by DNS-SD, SSDP and WS-Discovery: devices, and the services that they offer.

    import manycast

    for device in manycast.discover("printer"):
        print(device.name, *device.addresses)

    for event in manycast.browse("_http._tcp"):                                    # until it is closed
        print(type(event).__name__, event.service)

    with manycast.announce("My web", "_http._tcp", 8080):
        server.serve_forever()

``aio`` has the same for asyncio. Whoever is on the link can say anything: nothing of what is found is
proved. Texts are what the device has sent, and may hold characters that a terminal obeys; ``str()`` and
``repr()`` of the values here escape them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Union

from ._manycast import Announcer, announce, browse
from .address import SocketAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .types import InterfacesLike

__all__ = [
    "AnnounceEvent",
    "Announced",
    "Announcer",
    "Asked",
    "Attribute",
    "BrowseEvent",
    "BrowseStats",
    "Changed",
    "Device",
    "Found",
    "Gone",
    "Renamed",
    "Service",
    "ServiceAddress",
    "Warned",
    "announce",
    "browse",
    "discover",
]


@dataclass(frozen=True)
class ServiceAddress:
    """An address of a service, and the interface of this host that leads to it.

    ``ip``: as text, with the zone where it needs one. ``interface``: the name of the interface.

    >>> print(manycast.discovery.ServiceAddress("fe80::1%eth0", "eth0"))
    fe80::1%eth0
    """

    ip: str
    interface: str

    def __str__(self) -> str:
        return self.ip


@dataclass(frozen=True)
class Attribute:
    """A part of what a service says of itself.

    ``name``: its name. ``value``: bytes, mostly UTF-8; None where it is there without one (RFC 6763 §6.4).

    >>> manycast.discovery.Attribute("path", b"/index.html").text
    '/index.html'
    """

    name: str
    value: bytes | None = None

    @property
    def text(self) -> str:
        """The value as text: what is not UTF-8 is replaced; empty where there is no value."""
        return (self.value or b"").decode(errors="replace")


@dataclass(frozen=True)
class Service:
    """Something that a device offers, as one protocol tells of it.

    ``name``: for people; empty where nothing is said. ``kind``: "_http._tcp",
    "urn:schemas-upnp-org:device:MediaServer:1", or types as "{NAMESPACE}NAME" with a space between them.
    ``protocol``: "dns-sd", "ssdp" or "ws-discovery". ``id``: what it is known by there; one service has
    the same in each event. ``addresses``: where it can be reached, those heard last first. ``port``: None
    where it is not known. ``attributes``: what else it says: the TXT record of DNS-SD; of SSDP the
    headers LOCATION, SECURELOCATION and SERVER; of WS-Discovery each of XADDRS, and each SCOPE. ``host``:
    the name of its host, which DNS-SD tells. ``uuid``: that of its device. ``heard``: when it was heard
    last, in seconds since 1970, as ``time.time()``; services are compared without it. ``lifetime``: for
    how many seconds that holds, where the protocol tells.

    >>> place = manycast.discovery.ServiceAddress("10.0.0.5", "eth0")
    >>> path = manycast.discovery.Attribute("path", b"/index.html")
    >>> service = manycast.discovery.Service("My web", "_http._tcp", addresses=(place,), port=80, attributes=(path,))
    >>> service.attribute("path"), service.socket_addresses
    ('/index.html', (SocketAddress('10.0.0.5', 80),))
    >>> print(service)
    _http._tcp My web at 10.0.0.5:80 (dns-sd)
    """

    name: str
    kind: str
    protocol: str = "dns-sd"
    id: str = ""
    addresses: tuple[ServiceAddress, ...] = ()
    port: int | None = None
    attributes: tuple[Attribute, ...] = ()
    host: str | None = None
    uuid: str | None = None
    heard: float = field(default=0.0, compare=False)
    lifetime: float | None = None

    @property
    def age(self) -> float:
        """How many seconds ago it was heard last."""
        return max(0.0, time.time() - self.heard)

    @property
    def socket_addresses(self) -> tuple[SocketAddress, ...]:
        """Each address with the port, as sockets take them; none where the port is not known."""
        if self.port is None:
            return ()
        return tuple(SocketAddress(address.ip, self.port) for address in self.addresses)

    def attribute(self, name: str) -> str | None:
        """The text of the first attribute of this name, upper or lower case; None where there is none."""
        for attribute in self.attributes:
            if attribute.name.lower() == name.lower():
                return attribute.text
        return None

    def __str__(self) -> str:
        places = self.socket_addresses or self.addresses
        at = f" at {', '.join(map(str, places))}" if places else ""
        name = f" {_escaped(self.name)}" if self.name else ""
        return f"{_escaped(self.kind)}{name}{at} ({self.protocol})"


@dataclass(frozen=True)
class Device:
    """A device, and all that the protocols tell of it.

    Services are of one device where they have a UUID, a host name, or an address on an interface in
    common. ``name``: that of its host, else of its first service that has one, else its address.
    ``addresses``: where it was heard. ``services``: what it offers. ``protocols``: those that tell of it.
    ``uuids``: those that it has; a host with several programs has several.

    >>> service = manycast.discovery.Service("Office", "_ipp._tcp", port=631)
    >>> place = manycast.discovery.ServiceAddress("10.0.0.5", "eth0")
    >>> print(manycast.discovery.Device("printer", (place,), (service,), ("dns-sd",)))
    printer at 10.0.0.5: _ipp._tcp
    """

    name: str
    addresses: tuple[ServiceAddress, ...] = ()
    services: tuple[Service, ...] = ()
    protocols: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()

    def __str__(self) -> str:
        at = f" at {', '.join(map(str, self.addresses))}" if self.addresses else ""
        kinds = dict.fromkeys(_escaped(service.kind) for service in self.services)
        return f"{_escaped(self.name)}{at}: {', '.join(kinds)}"


@dataclass(frozen=True)
class Found:
    """There is a ``service`` that was not known.

    >>> manycast.discovery.Found(manycast.discovery.Service("My web", "_http._tcp")).service.name
    'My web'
    """

    service: Service


@dataclass(frozen=True)
class Changed:
    """A ``service`` has changed, and is so now.

    ``change``: "addresses", with those ``added`` and ``removed``; "restarted", the device has started anew
    without a goodbye; or "attributes", its port, its name or its attributes.

    >>> service = manycast.discovery.Service("My web", "_http._tcp")
    >>> manycast.discovery.Changed(service, "restarted").added
    ()
    """

    service: Service
    change: str
    added: tuple[ServiceAddress, ...] = ()
    removed: tuple[ServiceAddress, ...] = ()


@dataclass(frozen=True)
class Gone:
    """A ``service`` is gone, and was so when it was last known.

    ``reason``: "goodbye", the device said so; "expired", it was not heard for as long as it had said;
    "interface", that by which it was heard is gone; or "goodbye-or-expired", by DNS-SD.

    >>> manycast.discovery.Gone(manycast.discovery.Service("My web", "_http._tcp"), "goodbye").reason
    'goodbye'
    """

    service: Service
    reason: str


@dataclass(frozen=True)
class BrowseStats:
    """What was found until now.

    ``devices``: those that are there. ``malformed``: datagrams that were not understood; of DNS-SD it is
    not known. ``overflowed``: services and addresses that were left out, since there were too many.
    ``warnings``: what could not be done, who sent what was not understood, and who differs from the
    standard: sentences, each once, the first 64.

    >>> manycast.browse("printer", interface="lo", timeout=0.1).run().warnings
    ()
    """

    devices: tuple[Device, ...] = ()
    malformed: int = 0
    overflowed: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Announced:
    """It was announced, or was again, as SSDP does each some minutes.

    ``protocol``: by which. ``id``: as what: the full name, "uuid:…" or "urn:uuid:…". ``interface``: on
    which, or None where the protocol does not tell.

    >>> manycast.discovery.Announced("dns-sd", "My web._http._tcp.local.").interface is None
    True
    """

    protocol: str
    id: str
    interface: str | None = None


@dataclass(frozen=True)
class Renamed:
    """Another host has the name ``wanted`` already, so it has the name ``given`` now (RFC 6762 §9).

    >>> manycast.discovery.Renamed("My web._http._tcp.local.", "My web (2)._http._tcp.local.").given
    'My web (2)._http._tcp.local.'
    """

    wanted: str
    given: str


@dataclass(frozen=True)
class Asked:
    """Somebody looks for it, and is answered. ``source``: who. ``what``: for what.

    >>> print(manycast.discovery.Asked("ssdp", manycast.SocketAddress("10.0.0.5", 40000), "ssdp:all").source)
    10.0.0.5:40000
    """

    protocol: str
    source: SocketAddress
    what: str


@dataclass(frozen=True)
class Warned:
    """Something could not be done, or was not understood; the rest goes on. ``message`` says what and why.

    >>> manycast.discovery.Warned("cannot join 239.255.255.250 on eth0: …").message
    'cannot join 239.255.255.250 on eth0: …'
    """

    message: str


# What ``browse`` tells, and an Announcer.
BrowseEvent = Union[Found, Changed, Gone]
AnnounceEvent = Union[Announced, Renamed, Asked, Warned]


def discover(
    what: str | Iterable[str] | None = None,
    *,
    timeout: float = 3.0,
    protocol: str | Iterable[str] | None = None,
    interface: InterfacesLike | None = None,
) -> list[Device]:
    """Looks for ``timeout`` seconds for what is on the link, and returns a list of the devices that are there.

    ``what`` is a type of DNS-SD ("_http._tcp"), a search target of SSDP ("upnp:rootdevice"), a type of
    WS-Discovery ("dn:NetworkVideoTransmitter"), or a word: "camera", "files", "media-server", "printer",
    "router", "scanner", "speaker", "web". It may be several; None is everything. ``protocol`` is one or
    several of "dns-sd", "ssdp" and "ws-discovery", ``interface`` one or several, by default all.

        for device in manycast.discover("printer"):
            for service in device.services:
                print(device.name, service.name, *service.socket_addresses)

    >>> manycast.discover("printer", interface="lo", timeout=0.1)
    []

    Nothing found is an empty list; ``browse(...).run().warnings`` says what could not be done. Raises what
    ``browse`` raises, which tells of services as they come and go.
    """
    browsing = browse(what, timeout=timeout, protocol=protocol, interface=interface)
    return list(browsing.run().devices)


def _escaped(text: str) -> str:
    """A text that another host chose, on one line and without what drives a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
