"""How fast datagrams are received in Python, side by side with what Python has.

    python benches/receive.py [SECONDS]

Each receiver in turn finds its socket's buffer full of datagrams of 1316 bytes, as a burst leaves it,
and takes them; only the taking is timed, since sender and receiver would otherwise share the cores
and the slower of the two would be measured. Every payload is looked at. A round is some bursts for
each receiver in turn, and the median of all bursts counts. No receiver ever waits, so time is that
of the processor: what else the machine does takes no part. The rates are of this machine at this moment: the
ratios are what matters.
"""

import asyncio
import statistics
import socket
import sys
import time

import manycast
from manycast import aio

try:
    import uvloop
except ImportError:
    uvloop = None

SIZE = 1316
BURST = 2000
BURSTS = 20
PAYLOADS = [bytes(SIZE)] * BURST


class Standard:
    """A standard socket, and a loop of recvfrom."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 8 << 20)
        self.address = self.socket.getsockname()

    def receive(self):
        recvfrom, total = self.socket.recvfrom, 0
        for _ in range(BURST):
            data, address = recvfrom(65535)
            total += len(data)
        return total


class Many:
    """Socket.recv_many."""

    def __init__(self):
        self.socket = manycast.Socket("127.0.0.1:0")
        self.address = self.socket.local_address

    def receive(self):
        recv_many, count, total = self.socket.recv_many, 0, 0
        while count < BURST:
            datagrams = recv_many()
            count += len(datagrams)
            for datagram in datagrams:
                total += len(datagram.payload)
        return total


class Iteration(Many):
    """for datagram in Socket."""

    def receive(self):
        count = total = 0
        for datagram in self.socket:
            total += len(datagram.payload)
            count += 1
            if count == BURST:
                return total


class Protocol(asyncio.DatagramProtocol):
    """Counts what it receives."""

    def connection_made(self, transport):
        self.transport = transport
        self.count = self.total = 0
        self.done = None

    def datagram_received(self, data, addr):
        self.total += len(data)
        self.count += 1
        if self.count == BURST:
            self.done.set_result(None)


class Asyncio:
    """asyncio's own datagram protocol."""

    new_loop = staticmethod(asyncio.new_event_loop)

    def __init__(self):
        self.loop = self.new_loop()
        self.loop.run_until_complete(self.open())
        self.timed = 0.0

    async def open(self):
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind(("127.0.0.1", 0))
        plain.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 8 << 20)
        plain.setblocking(False)
        self.address = plain.getsockname()
        self.transport, self.protocol = await self.loop.create_datagram_endpoint(
            Protocol, sock=plain
        )

    def receive(self):
        return self.loop.run_until_complete(self.until_all())

    async def until_all(self):
        protocol = self.protocol
        protocol.count = protocol.total = 0
        protocol.done = self.loop.create_future()
        await asyncio.wait_for(protocol.done, 10)
        return protocol.total


class Uvloop(Asyncio):
    """uvloop's datagram protocol."""

    new_loop = staticmethod(uvloop.new_event_loop if uvloop else None)


class Adapter(Asyncio):
    """aio.create_datagram_endpoint, on asyncio."""

    async def open(self):
        self.transport, self.protocol = await aio.create_datagram_endpoint(Protocol, "127.0.0.1:0")
        self.address = self.transport.get_extra_info("sockname")


class AdapterOnUvloop(Adapter):
    """aio.create_datagram_endpoint, on uvloop."""

    new_loop = staticmethod(Uvloop.new_loop)


class AsyncIteration(Asyncio):
    """async for datagram in aio.Socket, on asyncio."""

    async def open(self):
        self.socket = aio.Socket("127.0.0.1:0")
        self.address = self.socket.local_address

    async def until_all(self):
        count = total = 0
        async for datagram in self.socket:
            total += len(datagram.payload)
            count += 1
            if count == BURST:
                return total


class AsyncIterationOnUvloop(AsyncIteration):
    """async for datagram in aio.Socket, on uvloop."""

    new_loop = staticmethod(Uvloop.new_loop)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    classes = [Standard, Many, Iteration, Asyncio, Adapter, AsyncIteration]
    if uvloop:
        classes += [Uvloop, AdapterOnUvloop, AsyncIterationOnUvloop]
    receivers = [made() for made in classes]
    senders = [manycast.Sender(*receiver.address) for receiver in receivers]
    rates = {made: [] for made in classes}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for receiver, sender in zip(receivers, senders):
            for _ in range(BURSTS):
                sender.send_many(PAYLOADS)
                before = time.process_time()
                total = receiver.receive()
                rates[type(receiver)].append(BURST / (time.process_time() - before))
                assert total == BURST * SIZE
    rate = {made: statistics.median(found) for made, found in rates.items()}
    for made in classes:
        print(f"{made.__doc__:50} {rate[made]:12,.0f} datagrams/s")
    print()
    goals = [
        ("recv_many to recvfrom", Many, Standard, 6),
        ("iteration to recvfrom", Iteration, Standard, 3),
        ("aio iteration to asyncio", AsyncIteration, Asyncio, 5),
        ("protocol adapter to asyncio", Adapter, Asyncio, 1),
    ]
    if uvloop:
        goals += [("aio iteration to uvloop", AsyncIteration, Uvloop, 1)]
        goals += [("aio iteration on uvloop to uvloop", AsyncIterationOnUvloop, Uvloop, 1)]
        goals += [("protocol adapter on uvloop to uvloop", AdapterOnUvloop, Uvloop, 1)]
    for name, mine, other, goal in goals:
        print(f"{name:50} {rate[mine] / rate[other]:6.2f}  (goal {goal})")


if __name__ == "__main__":
    main()
