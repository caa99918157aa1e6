"""Finding and announcing services on the event loop."""

from __future__ import annotations

import asyncio

from .. import discovery as _blocking
from ..discovery import AnnounceEvent, BrowseEvent, BrowseStats, Device
from .background import Background
from .driver import Driver
from .readiness import checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..types import InterfacesLike

__all__ = ["Announcer", "announce", "browse", "discover"]


def browse(
    what: str | Iterable[str] | None = None,
    *,
    timeout: float | None = None,
    protocol: str | Iterable[str] | None = None,
    interface: InterfacesLike | None = None,
) -> Driver[BrowseEvent, BrowseStats]:
    """Looks for services on the link, as manycast.browse does, which explains the arguments.

        async for event in aio.browse("printer"):
            print(type(event).__name__, event.service)

    >>> asyncio.run(aio.browse("printer", interface="lo", timeout=0.1).run()).devices
    ()
    """
    return Driver(
        _blocking.browse(what, timeout=timeout, protocol=protocol, interface=interface)
    )


async def discover(
    what: str | Iterable[str] | None = None,
    *,
    timeout: float = 3.0,
    protocol: str | Iterable[str] | None = None,
    interface: InterfacesLike | None = None,
) -> list[Device]:
    """Looks for ``timeout`` seconds, and returns a list of the devices, as manycast.discover does.

    >>> asyncio.run(aio.discover("printer", interface="lo", timeout=0.1))
    []
    """
    browsing = browse(what, timeout=timeout, protocol=protocol, interface=interface)
    return list((await browsing.run()).devices)


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
    """Announces a service until the end of the async with statement, as manycast.announce does, which
    explains the arguments.

    >>> async def main():
    ...     async with aio.announce("Cam", "wsdp:Device", 80, interface="lo") as announcer:
    ...         return (await announcer.next_event(timeout=10)).interface
    >>> asyncio.run(main())
    'lo'
    """
    return Announcer(
        _blocking.announce(
            name,
            kind,
            port,
            attributes=attributes,
            protocol=protocol,
            interface=interface,
            uuid=uuid,
            path=path,
        )
    )


class Announcer(Background[_blocking.Announcer, AnnounceEvent]):
    """What ``aio.announce`` returns, as manycast.discovery.Announcer; iterate with ``async for``.

    >>> async def main():
    ...     async with aio.announce("Cam", "wsdp:Device", 80, interface="lo") as announcer:
    ...         async for event in announcer:
    ...             return event.protocol
    >>> asyncio.run(main())
    'ws-discovery'
    """

    def _take(self) -> AnnounceEvent | None:
        return self._running.try_next_event()

    async def next_event(self, *, timeout: float | None = None) -> AnnounceEvent | None:
        """Waits for what happens next, and returns it; None: it was closed.

        TimedOut: nothing happened in time.
        """
        deadline = None
        if timeout is not None:
            deadline = asyncio.get_running_loop().time() + checked(timeout)
        return await self._next(deadline)

    async def close(self) -> None:
        """Says goodbye, which takes some tenths of a second, and ends it. Repeating it is harmless."""
        # A thread waits, so that the loop need not; what was begun is done, also where this is cancelled.
        await asyncio.get_running_loop().run_in_executor(None, self._running.close)
        self._fail()

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()
