"""Listening, sending, sockets and asking on the event loop."""

import asyncio
import gc

import pytest
from loops import LOOPS, run, turn  # noqa: F401

import manycast
from manycast import aio


def test_uvloop_is_tested_too():
    assert "uvloop" in LOOPS, "install uvloop to run the tests"


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


def test_one_payload_is_not_taken_for_many(run, server):
    async def main():
        async with aio.Sender(server.local_address) as sender:
            for payload in ("text", b"ytes"):
                with pytest.raises(TypeError, match="this is one payload"):
                    await sender.send_many(payload)

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
