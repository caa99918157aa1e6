"""A plain socket in the place of a manycast.Socket, for a transport over a socket that was given."""

from __future__ import annotations

import socket as standard

from ..error import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Plain"]


class _Came:
    """A datagram with what a transport needs of it."""

    __slots__ = ("payload", "source")

    def __init__(self, payload: bytes, source: Any) -> None:
        self.payload = payload
        self.source = source


class Plain:
    """What a transport calls of a manycast.Socket, on a plain one. Addresses are as the socket has them.

    Groups and options are set on the plain socket itself, by whoever made it.
    """

    # The longest datagram.
    _LONGEST = 65_535

    def __init__(self, socket: standard.socket) -> None:
        socket.setblocking(False)
        self.plain = socket
        # An error that came behind datagrams, until the next call.
        self.failure: OSError | None = None

    @property
    def local_address(self) -> Any:
        return self.plain.getsockname()

    @property
    def peer_address(self) -> Any:
        try:
            return self.plain.getpeername()
        except OSError:
            return None

    def try_recv_many(self, limit: int) -> list[_Came]:
        """What is there; an error that comes behind datagrams is raised by the next call."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        came: list[_Came] = []
        while len(came) < limit:
            try:
                came.append(_Came(*self.plain.recvfrom(self._LONGEST)))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as failure:
                if not came:
                    raise
                self.failure = failure
                break
        return came

    def try_send(self, payload: Any, to: Any) -> bool:
        """Says whether the send buffer had room."""
        if isinstance(payload, str):
            payload = payload.encode()
        try:
            if to is None or self.peer_address is not None:
                self.plain.send(payload)
            else:
                self.plain.sendto(payload, to)
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def sending_fileno(self, _to: Any = None) -> int:
        return self.plain.fileno()

    def fileno(self) -> int:
        return self.plain.fileno()

    def close(self) -> None:
        self.plain.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise Error(
            f"a socket that was given as sock= has no {name}; set its options yourself, or give "
            "an address, and the endpoint opens a socket that knows groups"
        )

    def __repr__(self) -> str:
        return f"{self.plain!r}"
