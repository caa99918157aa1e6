"""A stream to many, blocking and on the event loop."""

import array
import asyncio
import errno
import gc
import io
import os
import select
import signal
import tarfile
import threading

import pytest
from waiting import interrupted, turn, until, waits

import manycast
from manycast import aio

CONTENT = os.urandom(3_000_000)


class Reading:
    """Receives a stream in a thread of its own."""

    def __init__(self, group, name, **options):
        self.stream = manycast.receive_stream(group, name=name, **options)
        self.parts = []
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            with self.stream as stream:
                for part in stream:
                    self.parts.append(part)
        except manycast.Error as error:
            self.error = error

    @property
    def result(self):
        self.thread.join()
        return b"".join(self.parts)


def test_a_stream_comes_to_all_in_order(group):
    reading = [Reading(group, name) for name in ("one", "two")]
    with manycast.send_stream(group, names=["one", "two"], rate=400e6) as out:
        assert out.write(CONTENT[:7]) == 7 and out.report is None and not out.closed
        out.write(memoryview(CONTENT)[7:])
    assert out.closed and repr(out) == "<StreamSender, closed>"
    assert out.report.complete and out.report.bytes == len(CONTENT)
    assert dict(out.report.receivers) == {"one": True, "two": True}
    for one in reading:
        assert one.result == CONTENT and one.error is None
        assert one.stream.report.bytes == len(CONTENT) and one.stream.report.error is None
    with pytest.raises(manycast.ClosedError):
        out.write(b"more")


def test_little_comes_at_once(group):
    reading = Reading(group, "r")
    with manycast.send_stream(group, names="r") as out:
        for part in (b"one", b"two"):
            out.write(part)
            until(lambda: reading.parts and reading.parts[-1] == part)
    assert reading.result == b"onetwo"


def test_it_is_a_file_for_others(group, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    with manycast.receive_stream(group, name="r") as stream:

        def send():
            with manycast.send_stream(group, names="r", rate=400e6) as out:
                with tarfile.open(fileobj=out, mode="w|") as tar:
                    tar.add(tmp_path / "file", "file")

        sending = threading.Thread(target=send)
        sending.start()
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            (content,) = (tar.extractfile(member).read() for member in tar)
        assert stream.read().strip(b"\0") == b"" and stream.read(5) == b""
        sending.join()
    assert content == CONTENT


def test_so_many_bytes_are_read(group):
    with manycast.receive_stream(group, name="r") as stream:
        sending = threading.Thread(target=_send, args=(group, "r", b"one two three"))
        sending.start()
        assert [stream.read(0), stream.read(4), stream.read(), stream.read()] == [
            b"", b"one ", b"two three", b""
        ]
        assert stream.report.bytes == 13
        sending.join()


def _send(group, names, content):
    with manycast.send_stream(group, names=names, rate=400e6) as out:
        out.write(content)


def test_bytes_that_are_missing_are_told(group):
    first = Reading(group, "first")
    with manycast.send_stream(group, names="first") as out:
        out.write(CONTENT[:1_000_000])
        until(lambda: sum(map(len, first.parts)) == 1_000_000)
        late = Reading(group, "late")
        while late.thread.is_alive():
            out.write(bytes(10_000))
    first.result
    assert late.result == b""
    with pytest.raises(manycast.TransferError, match="bytes from byte 0 on are missing"):
        raise late.error
    assert "byte 0" in late.stream.report.error
    with pytest.raises(manycast.TransferError, match="missing"):
        late.stream.read()


def test_a_receiver_that_is_not_there(group):
    with pytest.raises(manycast.TimedOut, match="absent did not answer"):
        with manycast.send_stream(group, names="absent", wait=0.1):
            pass
    with pytest.raises(TimeoutError, match="absent did not answer"):
        with manycast.send_stream(group, names="absent", wait=0.1) as out:
            while True:
                out.write(CONTENT)
    assert out.closed and out.report is None


def test_so_many_receivers_are_expected_whoever_they_are(group):
    reading = [Reading(group, name) for name in ("one", "two")]
    with manycast.send_stream(group, receivers=2, rate=400e6) as out:
        out.write(CONTENT)
    assert dict(out.report.receivers) == {"one": True, "two": True}
    assert [one.result for one in reading] == [CONTENT, CONTENT]
    with pytest.raises(manycast.TimedOut, match="0 of 3 receivers answered"):
        manycast.send_stream(group, receivers=3, wait=0.1).close()


def test_a_receiver_that_goes_is_told(group):
    with manycast.receive_stream(group, name="r") as stream:
        out = manycast.send_stream(group, names="r", wait=10)
        out.write(b"first")
        assert stream.read(5) == b"first"
    out.write(b"second")
    with pytest.raises(manycast.TransferError, match="cannot send all of the stream to r"):
        out.close()
    assert out.report.receivers == (("r", False),)
    out.close()


def test_an_error_breaks_off_the_stream(group):
    reading = Reading(group, "r", timeout=2)
    with pytest.raises(KeyError):
        with manycast.send_stream(group, names="r") as out:
            out.write(b"first")
            until(lambda: reading.parts)
            raise KeyError
    assert out.closed and out.report is None
    assert reading.result == b"first" and isinstance(reading.error, manycast.TransferError)


def test_what_is_refused(group):
    with pytest.raises(manycast.AddressError):
        manycast.send_stream("239.1.1.1")
    with pytest.raises(manycast.SocketError, match="nowhere0"):
        manycast.receive_stream(group, interface="nowhere0").read()
    with pytest.raises(ValueError, match="no name of a receiver"):
        with manycast.send_stream(group, names=["x" * 65]):
            pass
    with pytest.raises(TypeError):
        with manycast.send_stream(group) as out:
            out.write("text")


def test_an_interrupt_ends_the_wait(group):
    with interrupted():
        with pytest.raises(KeyboardInterrupt):
            with manycast.receive_stream(group) as stream:
                stream.read()
    assert stream.closed
    with interrupted():
        with pytest.raises(KeyboardInterrupt):
            with manycast.send_stream(group, names="absent", wait=60) as out:
                out.close()
    assert out.closed


def test_an_interrupt_loses_nothing_that_was_read(group):
    with manycast.receive_stream(group, name="r") as stream:
        with manycast.send_stream(group, names="r") as out:
            main = threading.main_thread()
            out.write(b"one")
            comes([stream])
            # The wait is for what follows: what had come was taken before it.
            with interrupted(when=lambda: not comes([stream], 0) and waits(main)):
                with pytest.raises(KeyboardInterrupt):
                    stream.read(6)
            out.write(b"two")
            assert stream.read(6) == b"onetwo"


def comes(streams, seconds=10):
    """Whether something comes that can be read."""
    return bool(select.select(streams, [], [], seconds)[0])


@pytest.mark.parametrize("end", ["abort", "close"])
def test_closing_ends_the_wait_of_another_thread(group, end):
    """What is sent waits for a receiver that never comes."""
    stream = manycast.receive_stream(group)
    out = manycast.send_stream(group, names="absent", wait=60)
    told = []

    def wait(call):
        try:
            call()
        except Exception as error:
            told.append(type(error))

    calls = [stream.read, lambda: out.write(CONTENT)]
    threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
        until(lambda: waits(thread))
    getattr(stream, end)()
    out.abort()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert told == [manycast.ClosedError] * 2


def test_an_error_in_a_write_is_no_end(group):
    """Such as one that a handler of signals raises."""

    class Broken:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def send(self, _data):
            raise OSError(errno.ENOBUFS, "enough")

    stream = manycast.receive_stream(group, name="r")
    out = manycast.send_stream(group, names="r")
    out.write(b"some")
    assert stream.read(4) == b"some"
    out._socket = Broken(out._socket)
    with pytest.raises(OSError, match="enough"):
        out.write(b"more")
    assert not out.closed
    out._socket = out._socket.inner
    out.abort()
    with pytest.raises(manycast.TransferError):
        stream.read()


@pytest.mark.parametrize("way", ["write", "read"])
def test_what_a_handler_of_signals_raises_ends_a_wait(group, way):
    """It may be a TimeoutError, as many set an alarm for."""
    stream = manycast.receive_stream(group, name="r")
    # Nobody acknowledges what is written, so that room ends; and nothing comes.
    out = manycast.send_stream(group, names="absent", wait=30)

    def late(_number, _frame):
        raise TimeoutError("late")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(TimeoutError, match="late"):
            stream.read() if way == "read" else out.write(bytes(1 << 26))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not stream.closed and not out.closed
    stream.abort()
    out.abort()


def test_two_threads_close_it(group):
    out = manycast.send_stream(group, names="absent", wait=0.5)
    told = []

    def close():
        try:
            out.close()
        except manycast.Error as error:
            told.append(type(error))

    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert told == [manycast.TimedOut] and out.closed


def test_a_child_that_was_forked_off_does_not_hide_the_end(group):
    with manycast.receive_stream(group, name="r") as stream:
        out = manycast.send_stream(group, names="r")
        to_read, to_write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(to_write)
            os.read(to_read, 1)
            os._exit(0)
        out.write(b"all")
        out.close()
        assert stream.read() == b"all"
        os.close(to_read)
        os.close(to_write)
        os.waitpid(child, 0)


def test_whoever_forgets_to_close_is_warned(group):
    out = manycast.send_stream(group)
    with pytest.warns(ResourceWarning, match="unclosed <StreamSender>"):
        del out
        gc.collect()


def test_on_the_event_loop(group):
    async def main():
        async with aio.receive_stream(group, name="r") as stream:
            sending = asyncio.ensure_future(send())
            into = io.BytesIO(await stream.read(10))
            into.seek(0, io.SEEK_END)
            async for part in stream:
                into.write(part)
            report = await sending
        return into.getvalue(), report, stream.report

    async def send():
        async with aio.send_stream(group, names="r", rate=400e6) as out:
            await out.write(CONTENT)
        return out.report

    content, sent, received = asyncio.run(main())
    assert content == CONTENT and sent.complete and received.bytes == len(CONTENT)


def test_tasks_that_are_cancelled_end_their_streams(group):
    async def main():
        stream = aio.receive_stream(group)
        out = aio.send_stream(group, names="absent", wait=60)
        tasks = [asyncio.ensure_future(it) for it in (stream.read(), out.write(CONTENT))]
        await asyncio.wait(tasks, timeout=0.1)
        for task in tasks:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        stream.close()
        assert stream.closed and out.closed
        async with aio.send_stream(group, names="absent", wait=0.1) as late:
            with pytest.raises(manycast.TimedOut, match="absent did not answer"):
                await late.close()

    asyncio.run(main())


def on_a_loop(main):
    return asyncio.run(asyncio.wait_for(main, 30))


def test_items_that_are_wider_than_a_byte(group):
    numbers = array.array("I", range(500_000))
    reading = Reading(group, "r")

    async def main():
        async with aio.send_stream(group, names="r", rate=400e6) as out:
            return await out.write(numbers)

    assert on_a_loop(main()) == len(numbers.tobytes())
    assert reading.result == numbers.tobytes()


def test_closing_ends_the_wait_of_another_task(group):
    async def main():
        loop = asyncio.get_running_loop()
        stream = aio.receive_stream(group)
        aborted, ended = (aio.send_stream(group, names="absent", wait=60) for _ in range(2))
        fds = [stream.fileno(), aborted.fileno(), ended.fileno()]
        calls = [stream.read(), stream.__anext__(), aborted.write(CONTENT), ended.write(CONTENT)]
        tasks = [asyncio.ensure_future(call) for call in calls]
        for _ in range(10):
            await turn()
        stream.close()
        aborted.abort()
        closing = asyncio.ensure_future(ended.close())
        for task in tasks:
            with pytest.raises(manycast.ClosedError):
                await task
        ended.abort()
        with pytest.raises(manycast.ClosedError):
            await closing
        # The loop knows none of them, whose numbers are others' from now on.
        assert not any(loop.remove_reader(fd) or loop.remove_writer(fd) for fd in fds)

    on_a_loop(main())


def test_two_tasks_close_it(group):
    async def main():
        out = aio.send_stream(group, names="absent", wait=0.5)
        ends = await asyncio.gather(out.close(), out.close(), return_exceptions=True)
        assert [type(end) for end in ends] == [manycast.TimedOut, type(None)] and out.closed

    on_a_loop(main())


def test_two_tasks_read_to_the_end(group):
    async def main():
        sending = threading.Thread(target=_send, args=(group, "r", b"all"))
        async with aio.receive_stream(group, name="r") as stream:
            sending.start()
            parts = await asyncio.gather(stream.read(), stream.read())
        sending.join()
        return b"".join(parts)

    assert on_a_loop(main()) == b"all"


def test_cancelling_a_read_loses_nothing(group):
    async def main():
        async with aio.receive_stream(group, name="r") as stream:
            got = b""
            async with aio.send_stream(group, names="r") as out:
                for number in range(8):
                    # It is cancelled at each moment between what comes and what is returned.
                    reading = asyncio.ensure_future(stream.__anext__())
                    await turn()
                    await out.write(b"%d" % number)
                    comes([stream])
                    for _ in range(number % 4):
                        await turn()
                    reading.cancel()
                    try:
                        got += await reading
                    except asyncio.CancelledError:
                        got += await stream.read(1)
                await out.write(b"some")
                comes([stream])
                reading = asyncio.ensure_future(stream.read(9))
                while comes([stream], 0):
                    await turn()
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                await out.write(b" more")
                got += await stream.read(9)
        return got

    assert on_a_loop(main()) == b"01234567some more"


def test_cancelling_a_read_does_not_lose_the_end(group):
    async def main():
        sending = threading.Thread(target=_send, args=(group, "r", b"all"))
        async with aio.receive_stream(group, name="r") as stream:
            sending.start()
            assert await stream.read(3) == b"all"
            for turns in range(4):
                reading = asyncio.ensure_future(stream.read())
                if turns and not stream.closed:
                    comes([stream])
                for _ in range(turns):
                    await turn()
                reading.cancel()
                await asyncio.wait([reading])
            assert await stream.read() == b"" and stream.report.bytes == 3
        sending.join()

    on_a_loop(main())
