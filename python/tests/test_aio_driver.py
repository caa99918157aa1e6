"""The same on the event loop: iteration, time-outs, cancellation, closing."""

import asyncio

import pytest
import uvloop
from waiting import turn

import manycast
from manycast import aio

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request):
    loop = LOOPS[request.param]()
    yield lambda main: loop.run_until_complete(asyncio.wait_for(main(), 30))
    loop.close()


def test_a_stream_is_measured(run, group):
    async def main():
        async with aio.measure.receive(group, expect=1, interval=0.05) as receiving:
            stats, events = await asyncio.gather(
                aio.measure.send(group, rate=8e5, size=100, count=100).run(), gather(receiving)
            )
            return stats, events, receiving.stats

    async def gather(receiving):
        return [event async for event in receiving]

    stats, events, received = run(main)
    assert isinstance(events[0], aio.measure.Began)
    assert stats.datagrams == received.streams[0].datagrams == 100


def test_a_cancelled_wait_loses_no_event(run, group):
    async def main():
        async with aio.measure.receive(group) as receiving:
            for _ in range(3):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(receiving.next_event(), 0.02)
            await aio.measure.send(group, count=1).run()
            return await receiving.next_event(timeout=10)

    assert isinstance(run(main), aio.measure.Began)


def test_a_time_out(run, group):
    async def main():
        async with aio.measure.receive(group) as receiving:
            with pytest.raises(manycast.TimedOut, match="told nothing within 0.02 s"):
                await receiving.next_event(timeout=0.02)

    run(main)


def test_closing_ends_the_waits_of_other_tasks(run, group):
    async def main():
        receiving = aio.measure.receive(group)
        waiting = asyncio.ensure_future(receiving.next_event())
        iterating = asyncio.ensure_future(receiving.__anext__())
        await turn()
        receiving.close()
        with pytest.raises(manycast.ClosedError):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await iterating
        assert receiving.closed and repr(receiving).startswith("<aio.Driver of")
        with pytest.raises(manycast.ClosedError):
            await receiving.next_event()

    run(main)


def test_a_greedy_protocol_leaves_other_tasks_their_turn(run, group):
    async def main():
        sending = aio.measure.send(group, rate=None, duration=float("inf"))
        running = asyncio.ensure_future(sending.run())
        most = sent = 0
        while sent < 20_000:
            await turn()
            before, sent = sent, sending.stats.datagrams
            most = max(most, sent - before)
        sending.finish()
        await running
        return most

    # No more goes between two turns of this task than a driver sends before it looks around.
    assert run(main) <= 4096


def test_cancelling_the_run_closes_it(run, group):
    async def main():
        sending = aio.measure.send(group, rate=1e5, duration=float("inf"))
        running = asyncio.ensure_future(sending.run())
        while not sending.stats.datagrams:
            await turn()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sending.closed

    run(main)


def test_names_are_refused(run):
    async def main():
        with pytest.raises(manycast.AddressError, match="would block the event loop"):
            aio.measure.send("localhost:5001")

    run(main)


def test_asking_on_all_interfaces(run, group):
    async def main():
        async with aio.listen(group, timeout=10) as listener, aio.Socket("127.0.0.1:0") as own:
            asking = asyncio.ensure_future(
                aio.ask("who?", (group.host, group.port), interface="all", answers=1, timeout=10)
            )
            question = await listener.recv()
            await own.send_to("here", question.source)
            return await asking

    (answer,) = run(main)
    assert (answer.payload, answer.interface) == (b"here", "lo")


def test_all_tasks_that_wait_hear_of_the_end(run, group):
    async def main():
        receiving = aio.measure.receive(group, duration=0.1)
        events = await asyncio.gather(*(receiving.next_event() for _ in range(3)))
        assert receiving.finished and receiving.closed
        return [*events, await receiving.next_event(), [event async for event in receiving]]

    assert run(main) == [None, None, None, None, []]
