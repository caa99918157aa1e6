import asyncio
import gc
import socket
import sys

import pytest

import manycast
from manycast import aio

class turn:
    """Awaited, it lets the event loop have one turn."""

    def __await__(self):
        yield


LOOPS = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


def test_uvloop_is_tested_too():
    assert "uvloop" in LOOPS, "install uvloop to run the tests"


@pytest.fixture(params=LOOPS, autouse=True)
def run(request):
    """Runs a coroutine on a loop of each kind."""
    loop = LOOPS[request.param]()
    failures = []
    loop.set_exception_handler(lambda loop, context: failures.append(context))
    run.failures = failures
    yield lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 30))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not failures


def test_async_for(run, group):
    async def main():
        async with aio.listen(group) as listener:
            await aio.send("one", group)
            await aio.send("two", group)
            got = []
            async for datagram in listener:
                got.append(datagram.payload)
                if len(got) == 2:
                    return got

    assert run(main()) == [b"one", b"two"]


def test_async_for_waits_and_ends_when_closed(run, group):
    async def main():
        listener = aio.listen(group)

        async def speak():
            async with aio.Sender(group) as sender:
                for i in range(5):
                    await sender.send(str(i))
                    await turn()
                await sender.send_many(str(i) for i in range(5, 3000))

        speaking = asyncio.ensure_future(speak())
        got = []
        async for datagram in listener:
            got.append(int(bytes(datagram)))
            if len(got) == 3000:
                listener.close()
        await speaking
        return got

    assert run(main()) == list(range(3000))


def test_a_flood_does_not_starve_other_tasks(run, group):
    async def main():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await turn()

        async with aio.listen(group) as listener, aio.Sender(group) as sender:
            await sender.send_many([b"x"] * 4000)
            task = asyncio.ensure_future(other())
            count = 0
            async for _ in listener:
                count += 1
                if count == 4000:
                    break
            task.cancel()
        return turns

    assert run(main()) >= 4000 // 256


def test_recv_and_recv_many(run, group):
    async def main():
        async with aio.listen(group) as listener, aio.Sender(group) as sender:
            assert await sender.send_many(str(i) for i in range(10)) == 10
            first = await listener.recv()
            second = await listener.__anext__()
            some = await listener.recv_many(3)
            rest = await listener.recv_many()
            return [int(bytes(d)) for d in [first, second, *some, *rest]]

    assert run(main()) == list(range(10))


def test_time_outs(run, group):
    async def main():
        async with aio.listen(group, timeout=0.01) as listener:
            with pytest.raises(TimeoutError):
                await listener.recv()
            with pytest.raises(TimeoutError):
                await listener.recv_many(timeout=0)
            with pytest.raises(TimeoutError):
                async for _ in listener:
                    pass
            await aio.send("x", group)
            return (await listener.recv()).payload

    assert run(main()) == b"x"


def test_cancelling_loses_nothing(run, group):
    async def main():
        async with aio.listen(group) as listener:
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(listener.recv(), 0.01)
            task = asyncio.ensure_future(listener.recv())
            await turn()
            manycast.send("kept", group)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await listener.recv()).payload

    assert run(main()) == b"kept"


def test_closing_ends_the_wait_of_another_task(run, group):
    async def main():
        listener = aio.listen(group)
        task = asyncio.ensure_future(listener.recv())
        await turn()
        listener.close()
        listener.close()
        with pytest.raises(manycast.ClosedError):
            await task
        assert listener.closed

    run(main())


def test_two_tasks_share_a_listener(run, group):
    async def main():
        async with aio.listen(group) as listener:
            tasks = [asyncio.ensure_future(listener.recv()) for _ in range(2)]
            await turn()
            await aio.send("a", group)
            await aio.send("b", group)
            return sorted([bytes(await task) for task in tasks])

    assert run(main()) == [b"a", b"b"]


def test_left_open_it_warns(run, group):
    async def main():
        with pytest.warns(ResourceWarning, match="unclosed <Listener"):
            aio.listen(group)
            gc.collect()

    run(main())


def test_the_other_receivers(run, group):
    async def main():
        async with aio.MulticastListener(group.host, group.port, interface="lo") as listener:
            async with aio.MulticastUDPReceiver("lo", group.host, group.port) as receiver:
                await aio.send(bytes(50), group)
                assert await receiver.read() == bytes(50)
            with pytest.raises(manycast.TruncatedError):
                await listener.recv(10)
            await aio.send("next", group)
            assert await listener.__anext__() == b"next"
            with pytest.raises(TimeoutError):
                await listener.recv(timeout=0.01)
            listener.close()
            with pytest.raises(StopAsyncIteration):
                await listener.__anext__()

    run(main())


def test_sockets(run):
    async def main():
        async with aio.Socket("127.0.0.1:0", timeout=10) as server:
            async with aio.Socket.connect(server.local_address, timeout=10) as client:
                await client.send("ping")
                question = await server.recv()
                await server.answer("pong", question)
                assert (await client.recv()).payload == b"pong"
                assert client.peer_address == server.local_address
                await server.send_to("named", "localhost", client.local_address.port)
                assert (await client.recv()).payload == b"named"
            # A client that has gone is no failure of its server.
            await server.send_to("gone", question.source)
            await server.send_to("own", server.local_address)
            assert (await server.recv()).payload == b"own"
            async with aio.Socket.connect(question.source, timeout=10) as lonely:
                await lonely.send("anybody?")
                with pytest.raises(ConnectionRefusedError):
                    await lonely.recv()

    run(main())


def test_reconnect_and_groups(run, group):
    async def main():
        async with aio.Socket(("0.0.0.0", group.port), share_port=True, timeout=10) as member:
            assert member.join(group.host, interface="lo") is True
            async with aio.Socket.connect("127.0.0.1:9") as client:
                await client.reconnect("localhost", group.port)
                await client.send("unicast")
                assert (await member.recv()).payload == b"unicast"
                client.disconnect()
                assert client.peer_address is None
            await aio.send("multicast", group)
            assert (await member.recv()).payload == b"multicast"
            assert member.leave(group.host) is True
            assert member.blocking.memberships == []

    run(main())


def test_asking(run):
    async def main():
        async with aio.Socket("127.0.0.1:0") as server:

            async def serve():
                await server.recv()
                await server.answer("OK", await server.recv())

            serving = asyncio.ensure_future(serve())
            (answer,) = await aio.ask("?", server.local_address, timeout=0.05, retries=5)
            await serving
            address = server.local_address
        with pytest.raises(ConnectionRefusedError):
            await aio.ask("?", address)
        task = asyncio.ensure_future(aio.ask("?", "239.192.0.198%lo:5000", timeout=20))
        await turn()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return answer

    answer = run(main())
    assert answer.payload == b"OK" and answer.attempt >= 2


def test_a_name_never_blocks_the_loop(run):
    async def main():
        for opening in (aio.listen, aio.Sender, aio.Socket, aio.Socket.connect):
            for where in (("localhost:5000",), ("localhost", 5000)):
                with pytest.raises(manycast.AddressError, match="would block the event loop"):
                    opening(*where)
        assert manycast.Address("127.0.0.1:5000") in await aio.resolve("localhost:5000")

    run(main())


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


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in 3.11")
def test_asyncio_timeout(run, group):
    async def main():
        async with aio.listen(group) as listener:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await listener.recv()

    run(main())


def test_one_payload_is_not_taken_for_many(run, server):
    async def main():
        async with aio.Sender(server.local_address) as sender:
            for payload in ("text", b"ytes"):
                with pytest.raises(TypeError, match="this is one payload"):
                    await sender.send_many(payload)

    run(main())


def test_many_tasks_wait_for_room_in_one_send_buffer(run, server, slow):
    async def main():
        async with aio.Sender(server.local_address) as sender:

            async def send():
                for _ in range(100):
                    await sender.send(bytes(10_000))

            await asyncio.gather(*[send() for _ in range(5)])

    run(main())


def test_who_waits_for_room_hears_that_it_was_closed(run, server, slow):
    async def main():
        sender = aio.Sender(server.local_address)

        async def send():
            while True:
                await sender.send(bytes(60_000))

        tasks = [asyncio.ensure_future(send()) for _ in range(3)]
        while sender._object.try_send(bytes(60_000)) is not None:
            await turn()
        for _ in range(3):
            await turn()
        sender.close()
        for task in tasks:
            with pytest.raises(manycast.ClosedError):
                await task

    run(main())


def test_a_cancelled_wait_leaves_nothing_behind(run, group):
    async def main():
        loop = asyncio.get_running_loop()
        listener = aio.listen(group)
        fd = listener.fileno()
        waits = [asyncio.ensure_future(listener.recv()) for _ in range(3)]
        await turn()
        waits[0].cancel()
        waits[1].cancel()
        manycast.send("kept", group)
        assert (await waits[2]).payload == b"kept"
        last = asyncio.ensure_future(listener.recv())
        await turn()
        last.cancel()
        listener.close()
        assert not loop.remove_reader(fd)

    run(main())


def test_closing_what_is_behind_it_does_not_spoil_its_descriptor_for_others(run):
    async def main():
        socket = aio.Socket("127.0.0.1:0")
        waiting = asyncio.ensure_future(socket.recv())
        await turn()
        fd = socket.fileno()
        socket.blocking.close()
        socket.close()
        with pytest.raises(manycast.ClosedError):
            await waiting
        async with aio.Socket("127.0.0.1:0") as other:
            assert other.fileno() == fd
            await other.send_to("round", other.local_address)
            assert (await other.recv(timeout=10)).payload == b"round"

    run(main())


def test_the_time_that_was_given_stands_in_the_message(run, group):
    async def main():
        async with aio.listen(group, timeout=0.02) as listener:
            waits = [listener.recv(), listener.recv(timeout=0.03), listener.recv_many(timeout=0)]
            told = await asyncio.gather(*waits, return_exceptions=True)
        place = f"nothing came on <aio.Listener on {group.host}:{group.port}> within"
        assert [str(error).partition(" s;")[0] for error in told] == [
            f"{place} 0.02",
            f"{place} 0.03",
            f"{place} 0",
        ]

    run(main())


def test_a_loop_of_calls_that_need_not_wait_ends_by_its_time_out(run, group):
    async def received(listener):
        while True:
            await listener.recv()

    async def iterated(listener):
        async for _ in listener:
            pass

    async def sent(sender):
        while True:
            await sender.send("x")

    async def sent_anew(_):
        while True:
            await aio.send("x", group)

    async def resolved(_):
        while True:
            await aio.resolve("127.0.0.1:1")

    class Endless:
        """A listener behind which datagrams never end."""

        closed = False

        def __init__(self, inner):
            self.inner = inner

        def fileno(self):
            return self.inner.fileno()

        def try_recv(self):
            return b"x"

        def recv(self, limit, truncate, timeout):
            return b"x"

        def close(self):
            self.inner.close()

    async def main():
        listener = aio.Listener(group)
        listener._object = Endless(listener._object)
        plain = aio.MulticastListener(group.host, group.port, interface="lo")
        plain._object = Endless(plain._object)
        async with listener, plain, aio.Sender(group) as sender:
            for loop_of, what in [
                (received, listener),
                (iterated, listener),
                (received, plain),
                (iterated, plain),
                (sent, sender),
                (sent_anew, None),
                (resolved, None),
            ]:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(loop_of(what), 0.02)

    run(main())


def test_tasks_that_share_a_listener_take_turns(run, group):
    async def main():
        counts = [0] * 4

        async def work(number):
            async for datagram in listener:
                if datagram.payload == b"end":
                    listener.close()
                counts[number] += 1

        async with aio.listen(group) as listener, aio.Sender(group) as sender:
            tasks = [asyncio.ensure_future(work(number)) for number in range(4)]
            await turn()
            await sender.send_many(["x"] * 400 + ["end"])
            await asyncio.gather(*tasks)
        return counts

    counts = run(main())
    assert sum(counts) == 401
    assert min(counts) >= 90


def test_no_task_times_out_while_datagrams_lie_fetched(run, group):
    async def main():
        async with aio.listen(group) as listener, aio.Sender(group) as sender:
            await sender.send_many(["x"] * 3)
            # One batch of the kernel, of which this takes one.
            await listener.recv()
            first, second = await asyncio.gather(
                listener.recv(timeout=0.5), listener.recv(timeout=0.5)
            )
            return first.payload, second.payload

    assert run(main()) == (b"x", b"x")


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
