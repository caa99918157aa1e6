"""What can go wrong. Each message says what happened, on what, why, and what to do next.

Whatever fails is an ``Error``; an argument that cannot be is a ``ValueError`` or a ``TypeError``. What the kernel refused is also an ``OSError`` with its ``errno``, and of
the built-in subclass that fits, so code that catches ``ConnectionRefusedError``, ``PermissionError``
or ``TimeoutError`` works as it is.
"""

from __future__ import annotations

import sys
from _socket import gaierror as _gaierror

if sys.version_info < (3, 11):
    # Since then it is the built-in TimeoutError.
    from asyncio.exceptions import TimeoutError as _TimeoutOfAsyncio

    class _Late(TimeoutError, _TimeoutOfAsyncio):
        pass

else:
    _Late = TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._manycast import Datagram

__all__ = [
    "AddressError",
    "ClosedError",
    "ConnectionRefused",
    "Error",
    "FileError",
    "PermissionDenied",
    "ResolveError",
    "SocketError",
    "TimedOut",
    "TransferError",
    "TruncatedError",
]


class Error(Exception):
    """The base of all errors of this package.

    >>> try:
    ...     manycast.send("Hello, world!", "239.192.0.100%nowhere0:5000")
    ... except manycast.Error as error:
    ...     print(error)    # doctest: +ELLIPSIS
    cannot find interface nowhere0: there is no such interface; ...

    All of them can be pickled, copied and matched: ``case manycast.Error(message)``, and those of
    sockets ``case manycast.SocketError(errno.EADDRINUSE, message)``.
    """

    __match_args__: tuple[str, ...] = ("message",)

    @property
    def message(self) -> str:
        """What happened, on what, why, and what to do next."""
        return str(self)


class AddressError(Error, ValueError):
    """A text is no address, or is one that does not fit; the message says what is wrong and where.

    >>> manycast.Address("239.192.0.100:70000")    # doctest: +ELLIPSIS
    Traceback (most recent call last):
    manycast.AddressError: ...
    """


class ClosedError(Error, ValueError):
    """It was closed, before it was used or while it waited.

    >>> listener = manycast.listen("239.192.0.100%lo:5000")
    >>> listener.close()
    >>> listener.recv()
    Traceback (most recent call last):
    manycast.ClosedError: the Listener is closed; open another
    """


class TruncatedError(Error):
    """A datagram is longer than the limit that was given. ``datagram`` is the whole of it.

    >>> with manycast.MulticastListener("239.192.0.100%lo:5000", timeout=5) as listener:
    ...     sent = manycast.send("Hello, world!", "239.192.0.100%lo:5000")
    ...     try:
    ...         listener.recv(5)
    ...     except manycast.TruncatedError as error:
    ...         print(error.datagram.payload)
    b'Hello, world!'
    """

    __match_args__ = ("message", "datagram")

    def __init__(self, message: str, datagram: Datagram) -> None:
        super().__init__(message, datagram)
        self.datagram = datagram

    def __str__(self) -> str:
        return str(self.args[0])


# OSError comes first among the bases, because it is its initialiser that reads the errno.
class SocketError(OSError, Error):
    """The kernel refused something. ``errno`` is its number.

    >>> import errno
    >>> with manycast.Socket("127.0.0.1:0") as first:
    ...     try:
    ...         manycast.Socket(first.local_address)
    ...     except manycast.SocketError as error:
    ...         error.errno == errno.EADDRINUSE
    True
    """

    __match_args__ = ("errno", "message")

    def __str__(self) -> str:
        return str(self.args[1]) if len(self.args) > 1 else super().__str__()


class FileError(SocketError):
    """A file of this host cannot be read or written. ``errno`` is the kernel's number.

    >>> try:
    ...     manycast.tftp.get("127.0.0.1:6969/boot.bin", "/nowhere/boot.bin")
    ... except OSError as error:
    ...     print(error)    # doctest: +ELLIPSIS
    cannot write /nowhere/boot.bin: No such file or directory (os error 2); ...
    """


class TransferError(Error):
    """The other end refused or ended a transfer. ``code`` is the number that it gave for the reason, as
    RFC 1350 has them, or None.

    >>> with manycast.tftp.Server(".", "127.0.0.1:0") as server:
    ...     try:
    ...         manycast.tftp.get(f"{server.local_addresses[0]}/no-such-file", "never")
    ...     except manycast.TransferError as error:
    ...         print(error.code, error)    # doctest: +ELLIPSIS
    1 cannot get no-such-file from 127.0.0.1:...: the other end says: file not found (error 1)
    """

    __match_args__ = ("message", "code")

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class ResolveError(_gaierror, SocketError):
    """A name was not resolved. It is ``socket.gaierror`` too.

    ``errno`` says which it was: ``socket.EAI_NONAME``, there is no such name, or
    ``socket.EAI_AGAIN``, no name server answered, and the same may succeed later; None where it is
    not known.

    >>> try:
    ...     manycast.resolve("no-such-host.invalid:5000")
    ... except manycast.ResolveError as error:
    ...     print(error)    # doctest: +ELLIPSIS
    cannot resolve no-such-host.invalid: no ...
    """


class ConnectionRefused(ConnectionRefusedError, SocketError):
    """Nobody listens on the port of the peer. The socket goes on working.

    >>> with manycast.Socket.connect("127.0.0.1:9", timeout=5) as socket:
    ...     socket.send("anybody?")
    ...     try:
    ...         socket.recv()
    ...     except ConnectionRefusedError as error:
    ...         print(error)    # doctest: +ELLIPSIS
    nobody listens on 127.0.0.1:9...
    """


class PermissionDenied(PermissionError, SocketError):
    """A privilege is missing, or a firewall of this host forbids it.

    >>> with manycast.Socket() as socket:
    ...     try:
    ...         socket.send_to("hello", "127.255.255.255:9")
    ...     except PermissionError as error:
    ...         print(error)    # doctest: +ELLIPSIS
    cannot send to 127.255.255.255:9: it is a broadcast address, ...
    """


class TimedOut(_Late, SocketError):
    """Nothing came in time. It is asyncio.TimeoutError too.

    >>> with manycast.listen("239.192.0.100%lo:5000") as listener:
    ...     try:
    ...         listener.recv(timeout=0.1)
    ...     except TimeoutError as error:
    ...         print(error)    # doctest: +ELLIPSIS
    nothing came on 239.192.0.100:5000 within 0.1 s; ...
    """


for _class in list(globals().values()):
    if isinstance(_class, type) and issubclass(_class, Error):
        _class.__module__ = "manycast"
del _class
