"""A child that was forked off leaves alone what its parent has open."""

import asyncio
import gc
import os
import select
import socket

import pytest
from waiting import turn

import manycast
from manycast import aio, measure
from manycast._manycast import begin_tftp_get

# Since Python 3.12 it warns of each fork beside threads, which this is about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def in_a_child(act):
    """Does something in a child that was forked off, and waits until that has ended well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def silent():
    """A port that answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(10)
        yield silent


def address_of(silent):
    return f"127.0.0.1:{silent.getsockname()[1]}"


def drop(opened):
    opened.clear()


def close(opened):
    (one,) = opened
    one.close()
    assert one.closed
    one.close()


@pytest.mark.parametrize("leave", [drop, close])
def test_a_protocol_says_its_last_words_once(server, leave):
    opened = [measure.send(server.local_address, rate=1e4, duration=float("inf"))]
    while not opened[0].stats.datagrams:
        opened[0].try_next_event()
    before = len(server.recv_many())
    in_a_child(lambda: leave(opened))
    assert server.try_recv_many() == []
    opened[0].close()
    assert before == 1 and len(server.recv_many()) == 1


@pytest.mark.parametrize("begin", [
    lambda group: measure.receive(group),
    lambda group: manycast.browse("printer", interface="lo"),
])
def test_closing_it_ends_nothing_in_the_parent(group, begin):
    with begin(group) as driver:
        in_a_child(driver.close)
        with pytest.raises(manycast.TimedOut):
            driver.next_event(timeout=0)
        assert not driver.closed


def test_a_stream_is_not_ended_by_leaving_its_block(group):
    def leave():
        for end in (out, stream):
            with end:
                pass
            assert end.closed

    def use():
        for call in (lambda: out.write(b"x"), lambda: stream.read(1)):
            with pytest.raises(manycast.Error, match="open one after the fork"):
                call()

    with manycast.receive_stream(group, name="r") as stream:
        with manycast.send_stream(group, names="r") as out:
            out.write(b"first")
            assert stream.read(5) == b"first"
            in_a_child(use)
            in_a_child(leave)
            out.write(b"second")
            assert stream.read(6) == b"second"
    assert out.report.complete


def test_streams_that_are_dropped_are_not_broken_off(group):
    opened = [manycast.receive_stream(group, name="r"), manycast.send_stream(group, names="r")]
    opened[1].write(b"first")
    assert opened[0].read(5) == b"first"
    in_a_child(opened.clear)
    stream, out = opened
    out.write(b"second")
    out.close()
    assert stream.read() == b"second"


def test_a_stream_on_an_event_loop_is_not_ended_either(group):
    async def main():
        async with aio.receive_stream(group, name="r") as stream:
            async with aio.send_stream(group, names="r") as out:
                reading = asyncio.ensure_future(stream.read(5))
                await out.write(b"fir")
                for _ in range(3):
                    await turn()

                def leave():
                    out.close().send(None)

                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        stream.close()
                        with pytest.raises(StopIteration):
                            leave()
                        status = 0
                    finally:
                        os._exit(status)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                await out.write(b"st")
                assert await reading == b"first"
        assert out.report.complete

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_listener_on_an_event_loop_still_hears_what_comes(group):
    async def main():
        async with aio.listen(group) as listener:
            waiting = asyncio.ensure_future(listener.recv())
            await turn()
            await turn()
            in_a_child(listener.close)
            manycast.send("still here", group)
            return (await waiting).payload

    assert asyncio.run(asyncio.wait_for(main(), 10)) == b"still here"


def test_a_transfer_that_is_dropped_goes_on(silent, tmp_path):
    begun = [begin_tftp_get(f"{address_of(silent)}/x", tmp_path / "x")]
    _, client = silent.recvfrom(1000)
    in_a_child(begun.clear)
    # The first and last block (RFC 1350).
    silent.sendto(b"\0\3\0\1content", client)
    assert begun[0].result().bytes == 7
    assert (tmp_path / "x").read_bytes() == b"content"


def test_what_waits_for_a_thread_is_left_to_the_parent(silent, tmp_path):
    """64 transfers have a thread; one more waits."""
    begun = [
        begin_tftp_get(f"{address_of(silent)}/{number}", tmp_path / str(number))
        for number in range(65)
    ]

    def begin_another():
        begin_tftp_get(f"{address_of(silent)}/x", tmp_path / "x").cancel()

    in_a_child(begin_another)
    assert select.select(begun, [], [], 0)[0] == []
    for one in begun:
        one.cancel()
