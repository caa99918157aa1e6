"""A server on the standard socketserver that is right for UDP and groups: one socket, bounded workers.

    import socketserver
    from manycast.server import MulticastServer

    class Echo(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            sock.sendto(b"OK..." + data, self.client_address)

    with MulticastServer("239.192.0.100:5000", Echo) as server:
        server.serve_forever()
"""

from __future__ import annotations

import socketserver
import threading
import traceback
from queue import SimpleQueue

import manycast

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from .types import AddressLike

__all__ = ["MulticastServer", "PoolMixIn"]


class PoolMixIn:
    """Handles each request of a socketserver in one of ``max_workers`` threads.

    When all are busy, the server waits until one is free: what comes meanwhile stays in the kernel's
    receive buffer. Closing the server waits for the requests that are being handled.

    >>> class Server(PoolMixIn, socketserver.UDPServer):
    ...     max_workers = 2
    >>> with Server(("127.0.0.1", 0), socketserver.DatagramRequestHandler) as server:
    ...     server.max_workers
    2
    """

    max_workers = 8

    _workers: tuple[threading.Thread, ...] = ()
    _requests: SimpleQueue[tuple[Any, Any] | None]
    _free: threading.Semaphore

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hands a request to a worker, as soon as one is free."""
        if not self._workers:
            self._start()
        self._free.acquire()
        self._requests.put((request, client_address))

    def _start(self) -> None:
        self._requests = SimpleQueue()
        self._free = threading.Semaphore(self.max_workers)
        # Daemons, so that a server that nobody closed does not keep the program alive.
        self._workers = tuple(
            threading.Thread(target=self._work, name=f"manycast-server-{number}", daemon=True)
            for number in range(self.max_workers)
        )
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        while True:
            request = self._requests.get()
            if request is None:
                break
            try:
                self._serve(*request)
            except BaseException:
                # Whatever fails, and be it the handling of an error, takes no worker with it.
                traceback.print_exc()
            finally:
                self._free.release()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)  # type: ignore[attr-defined]
        except BaseException:
            self.handle_error(request, client_address)  # type: ignore[attr-defined]
        finally:
            self.shutdown_request(request)  # type: ignore[attr-defined]

    def server_close(self) -> None:
        """Waits for the workers, then closes the socket."""
        for _ in self._workers:
            self._requests.put(None)
        for worker in self._workers:
            worker.join()
        self._workers = ()
        super().server_close()  # type: ignore[misc]


class MulticastServer(PoolMixIn, socketserver.UDPServer):
    """Serves the datagrams that come to a group or to a local address.

    The socket is that of ``manycast.socket``: joined on every interface that can multicast unless
    one is named, isolated from other groups, and the only one that is opened. A request is
    ``(data, sock)``, as with socketserver.UDPServer; any size arrives whole. Handlers answer with
    ``sock.sendto(payload, self.client_address)``.

    >>> with MulticastServer("239.192.0.100%lo:5000", socketserver.DatagramRequestHandler) as server:
    ...     server.server_address
    ('239.192.0.100', 5000)

    Raises what manycast.socket raises.
    """

    max_packet_size = 65_535

    def __init__(
        self,
        address: AddressLike,
        handler: Callable[[Any, Any, Any], socketserver.BaseRequestHandler],
        *,
        interface: str | int | None = None,
        sources: str | list[str] | None = None,
    ) -> None:
        # Not that of UDPServer, which would open and bind a socket of its own.
        socketserver.BaseServer.__init__(self, ("", 0), handler)
        self.socket: socket.socket = manycast.socket(
            address, interface=interface, sources=sources
        )
        self.address_family = self.socket.family
        self.server_address = self.socket.getsockname()
