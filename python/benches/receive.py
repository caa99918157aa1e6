"""How fast datagrams are received in Python, side by side with what Python has.

    python benches/receive.py [SECONDS]

It prints a part of docs/benchmarks.md; `cargo xtask bench` runs it.
"""

import asyncio
import operator
import platform
import socket
import statistics
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

INTRODUCTION = f"""\
## Receiving in Python

Python {platform.python_version()}, loopback, unicast, {{size}} bytes. Each receiver in turn finds its \
socket's buffer full of {{burst}} datagrams, as a burst leaves it, takes them and looks at each payload. \
No sender runs meanwhile and no receiver waits, so the time that counts is the receiver's own of the \
processor, in the kernel and in Python. Figures are medians of {{rounds}} rounds, in which the receivers \
take turns, of {{bursts}} bursts each; a ratio is the median of those of the rounds.
"""


class Standard:
    """a standard socket, `recvfrom` in a loop"""

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
    """**`manycast.Socket.recv_many`**"""

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
    """**`for datagram in manycast.Socket`**"""

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
    """asyncio's datagram protocol"""

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
    """uvloop's datagram protocol"""

    new_loop = staticmethod(uvloop.new_event_loop if uvloop else None)


class Adapter(Asyncio):
    """**`aio.create_datagram_endpoint`**, on asyncio"""

    async def open(self):
        self.transport, self.protocol = await aio.create_datagram_endpoint(Protocol, "127.0.0.1:0")
        self.address = self.transport.get_extra_info("sockname")


class AdapterOnUvloop(Adapter):
    """**`aio.create_datagram_endpoint`**, on uvloop"""

    new_loop = staticmethod(Uvloop.new_loop)


class AsyncIteration(Asyncio):
    """**`async for datagram in aio.Socket`**, on asyncio"""

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
    """**`async for datagram in aio.Socket`**, on uvloop"""

    new_loop = staticmethod(Uvloop.new_loop)


def measure(receiver, sender):
    """The processor's time for one datagram, in nanoseconds: the median of some bursts."""
    bursts = []
    for _ in range(BURSTS):
        sender.send_many(PAYLOADS)
        before = time.process_time_ns()
        total = receiver.receive()
        bursts.append((time.process_time_ns() - before) / BURST)
        assert total == BURST * SIZE
    return statistics.median(bursts)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    classes = [Standard, Many, Iteration, Asyncio, Adapter, AsyncIteration]
    if uvloop:
        classes += [Uvloop, AdapterOnUvloop, AsyncIterationOnUvloop]
    receivers = [made() for made in classes]
    senders = [manycast.Sender(*receiver.address) for receiver in receivers]
    # The time of a datagram in nanoseconds: of each receiver, one figure a round.
    times = {made: [] for made in classes}
    # The first round touches memory for the first time, and does not count.
    for receiver, sender in zip(receivers, senders):
        measure(receiver, sender)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for receiver, sender in zip(receivers, senders):
            times[type(receiver)].append(measure(receiver, sender))
    print(INTRODUCTION.format(size=SIZE, burst=BURST, rounds=len(times[Standard]), bursts=BURSTS))
    print("| | datagrams/s | processor, ns each |\n| --- | ---: | ---: |")
    for made in classes:
        each = statistics.median(times[made])
        print(f"| {made.__doc__} | {1e6 / each:,.0f} k | {each:,.0f} |")
    if not uvloop:
        print("| uvloop | not installed |  |")
    goals = [
        ("`recv_many` to `recvfrom`", Many, Standard, 6),
        ("iteration to `recvfrom`", Iteration, Standard, 3),
        ("`aio` iteration to asyncio", AsyncIteration, Asyncio, 5),
        ("protocol adapter to asyncio", Adapter, Asyncio, 1),
    ]
    if uvloop:
        goals += [
            ("`aio` iteration to uvloop", AsyncIteration, Uvloop, 1),
            ("`aio` iteration on uvloop to uvloop", AsyncIterationOnUvloop, Uvloop, 1),
            ("protocol adapter on uvloop to uvloop", AdapterOnUvloop, Uvloop, 1),
        ]
    print("\n| mark | aimed at | reached |\n| --- | --- | ---: |")
    for name, mine, other, goal in goals:
        ratio = statistics.median(map(operator.truediv, times[other], times[mine]))
        print(f"| {name} | {goal} times | {ratio:.1f} times |")


if __name__ == "__main__":
    main()
