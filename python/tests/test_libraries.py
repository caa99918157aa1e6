"""Libraries that others wrote live on the transport: they are given it as the loop's own."""

import asyncio
import json
import socket
import subprocess
import sys

import anyio
import pytest
from waiting import turn

import manycast
from manycast import aio

on_it = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="these libraries need Python 3.11; run the tests there"
)


def run(main):
    """Runs it on a loop whose endpoints are those of manycast, and says how many were opened."""
    opened = []

    async def create_datagram_endpoint(*arguments, **named):
        transport, protocol = await aio.create_datagram_endpoint(*arguments, **named)
        opened.append(transport)
        return transport, protocol

    async def outer():
        asyncio.get_running_loop().create_datagram_endpoint = create_datagram_endpoint
        return await asyncio.wait_for(main(), 20)

    result = asyncio.run(outer())
    assert opened and all(isinstance(it, aio.DatagramTransport) for it in opened)
    return result


async def serve(server, answer):
    """Answers each datagram with what ``answer`` makes of it."""
    async for datagram in server:
        if (reply := answer(datagram.payload)) is not None:
            await server.answer(reply, datagram)


@pytest.fixture
def configured():
    """anyio looks up addresses of those versions of IP alone that this host has an address of, and its
    look-up does not count loopback's own."""
    own = ["192.0.2.1/32", "2001:db8::1/128"]
    for address in own:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
    yield
    for address in own:
        subprocess.run(["ip", "address", "del", address, "dev", "lo"], check=True)


def test_anyio(configured):
    async def main():
        async with await anyio.create_udp_socket(
            family=socket.AF_INET, local_host="127.0.0.1"
        ) as server:
            port = server.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.create_connected_udp_socket(
                "127.0.0.1", port, local_host="127.0.0.1"
            ) as client:
                assert client.extra(anyio.abc.SocketAttribute.remote_port) == port
                for size in (0, 1, 60_000):
                    await client.send(bytes(size))
                    payload, source = await server.receive()
                    assert payload == bytes(size)
                    await server.sendto(b"%d" % size, *source)
                    assert await client.receive() == b"%d" % size
            with pytest.raises(anyio.ClosedResourceError):
                await client.send(b"x")

    run(main)


def test_anyio_with_ipv6_and_a_shared_port(configured):
    async def main():
        async with await anyio.create_udp_socket(
            family=socket.AF_INET6, local_host="::1", reuse_port=True
        ) as server:
            port = server.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.create_connected_udp_socket(
                "::1", port, family=socket.AF_INET6
            ) as client:
                await client.send(b"ping")
                payload, source = await server.receive()
                assert payload == b"ping" and source[0] == "::1"

    run(main)


@on_it
def test_aiolifx():
    """It sets SO_BROADCAST on the socket behind the transport, and then opens one for each light."""
    from aiolifx.aiolifx import LifxDiscovery
    from aiolifx.msgtypes import GetLabel, GetService, StateLabel, StateService
    from aiolifx.unpack import unpack_lifx_message

    mac, found = "d0:73:d5:01:02:03", asyncio.Queue()

    def bulb(payload):
        asked = unpack_lifx_message(payload)
        if isinstance(asked, GetService):
            reply = StateService(mac, asked.source_id, asked.seq_num, {"service": 1, "port": 56700})
        elif isinstance(asked, GetLabel):
            reply = StateLabel(mac, asked.source_id, asked.seq_num, {"label": b"kitchen"})
        else:
            return None
        return reply.generate_packed_message()

    class Parent:
        def register(self, light):
            found.put_nowait(light)

        def unregister(self, light):
            pass

    async def main():
        loop = asyncio.get_running_loop()
        async with aio.Socket("0.0.0.0:56700") as server:
            answering = asyncio.ensure_future(serve(server, bulb))
            discovery = LifxDiscovery(loop, Parent(), broadcast_ip="127.255.255.255")
            await discovery.start(listen_ip="127.0.0.1")
            light = await found.get()
            label = loop.create_future()
            light.get_label(lambda _, reply: label.done() or label.set_result(reply.label))
            heard = await label
            discovery.cleanup()
            answering.cancel()
            return light.mac_addr, str(heard)

    heard = run(main)
    assert heard[0] == mac and "kitchen" in heard[1]


@on_it
def test_govee_local_api():
    """It gives the socket as sock=, and joins by an option of the one behind the transport."""
    from govee_local_api import GoveeController

    device = {
        "ip": "127.0.0.1", "device": "AA:BB", "sku": "H618A", "bleVersionHard": "1",
        "bleVersionSoft": "1", "wifiVersionHard": "1", "wifiVersionSoft": "1",
    }  # fmt: skip

    async def main():
        found = asyncio.get_running_loop().create_future()

        def discovered(device, is_new):
            found.done() or found.set_result((device.ip, device.sku))
            return False

        controller = GoveeController(
            listening_addresses="127.0.0.1", discovery_enabled=True, update_enabled=False,
            discovered_callback=discovered,
        )  # fmt: skip
        async with aio.listen("239.255.255.250%lo:4001") as listener:
            await controller.start()
            question = await listener.recv()
            assert json.loads(question.payload)["msg"]["cmd"] == "scan"
            reply = {"msg": {"cmd": "scan", "data": device}}
            await aio.send(json.dumps(reply), question.source.host, 4002)
            heard = await found
            closed = controller.cleanup()
            await closed.wait()
            return heard

    assert run(main) == ("127.0.0.1", "H618A")


@on_it
def test_async_upnp_client():
    """It gives the socket as sock=, and finds its protocol by the transport."""
    from async_upnp_client.search import SsdpSearchListener

    reply = (
        b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nST: upnp:rootdevice\r\n"
        b"USN: uuid:1234::upnp:rootdevice\r\nEXT:\r\nSERVER: test UPnP/1.0 test/1\r\n"
        b"LOCATION: http://127.0.0.1:80/d.xml\r\n\r\n"
    )

    async def main():
        found = asyncio.get_running_loop().create_future()
        search = SsdpSearchListener(
            callback=lambda headers: found.done() or found.set_result(headers),
            source=("127.0.0.1", 0), timeout=1,
        )  # fmt: skip
        async with aio.listen("239.255.255.250%lo:1900") as listener, aio.Socket(
            "127.0.0.1:0"
        ) as device:
            await search.async_start()
            search.async_search()
            question = await listener.recv()
            assert question.payload.startswith(b"M-SEARCH * HTTP/1.1")
            await device.send_to(reply, question.source)
            headers = await found
            search.async_stop()
            return headers["usn"], headers["_host"], headers["_port"]

    usn, host, port = run(main)
    assert (usn, host) == ("uuid:1234::upnp:rootdevice", "127.0.0.1") and port


@on_it
def test_async_upnp_client_finds_the_local_address():
    from async_upnp_client.utils import async_get_local_ip

    async def main():
        return await async_get_local_ip("http://127.0.0.1:80/", asyncio.get_running_loop())

    assert run(main) == (socket.AF_INET, "127.0.0.1")


class Record(asyncio.DatagramProtocol):
    """Keeps what it hears of."""

    def __init__(self):
        self.came, self.errors, self.lost = asyncio.Queue(), [], asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.came.put_nowait((data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def connection_lost(self, exc):
        self.lost.set()


def test_a_socket_that_was_given():
    async def main():
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind(("127.0.0.1", 0))
        transport, protocol = await aio.create_datagram_endpoint(Record, sock=plain)
        assert transport.get_extra_info("sockname") == plain.getsockname()
        assert transport.get_extra_info("manycast") is None
        async with aio.Socket.connect(plain.getsockname()) as client:
            for payload in (b"one", b"", bytes(60_000)):
                await client.send(payload)
                data, source = await protocol.came.get()
                assert (data, source) == (payload, client.local_address)
                transport.sendto(payload, source)
                assert (await client.recv(timeout=10)).payload == payload
            transport.pause_reading()
            await client.send(b"later")
            transport.resume_reading()
            assert (await protocol.came.get())[0] == b"later"
        with pytest.raises(manycast.Error, match="has no join"):
            transport.join_group("239.1.1.1")
        transport.close()
        await protocol.lost.wait()
        assert plain.fileno() == -1

    asyncio.run(main())


def test_a_connected_socket_that_was_given_tells_of_refusals():
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = gone.getsockname()
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.connect(address)
        transport, protocol = await aio.create_datagram_endpoint(Record, sock=plain)
        assert transport.get_extra_info("peername") == address
        with pytest.raises(ValueError, match="its peer"):
            transport.sendto(b"x", ("127.0.0.1", 1))
        transport.sendto(b"x", address)
        transport.sendto(b"x")
        while not protocol.errors:
            await turn()
        assert isinstance(protocol.errors[0], ConnectionRefusedError)
        transport.abort()
        await protocol.lost.wait()

    asyncio.run(main())


@pytest.fixture
def narrow():
    """Loopback carries a megabyte a second, so that whoever sends is faster."""
    queue = ["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", "8mbit"]
    subprocess.run([*queue, "burst", "16kb", "limit", "100mb"], check=True)
    yield
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


def test_a_given_socket_with_a_full_send_buffer(narrow):
    async def main():
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind(("127.0.0.1", 0))
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        transport, protocol = await aio.create_datagram_endpoint(Record, sock=plain)
        paused = []
        protocol.pause_writing = lambda: paused.append(True)
        protocol.resume_writing = lambda: paused.append(False)
        transport.set_write_buffer_limits(high=10_000)
        async with aio.Socket("127.0.0.1:0", timeout=10) as receiver:
            for number in range(200):
                transport.sendto(b"%d" % number + bytes(1000), receiver.local_address)
            transport.close()
            for number in range(200):
                payload = (await receiver.recv()).payload
                assert payload.startswith(b"%d\0" % number)
        await protocol.lost.wait()
        assert paused == [True, False]

    asyncio.run(main())


@pytest.mark.parametrize(
    "named", [{"peer": "127.0.0.1:1"}, {"address": "127.0.0.1:0"}, {"family": socket.AF_INET}]
)
def test_a_given_socket_goes_with_nothing_else(named):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            with pytest.raises(ValueError, match="give it alone"):
                await aio.create_datagram_endpoint(Record, sock=plain, **named)

    asyncio.run(main())


def test_the_names_of_the_loop_are_understood():
    async def main():
        server, heard = await aio.create_datagram_endpoint(
            Record, local_addr=("::1", 0), family=socket.AF_INET6
        )
        port = server.get_extra_info("sockname").port
        client, _ = await aio.create_datagram_endpoint(
            Record, local_addr=("::1", 0), remote_addr=("::1", port, 0, 0), reuse_port=True
        )
        client.sendto(b"x")
        data, source = await heard.came.get()
        assert (data, source[0]) == (b"x", "::1")
        for transport in (server, client):
            transport.close()
        with pytest.raises(manycast.AddressError, match="which family= asks for"):
            await aio.create_datagram_endpoint(
                Record, remote_addr=("127.0.0.1", 1), family=socket.AF_INET6
            )

    asyncio.run(main())


def test_an_error_behind_datagrams_of_a_given_socket_is_told():
    class Failing(socket.socket):
        """A refusal arrives between the datagram and the look for another."""

        came = 0

        def recvfrom(self, size):
            self.came += 1
            if self.came == 2:
                raise ConnectionRefusedError(111, "refused")
            return super().recvfrom(size)

    async def main():
        plain = Failing(socket.AF_INET, socket.SOCK_DGRAM)
        plain.bind(("127.0.0.1", 0))
        transport, protocol = await aio.create_datagram_endpoint(Record, sock=plain)
        await aio.send("before", plain.getsockname())
        assert (await protocol.came.get())[0] == b"before"
        while not protocol.errors:
            await turn()
        assert isinstance(protocol.errors[0], ConnectionRefusedError)
        transport.close()
        await protocol.lost.wait()

    asyncio.run(asyncio.wait_for(main(), 20))
