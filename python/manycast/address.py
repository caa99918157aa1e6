"""The address and port of a datagram, as Python's sockets know it and with names."""


class SocketAddress(tuple):
    """A host in numbers and its port: a plain ``(host, port)`` with names.

    It goes wherever ``socket.sendto`` and its kin take an address. ``host`` of a link-local IPv6
    address ends in its zone, as in ``fe80::1%eth0``; ``port`` is from 0 to 65,535.

    >>> source = SocketAddress("192.0.2.7", 5005)
    >>> source == ("192.0.2.7", 5005), source.host, source.port, str(source)
    (True, '192.0.2.7', 5005, '192.0.2.7:5005')
    """

    __slots__ = ()

    def __new__(cls, host, port):
        return tuple.__new__(cls, (host, port))

    @property
    def host(self):
        """The address in numbers, with its zone if it has one."""
        return self[0]

    @property
    def port(self):
        """The port, from 0 to 65,535."""
        return self[1]

    def __str__(self):
        host, port = self
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self):
        return f"SocketAddress({self[0]!r}, {self[1]})"

    def __getnewargs__(self):
        return tuple(self)


SocketAddress.__module__ = "manycast"
