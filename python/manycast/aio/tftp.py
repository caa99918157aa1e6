"""``manycast.tftp`` for asyncio: ``get`` and ``put`` are coroutines, a Server is iterated with ``async for``.

    report = await aio.tftp.get("10.0.0.1/boot.bin", "boot.bin")

Threads transfer, so that no disk holds up the loop; one that is cancelled ends its transfer.
"""

from __future__ import annotations

from .. import tftp as _blocking
from .._manycast import begin_tftp_get, begin_tftp_put
from ..error import ClosedError
from ..tftp import Report, Transfer
from .aside import awaited
from .readiness import Readiness, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

    from ..address import SocketAddress

__all__ = ["Report", "Server", "Transfer", "get", "put"]


get = awaited(_blocking.get, begin_tftp_get)
put = awaited(_blocking.put, begin_tftp_put)


class Server:
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
        self._server = _blocking.Server(*args, **kwargs)
        self._readiness = Readiness(self._server.fileno())

    @property
    def local_addresses(self) -> list[SocketAddress]:
        """The addresses that it listens on, with their ports."""
        return self._server.local_addresses

    @property
    def closed(self) -> bool:
        """Whether it serves no longer."""
        return self._server.closed

    async def next_transfer(self) -> Transfer | None:
        """Waits for the next transfer that ends, and returns it; None: the server was closed."""
        await turn()
        while True:
            transfer = self._server.try_next_transfer()
            if transfer is not None or self._server.closed:
                return transfer
            await self._readiness.wait()

    def close(self) -> None:
        """Ends it, and tells those who have transfers. Repeating it is harmless."""
        self._readiness.unwatch()
        self._server.close()
        self._readiness.fail(ClosedError("the Server is closed; open another"))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Transfer:
        try:
            transfer = await self.next_transfer()
        except ClosedError:
            transfer = None
        if transfer is None:
            raise StopAsyncIteration
        return transfer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._server)
