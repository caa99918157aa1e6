"""asyncio and Twisted: `events.py asyncio|twisted send|receive ADDRESS PORT INTERFACE SIZE SECONDS`.

Twisted's reactor and asyncio's loop both call back for each datagram; sending goes in turns of 64.
"""

import json
import os
import socket
import sys
import threading
import time

library, role, address, port, interface, size, seconds = sys.argv[1:]
to = (address, int(port))
group = 224 <= int(address.split(".")[0]) <= 239
payload = bytes(int(size))
count = 0
begin = time.monotonic()
ready = time.process_time()
first = last = 0


def make_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    if role == "send":
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        sock.bind(("", 0))
        return sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(to)
    if group:
        membership = socket.inet_aton(address) + socket.inet_aton(interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return sock


def tell():
    seconds = time.monotonic() - begin if role == "send" else last - first
    result = {"datagrams": count, "seconds": seconds, "cpu": time.process_time() - ready}
    print(json.dumps(result), flush=True)


def came():
    global count, first, last
    count += 1
    # To take the time of each would cost it a part of its own.
    if count & 63 == 1:
        last = time.monotonic()
        first = first or last


def end_with_standard_input():
    sys.stdin.read()
    tell()
    os._exit(0)


def get_ready():
    global begin, ready
    begin, ready = time.monotonic(), time.process_time()
    if role == "receive":
        threading.Thread(target=end_with_standard_input, daemon=True).start()
        print("ready", flush=True)


def with_asyncio():
    import asyncio

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data, source):
            came()

    async def main():
        global count
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Protocol, sock=make_socket())
        get_ready()
        while role == "receive":
            await asyncio.sleep(3600)
        while time.monotonic() < begin + float(seconds):
            for _ in range(64):
                transport.sendto(payload, to)
                count += transport.get_write_buffer_size() == 0
            while transport.get_write_buffer_size() > 0:
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(main())
    tell()


def with_twisted():
    from twisted.internet import protocol, reactor

    class Protocol(protocol.DatagramProtocol):
        def datagramReceived(self, data, source):
            came()

        def burst(self):
            global count
            if time.monotonic() >= begin + float(seconds):
                reactor.stop()
                return
            for _ in range(64):
                self.transport.write(payload, to)
                count += 1
            reactor.callLater(0, self.burst)

    counter = Protocol()
    reactor.adoptDatagramPort(make_socket().detach(), socket.AF_INET, counter)
    get_ready()
    if role == "send":
        reactor.callLater(0, counter.burst)
    reactor.run()
    tell()


with_asyncio() if library == "asyncio" else with_twisted()
