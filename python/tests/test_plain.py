"""A plain socket, for whatever wants one."""

import asyncio
import socket
import subprocess
import sys

import anyio
import pytest
import trio

import manycast


def test_it_is_a_standard_socket_bound_and_joined(group):
    with manycast.socket(group) as sock:
        assert type(sock) is socket.socket
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
        assert sock.getsockname() == (group.host, group.port)
        sock.settimeout(10)
        manycast.send("hello", group)
        assert sock.recv(100) == b"hello"


def test_it_is_isolated(group):
    neighbour = f"239.192.252.1%lo:{group.port}"
    with manycast.socket(group) as sock, manycast.listen(neighbour):
        sock.settimeout(10)
        manycast.send("neighbour", neighbour)
        manycast.send("own", group)
        assert sock.recv(100) == b"own"


def test_each_datagram_comes_by_itself(group):
    with manycast.socket(group) as sock, manycast.Sender(group) as sender:
        sock.settimeout(10)
        sender.send_many([bytes(1316)] * 100)
        assert [len(sock.recv(65535)) for _ in range(100)] == [1316] * 100


def test_it_may_be_unicast():
    with manycast.socket("127.0.0.1:0") as sock:
        sock.settimeout(10)
        manycast.send("hello", sock.getsockname())
        assert sock.recv(100) == b"hello"


def test_sources_and_interface(group):
    with manycast.socket(group.host, group.port, interface="lo", sources="127.0.0.1") as sock:
        sock.settimeout(10)
        manycast.send("other", group, source="127.0.0.2")
        manycast.send("wanted", group, source="127.0.0.1")
        assert sock.recv(100) == b"wanted"


def test_what_would_take_several_sockets_is_refused():
    with pytest.raises(manycast.AddressError, match="one plain socket cannot"):
        manycast.socket(":0")


def test_trio(group):
    async def main():
        with trio.fail_after(20), trio.socket.from_stdlib_socket(manycast.socket(group)) as sock:
            await trio.to_thread.run_sync(manycast.send, "hello", group)
            return await sock.recv(100)

    assert trio.run(main) == b"hello"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(group, backend):
    async def main():
        with anyio.fail_after(20), manycast.socket(group) as sock:
            sock.setblocking(False)
            await anyio.to_thread.run_sync(manycast.send, "hello", group)
            await anyio.wait_readable(sock)
            return sock.recv(100)

    assert anyio.run(main, backend=backend) == b"hello"


def test_asyncio_takes_it(group):
    class First(asyncio.DatagramProtocol):
        def __init__(self):
            self.came = asyncio.get_running_loop().create_future()

        def datagram_received(self, data, addr):
            self.came.set_result(data)

    async def main():
        sock = manycast.socket(group)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(First, sock=sock)
        manycast.send("hello", group)
        try:
            return await asyncio.wait_for(protocol.came, 20)
        finally:
            transport.close()

    assert asyncio.run(main()) == b"hello"


def test_twisted():
    """The ping client and server of Twisted's howto, with its own reactor, in a process of theirs."""
    result = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "../examples/twisted_ping.py", "lo"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.stdout.splitlines() == ["Server received: Client: Ping", "Client received: Server: Pong"]


def test_what_it_sends_leaves_by_its_interface_with_its_options(group):
    with manycast.socket(group, hops=7, loopback=True, broadcast=True) as sock:
        index = sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 12)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 7
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        assert index
        # There is no route, so without an egress interface this fails.
        sock.settimeout(10)
        sock.sendto(b"hello", (group.host, group.port))
        assert sock.recvfrom(100)[0] == b"hello"
    with manycast.socket(group, loopback=False) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 0


def test_one_socket_for_several_groups(group):
    others = [manycast.Address(f"239.193.7.{last}%lo:{group.port}") for last in (1, 2)]
    with manycast.socket(group, *others) as sock:
        sock.settimeout(10)
        for number, address in enumerate([group, *others]):
            manycast.send(str(number), address)
            assert sock.recv(100) == str(number).encode()
    with pytest.raises(manycast.AddressError, match="one port"):
        manycast.socket(group, "239.193.7.1%lo:9")
