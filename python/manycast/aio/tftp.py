"""``manycast.tftp`` for asyncio: ``get`` and ``put`` are coroutines, a Server is iterated with ``async for``.

    report = await aio.tftp.get("10.0.0.1/boot.bin", "boot.bin")

Threads transfer, so that no disk holds up the loop; one that is cancelled ends its transfer.
"""

from __future__ import annotations

from .. import tftp as _blocking
from .._manycast import begin_tftp_get, begin_tftp_put
from ..tftp import Report, Transfer
from .aside import awaited
from .background import Background

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..address import SocketAddress

__all__ = ["Report", "Server", "Transfer", "get", "put"]


get = awaited(_blocking.get, begin_tftp_get)
put = awaited(_blocking.put, begin_tftp_put)


class Server(Background[_blocking.Server, Transfer]):
    """Serves the files of a folder, as manycast.tftp.Server does, whose arguments it has.

    >>> async def main():
    ...     async with aio.tftp.Server(".", "127.0.0.1:0") as server:
    ...         await aio.tftp.get(f"{server.local_addresses[0]}/conftest.py", io.BytesIO())
    ...         async for transfer in server:
    ...             return transfer.name
    >>> asyncio.run(main())
    'conftest.py'
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(_blocking.Server(*args, **kwargs))

    @property
    def local_addresses(self) -> list[SocketAddress]:
        """The addresses that it listens on, with their ports."""
        return self._running.local_addresses

    def _take(self) -> Transfer | None:
        return self._running.try_next_transfer()

    async def next_transfer(self) -> Transfer | None:
        """Waits for the next transfer that ends, and returns it; None: the server was closed."""
        return await self._next()

    def close(self) -> None:
        """Ends it, and tells those who have transfers. Repeating it is harmless."""
        self._readiness.unwatch()
        self._running.close()
        self._fail()

    async def __aexit__(self, *exception: object) -> None:
        self.close()
