"""Tasks that wait: in turns, cancelled, closed, for room in a send buffer."""

import asyncio
import sys
import time

import pytest
from loops import Replaced, run, turn  # noqa: F401

import manycast
from manycast import aio


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


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in 3.11")
def test_asyncio_timeout(run, group):
    async def main():
        async with aio.listen(group) as listener:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await listener.recv()

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


async def by_sender(address, stuck):
    async with aio.Sender(address) as sender:
        await sender.send(b"anybody?")
        stuck()
        while True:
            await sender.send(bytes(9000))


async def by_transport(address, stuck):
    transport, _ = await aio.create_datagram_endpoint(asyncio.DatagramProtocol, peer=address)
    # Whoever reads is told of the refusal, and it is over.
    transport.pause_reading()
    transport.sendto(b"anybody?")
    stuck()
    while not transport.get_write_buffer_size():
        transport.sendto(bytes(9000))
    try:
        await asyncio.Event().wait()
    finally:
        transport.abort()


@pytest.mark.parametrize("send", [by_sender, by_transport])
def test_a_wait_for_room_takes_no_time_of_the_processor_where_a_host_refuses(run, refusing, stuck, send):
    async def main():
        begin, used = time.monotonic(), time.thread_time()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(send(refusing, stuck), 0.5)
        assert time.thread_time() - used < (time.monotonic() - begin) / 4

    run(main())


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("-inf")])
def test_a_time_out_that_is_none_is_refused(run, group, timeout):
    async def main():
        for opening in (
            lambda: aio.Listener(group, timeout=timeout),
            lambda: aio.MulticastListener(group, timeout=timeout),
            lambda: aio.MulticastUDPReceiver("lo", group.host, group.port, timeout=timeout),
            lambda: aio.Socket("127.0.0.1:0", timeout=timeout),
            lambda: aio.Socket.connect("127.0.0.1:9", timeout=timeout),
        ):
            with pytest.raises(ValueError, match="cannot be waited; give seconds from 0, or None"):
                opening()

    run(main())


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("-inf")])
def test_a_time_out_of_a_call_that_is_none_is_refused(run, group, timeout):
    async def main():
        announced = ("Cam", "wsdp:Device", 80)
        async with aio.listen(group) as listener, aio.browse("printer", interface="lo") as driver:
            async with aio.announce(*announced, interface="lo") as announcer:
                for call in listener.recv, listener.recv_many, driver.next_event, announcer.next_event:
                    with pytest.raises(ValueError, match="cannot be waited; give seconds from 0"):
                        await call(timeout=timeout)

    run(main())


def test_what_was_open_when_its_loop_was_closed_can_be_closed(group):
    async def main(wait):
        waiting = asyncio.ensure_future(wait())
        await turn()
        await turn()
        return waiting

    for opened, wait in [
        (listener := aio.listen(group), listener.recv),
        (driver := aio.measure.receive(group), driver.next_event),
        (stream := aio.receive_stream(group), stream.read),
    ]:
        loop = asyncio.new_event_loop()
        waiting = loop.run_until_complete(main(wait))
        loop.close()
        opened.close()
        assert opened.closed
        # It was left waiting, and need not say so.
        waiting._log_destroy_pending = False


def test_a_listener_goes_on_on_another_loop(group):
    async def begin(listener):
        return asyncio.ensure_future(listener.recv())

    listener = aio.listen(group)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    failures = []
    second.set_exception_handler(lambda loop, context: failures.append(context))
    waiting = first.run_until_complete(begin(listener))
    first.run_until_complete(turn())
    first.close()
    manycast.send("here", group)
    assert second.run_until_complete(listener.recv(timeout=10)).payload == b"here"
    listener.close()
    second.close()
    # It was left waiting, and need not say so.
    waiting._log_destroy_pending = False
    assert not failures


def test_a_sender_whose_socket_is_replaced_while_it_waits_for_room(run, group):
    async def main():
        loop = asyncio.get_running_loop()
        async with aio.Sender(group) as sender:
            inner, full = sender._object, Replaced()
            full.fileno = full.sending_fileno
            sender._object = full
            sending = asyncio.ensure_future(sender.send(b"x"))
            await turn()
            await turn()
            full.replace()
            # Somebody else waits for the descriptor that has the number now.
            heard = asyncio.Event()
            loop.add_writer(full.sending_fileno(), heard.set)
            assert await sending == b"x" and heard.is_set()
            loop.remove_writer(full.sending_fileno())
            full.close()
            sender._object = inner

    run(main())
