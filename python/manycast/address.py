"""The address and port of a datagram, as Python's sockets know it and with names."""


from __future__ import annotations


class SocketAddress(tuple[str, int]):
    """A host in numbers and its port: a plain ``(host, port)`` with names.

    It goes wherever ``socket.sendto`` and its kin take an address. ``host`` of a link-local IPv6
    address ends in its zone, as in ``fe80::1%eth0``; ``port`` is from 0 to 65,535.

    >>> source = SocketAddress("192.0.2.7", 5005)
    >>> source == ("192.0.2.7", 5005), source.host, source.port, str(source)
    (True, '192.0.2.7', 5005, '192.0.2.7:5005')
    """

    __slots__ = ()

    def __new__(cls, host: str, port: int) -> SocketAddress:
        return tuple.__new__(cls, (host, port))

    @property
    def host(self) -> str:
        """The address in numbers, with its zone if it has one."""
        return self[0]

    @property
    def port(self) -> int:
        """The port, from 0 to 65,535."""
        return self[1]

    def __str__(self) -> str:
        host, port = self
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        return f"SocketAddress({self[0]!r}, {self[1]})"

    def __getnewargs__(self) -> tuple[str, int]:
        return self[0], self[1]


SocketAddress.__module__ = "manycast"
