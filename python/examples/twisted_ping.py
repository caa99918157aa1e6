"""The multicast ping of Twisted's howto, on Twisted's own reactor: a server in a group, and a client
that asks the group and is answered by the server's own address.

The original calls listenMulticast and joinGroup, which takes the interface that the route picks; the
socket of manycast is joined on all of them, or on the one that is named: twisted_ping.py [INTERFACE]
"""

from __future__ import annotations

import socket
import sys
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.protocol import DatagramProtocol

import manycast

GROUP, PORT = "239.192.0.250", 8005
# Twisted's types do not say what a reactor can do.
reactor = cast(Any, installed)
INTERFACE = sys.argv[1] if len(sys.argv) > 1 else None


class MulticastPingServer(DatagramProtocol):
    transport: Any

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        print("Server received:", datagram.decode())
        if datagram == b"Client: Ping":
            self.transport.write(b"Server: Pong", addr)


class MulticastPingClient(DatagramProtocol):
    transport: Any

    def startProtocol(self) -> None:
        if INTERFACE:
            self.transport.setOutgoingInterface(manycast.ifconfig()[INTERFACE].addresses[0])
        self.transport.write(b"Client: Ping", (GROUP, PORT))

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        print("Client received:", datagram.decode())
        reactor.stop()


with manycast.socket(GROUP, PORT, interface=INTERFACE) as joined:
    joined.setblocking(False)
    reactor.adoptDatagramPort(joined.fileno(), socket.AF_INET, MulticastPingServer())
reactor.listenMulticast(0, MulticastPingClient())
reactor.run()
