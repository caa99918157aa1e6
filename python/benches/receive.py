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
BURSTS = 20


def with_room(plain):
    """Lets the buffer of a socket hold what the kernel allows, and says how much that is."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        plain.setsockopt(socket.SOL_SOCKET, force, 8 << 20)
    except PermissionError:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    return plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


# A burst has room in the buffer, for which the kernel counts nearly twice the size of each datagram.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
    BURST = min(2000, with_room(plain) // (2 * SIZE))
PAYLOADS = [bytes(SIZE)] * BURST

INTRODUCTION = f"""\
## Receiving in Python

Python {platform.python_version()}, loopback, unicast, {{size}} bytes. Each receiver in turn finds its \
socket's buffer full of {{burst}} datagrams, as a burst leaves it, takes them and looks at each payload. \
No sender runs meanwhile and no receiver waits, so the time that counts is the receiver's own of the \
processor, in the kernel and in Python. Bursts come from two senders: `manycast.Sender.send_many` gives the \
kernel many datagrams as one (GSO), which manycast's sockets take as one (GRO) and the kernel splits for the \
others; a standard socket sends each by a call. Figures are medians of {{rounds}} rounds, in which the receivers \
take turns, of {{bursts}} bursts each; a ratio is the median of those of the rounds.
"""


class Standard:
    """a standard socket, `recvfrom` in a loop"""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        with_room(self.socket)
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
        with_room(plain)
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


def merged(address):
    """What sends a burst, of which the kernel is given many datagrams as one."""
    send_many = manycast.Sender(*address).send_many
    return lambda: send_many(PAYLOADS)


def each(address):
    """What sends a burst by a call for each datagram."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.connect(tuple(address))

    def send():
        for payload in PAYLOADS:
            plain.send(payload)

    return send


def measure(receiver, send):
    """The processor's time for one datagram, in nanoseconds: the median of some bursts."""
    bursts = []
    for _ in range(BURSTS):
        send()
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
    turns = []
    for made in classes:
        receiver = made()
        for sender in (merged, each):
            turns.append(((made, sender), receiver, sender(receiver.address)))
    # The time of a datagram in nanoseconds: of each receiver and each sender, one figure a round.
    times = {turn: [] for turn, _, _ in turns}
    # The first round touches memory for the first time, and does not count.
    for _, receiver, send in turns:
        measure(receiver, send)
    end = time.perf_counter() + seconds
    while not times[Standard, merged] or time.perf_counter() < end:
        for turn, receiver, send in turns:
            times[turn].append(measure(receiver, send))
    rounds = len(times[Standard, merged])
    print(INTRODUCTION.format(size=SIZE, burst=BURST, rounds=rounds, bursts=BURSTS))
    print("| | datagrams/s | processor, ns each | datagrams/s, sent each | processor, ns each |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for made in classes:
        cells = ""
        for sender in (merged, each):
            time_of_one = statistics.median(times[made, sender])
            cells += f" {1e6 / time_of_one:,.0f} k | {time_of_one:,.0f} |"
        print(f"| {made.__doc__} |{cells}")
    if not uvloop:
        print("| uvloop | not installed |  |  |  |")
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
    print("\n| mark | aimed at | reached | sent each |\n| --- | --- | ---: | ---: |")
    for name, mine, other, goal in goals:
        cells = ""
        for sender in (merged, each):
            ratios = map(operator.truediv, times[other, sender], times[mine, sender])
            cells += f" {statistics.median(ratios):.1f} times |"
        print(f"| {name} | {goal} times |{cells}")


if __name__ == "__main__":
    main()
