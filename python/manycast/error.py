"""What can go wrong. Each message says what happened, on what, why, and what to do next.

Everything is an ``Error``. What the kernel refused is also an ``OSError`` with its ``errno``, and of
the built-in subclass that fits, so code that catches ``ConnectionRefusedError``, ``PermissionError``
or ``TimeoutError`` works as it is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._manycast import Datagram

__all__ = [
    "AddressError",
    "ClosedError",
    "ConnectionRefused",
    "Error",
    "PermissionDenied",
    "SocketError",
    "TimedOut",
    "TruncatedError",
]


class Error(Exception):
    """The base of all errors of this package."""


class AddressError(Error, ValueError):
    """A text is no address, or is one that does not fit; the message says what is wrong and where."""


class ClosedError(Error, ValueError):
    """It was closed, before it was used or while it waited."""


class TruncatedError(Error):
    """A datagram is longer than the limit that was given. ``datagram`` is the whole of it."""

    def __init__(self, message: str, datagram: Datagram) -> None:
        super().__init__(message, datagram)
        self.datagram = datagram

    def __str__(self) -> str:
        return str(self.args[0])


# OSError comes first among the bases, because it is its initialiser that reads the errno.
class SocketError(OSError, Error):
    """The kernel refused something. ``errno`` is its number; None where a name was not resolved."""

    def __str__(self) -> str:
        return str(self.args[1]) if len(self.args) > 1 else super().__str__()


class ConnectionRefused(ConnectionRefusedError, SocketError):
    """Nobody listens on the port of the peer. The socket goes on working."""


class PermissionDenied(PermissionError, SocketError):
    """A privilege is missing, or a firewall of this host forbids it."""


class TimedOut(TimeoutError, SocketError):
    """Nothing came in time."""


for _class in list(globals().values()):
    if isinstance(_class, type) and issubclass(_class, Error):
        _class.__module__ = "manycast"
del _class
