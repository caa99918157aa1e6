"""Endpoints for the protocols of asyncio."""

import asyncio
import select
import selectors
import socket

import pytest
from loops import Replaced, run, turn  # noqa: F401

import manycast
from manycast import aio


class Recorder(asyncio.DatagramProtocol):
    def __init__(self):
        self.calls = []
        self.changed = asyncio.Event()

    def note(self, *call):
        self.calls.append(call)
        self.changed.set()

    async def until(self, count):
        while len(self.calls) < count:
            self.changed.clear()
            await self.changed.wait()
        return self.calls[-1]

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def datagram_received(self, data, addr):
        self.note("received", data, addr)

    def error_received(self, exc):
        self.note("error", exc)

    def connection_lost(self, exc):
        self.note("lost", exc)


def test_a_standard_protocol(run):
    async def main():
        transport, server = await aio.create_datagram_endpoint(Recorder, "127.0.0.1:0")
        client_transport, client = await aio.create_datagram_endpoint(
            Recorder, peer=transport.get_extra_info("sockname")
        )
        assert client_transport.get_extra_info("peername") == transport.get_extra_info("sockname")
        client_transport.sendto(b"ping")
        _, data, addr = await server.until(2)
        assert (data, addr) == (b"ping", client_transport.get_extra_info("sockname"))
        server.transport.sendto(b"pong", addr)
        assert (await client.until(2))[:2] == ("received", b"pong")
        client_transport.close()
        client_transport.close()
        transport.abort()
        assert transport.is_closing()
        assert await client.until(3) == ("lost", None)
        assert await server.until(3) == ("lost", None)
        await turn()
        assert [call[0] for call in server.calls] == ["made", "received", "lost"]
        transport.sendto(b"after the end", addr)

    run(main())


def test_a_protocol_hears_of_a_refusal_and_goes_on(run):
    async def main():
        with manycast.Socket("127.0.0.1:0") as gone:
            address = gone.local_address
        transport, protocol = await aio.create_datagram_endpoint(Recorder, peer=address)
        transport.sendto(b"anybody?")
        kind, error = await protocol.until(2)
        assert kind == "error" and isinstance(error, ConnectionRefusedError)
        async with aio.Socket(address) as back:
            transport.sendto(b"now")
            assert (await back.recv()).payload == b"now"
        transport.sendto(bytes(70000))
        kind, error = await protocol.until(3)
        assert kind == "error" and error.errno == 90
        with pytest.raises(manycast.AddressError, match="resolve it first"):
            transport.sendto(b"x", ("localhost", 5000))
        transport.close()
        await protocol.until(4)

    run(main())


def test_a_protocol_in_a_group(run, group):
    async def main():
        transport, server = await aio.create_datagram_endpoint(Recorder, group)
        async with aio.Socket("127.0.0.1:0", timeout=10) as client:
            client.blocking.multicast_interface = "lo"
            # The group is asked, and the answer comes from the host.
            await client.send_to("Client: Ping", group.host, group.port)
            _, data, addr = await server.until(2)
            transport.sendto(b"Server: Pong", addr)
            answer = await client.recv()
            assert answer.payload == b"Server: Pong"
            assert answer.source == ("127.0.0.1", group.port)
            # The host is asked itself.
            await client.send_to("directly", "127.0.0.1", group.port)
            assert (await server.until(3))[1] == b"directly"
            assert transport.leave_group(group.host) is True
            assert transport.join_group("239.192.253.1", "lo") is True
            await client.send_to("left", group.host, group.port)
            await client.send_to("joined", "239.192.253.1", group.port)
            assert (await server.until(4))[1] == b"joined"
        transport.set_ttl(9)
        transport.set_outgoing_interface("lo")
        transport.set_loopback_mode(False)
        assert (transport.get_ttl(), transport.get_outgoing_interface()) == (9, "lo")
        assert transport.get_loopback_mode() is False
        transport.close()
        await server.until(5)

    run(main())


def test_a_protocol_receives_all_of_a_burst(run, group):
    async def main():
        transport, protocol = await aio.create_datagram_endpoint(Recorder, group)
        with manycast.Sender(group) as sender:
            sender.send_many([b"x"] * 2000)
        await protocol.until(2001)
        transport.close()
        await protocol.until(2002)

    run(main())


def test_a_protocol_that_fails_is_told_and_goes_on(request, group):
    failures = []

    class Fragile(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"bad":
                raise ZeroDivisionError

    async def main():
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: failures.append(context["exception"])
        )
        transport, protocol = await aio.create_datagram_endpoint(Fragile, group)
        with manycast.Sender(group) as sender:
            sender.send_many(["bad", "good"])
        await protocol.until(3)
        transport.close()
        await protocol.until(4)
        return [call[1] for call in protocol.calls[1:3]]

    assert asyncio.run(main()) == [b"bad", b"good"]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_the_hooks_run_once_also_when_the_first_fails(run):
    calls = []

    class Failing(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            calls.append("made")
            raise ZeroDivisionError

        def connection_lost(self, exc):
            calls.append("lost")

    async def main():
        with pytest.raises(ZeroDivisionError):
            await aio.create_datagram_endpoint(Failing, "127.0.0.1:0")
        await turn()
        with pytest.raises(ValueError, match="give one of the two"):
            await aio.create_datagram_endpoint(Failing, "239.192.0.1:5000", peer="127.0.0.1:9")

    run(main())
    assert calls == ["made", "lost"]


def test_what_waits_to_be_sent_is_sent_before_it_closes(run):
    """Whether a real socket's send buffer is full is a matter of luck; this one's is when told so."""

    class Full:
        local_address, peer_address = ("127.0.0.1", 1), None
        full, sent, closed = True, [], False

        def __init__(self):
            import socket

            self.ends = socket.socketpair()

        def fileno(self):
            return self.ends[0].fileno()

        def sending_fileno(self, to):
            return self.ends[1].fileno()

        def try_send(self, payload, to):
            if not self.full:
                self.sent.append(bytes(payload))
            return not self.full

        def close(self):
            self.closed = True
            for end in self.ends:
                end.close()

    class Pausing(Recorder):
        def pause_writing(self):
            self.note("pause")

        def resume_writing(self):
            self.note("resume")

    async def main():
        socket, protocol = Full(), Pausing()
        transport = aio.DatagramTransport(asyncio.get_running_loop(), socket, protocol)
        transport._start()
        transport.sendto(bytearray(b"a" * 60000))
        transport.sendto(b"b" * 60000)
        transport.sendto(b"")
        # Each with 8 bytes for its header: empty datagrams take room too.
        assert transport.get_write_buffer_size() == 120024
        transport.close()
        socket.full = False
        await protocol.until(4)
        assert [call[0] for call in protocol.calls] == ["made", "pause", "resume", "lost"]
        assert [payload[:1] for payload in socket.sent] == [b"a", b"b", b""]
        await turn()
        assert socket.closed

    run(main())


def test_what_waits_is_sent_by_the_socket_that_takes_the_place_of_another(run):
    async def main():
        socket, protocol = Replaced(), Recorder()
        transport = aio.DatagramTransport(asyncio.get_running_loop(), socket, protocol)
        transport._start()
        for payload in b"one", b"two":
            transport.sendto(payload)
        # Nothing tells of room in the one before.
        socket.replace()
        transport.close()
        assert await protocol.until(2) == ("lost", None)
        assert socket.sent == [b"one", b"two"]

    run(main())


def test_the_loop_forgets_a_socket_that_another_takes_the_place_of():
    selector = selectors.EpollSelector()

    async def main():
        socket = Replaced()
        transport = aio.DatagramTransport(asyncio.get_running_loop(), socket, Recorder())
        transport._start()
        transport.sendto(b"one")
        await turn()
        socket.replace()
        socket.drain()
        while not socket.sent:
            await turn()
        await turn()
        # It would be told again and again that there is room, of a socket that it does not know.
        assert select.select([selector], [], [], 0)[0] == []
        transport.close()
        await turn()

    loop = asyncio.SelectorEventLoop(selector)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        loop.close()


def test_a_flood_costs_one_callback_a_turn(run, group):
    """However much lies fetched, the loop has one callback of the transport in a turn, which hands
    out a bounded number of datagrams."""

    async def main():
        turns, calls = 0, 0

        class Counting(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                nonlocal calls
                calls += 1

        async with aio.Sender(group) as sender:
            transport, _ = await aio.create_datagram_endpoint(Counting, group)
            await sender.send_many(["x"] * 64)
            with manycast.Sender(group) as at_once:
                at_once.send_many(["x"] * 1936)
            most = 0
            while calls < 2000:
                before = calls
                await turn()
                most = max(most, calls - before)
                turns += 1
            transport.close()
            await turn()
        return most

    assert run(main()) <= 64


def test_the_transport_of_a_standard_protocol(run):
    async def main():
        transport, server = await aio.create_datagram_endpoint(Recorder, "127.0.0.1:0")
        plain = transport.get_extra_info("socket")
        assert plain.getsockname() == transport.get_extra_info("sockname")
        assert plain.family == socket.AF_INET and plain.type == socket.SOCK_DGRAM
        assert not plain.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        assert transport.get_write_buffer_limits() == (16384, 65536)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high=1, low=2)
        # Paused, it leaves what comes in the kernel, also in the middle of a batch.
        other = Recorder()
        with manycast.Socket.connect(plain.getsockname()) as client:

            class Once(Recorder):
                def datagram_received(self, data, addr):
                    super().datagram_received(data, addr)
                    transport.pause_reading()

            once = Once()
            transport.set_protocol(once)
            assert transport.get_protocol() is once
            for payload in "one", "two", "three":
                client.send(payload)
            await once.until(1)
            for _ in range(5):
                await turn()
            assert len(once.calls) == 1 and not transport.is_reading()
            transport.set_protocol(other)
            transport.resume_reading()
            transport.resume_reading()
            await other.until(2)
            assert [call[1] for call in other.calls] == [b"two", b"three"]
        transport.close()
        assert await other.until(3) == ("lost", None)

    run(main())


def test_a_peer_and_an_address_of_its_own(run):
    async def main():
        async with aio.Socket("127.0.0.1:0", timeout=10) as peer:
            transport, protocol = await aio.create_datagram_endpoint(
                Recorder, "127.0.0.2:0", peer=peer.local_address, allow_broadcast=True
            )
            assert transport.get_extra_info("manycast").broadcast
            transport.sendto(b"hello")
            transport.sendto(b"again", peer.local_address)
            datagram = await peer.recv()
            assert datagram.source == transport.get_extra_info("sockname")
            assert datagram.source.host == "127.0.0.2"
            assert (await peer.recv()).payload == b"again"
            with pytest.raises(ValueError, match="to its peer"):
                transport.sendto(b"x", ("127.0.0.1", 9))
            transport.close()
            await protocol.until(2)

    run(main())


def test_the_peer_is_the_third_argument_where_a_library_gives_it_so(run):
    """As loop.create_datagram_endpoint(factory, local_addr, remote_addr) has it."""

    async def main():
        loop = asyncio.get_running_loop()
        async with aio.Socket("127.0.0.1:0", timeout=10) as peer:
            for create in (aio.create_datagram_endpoint, loop.create_datagram_endpoint):
                there = tuple(peer.local_address)
                transport, _ = await create(Recorder, ("127.0.0.1", 0), there)
                transport.sendto(b"hello")
                assert (await peer.recv()).source == transport.get_extra_info("sockname")
                assert transport.get_extra_info("peername") == peer.local_address
                transport.close()
                await turn()

    run(main())
