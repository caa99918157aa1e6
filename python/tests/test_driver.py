"""One driver for every protocol: iteration, time-outs, Ctrl-C, commands, closing."""

import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest
from waiting import interrupted, until, waits

import manycast
from manycast import measure
from manycast._manycast import begin_ask


def receiving(group, **how):
    return measure.receive(group, **how)


def test_iteration_ends_when_the_protocol_does(group):
    with receiving(group, expect=1, interval=0.05) as driver:
        stats = measure.send(group, rate=8e5, size=100, count=100).run()
        events = list(driver)
        assert driver.finished and driver.closed
        streams = driver.stats.streams
    assert isinstance(events[0], measure.Began) and events[0].interface == "lo"
    assert all(isinstance(event, measure.Interval) for event in events[1:])
    assert sum(event.streams[0].datagrams for event in events[1:]) == 100
    assert (streams[0].datagrams, streams[0].lost, streams[0].ended) == (100, 0, True)
    assert (stats.datagrams, stats.bytes, stats.report) == (100, 10_000, None)
    assert driver.next_event() is None and list(driver) == []
    assert repr(driver).endswith(", finished>")


def test_a_host_reports(group):
    with manycast.Socket("127.0.0.1:0") as free:
        address = free.local_address
    with receiving(address, expect=1) as driver:
        running = threading.Thread(target=driver.run)
        running.start()
        (finished,) = measure.send(address, count=10)
        running.join()
    assert finished.report.datagrams == 10 and finished.report.lost == 0


def test_a_time_out(group):
    with receiving(group) as driver:
        with pytest.raises(TimeoutError, match="told nothing within 0.05 s"):
            driver.next_event(timeout=0.05)
        with pytest.raises(manycast.TimedOut):
            driver.next_event(timeout=0)


def test_closing_ends_the_wait_of_another_thread(group):
    told = []
    driver = receiving(group)

    def wait():
        try:
            driver.next_event()
        except manycast.ClosedError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: waits(waiting))
    driver.close()
    waiting.join(10)
    assert told == ["the Driver is closed; begin another"]
    assert driver.closed and driver.finished and list(driver) == []
    with pytest.raises(manycast.ClosedError):
        driver.next_event()
    assert driver.stats.streams == ()
    assert repr(driver).endswith(", closed>")


def test_finish_reaches_a_driver_that_runs_in_another_thread(group):
    """It would send for ever otherwise; the rate keeps it waiting most of the time."""
    with measure.send(group, rate=1e5, duration=float("inf")) as driver:
        running = threading.Thread(target=driver.run)
        running.start()
        until(lambda: driver.stats.datagrams >= 2)
        driver.finish()
        running.join(10)
        assert not running.is_alive() and driver.finished


def test_a_greedy_protocol_neither_blocks_threads_nor_a_close(group, slow):
    with measure.send(group, rate=None, duration=float("inf")) as driver:
        running = threading.Thread(target=driver.run)
        running.start()
        until(lambda: driver.stats.datagrams >= 1000)
        begin = time.monotonic()
        driver.finish()
        running.join(10)
        assert not running.is_alive() and time.monotonic() - begin < 5


def test_ctrl_c_ends_a_wait(group):
    with receiving(group) as driver:
        with interrupted(), pytest.raises(KeyboardInterrupt):
            driver.next_event()
        # It goes on working.
        measure.send(group, count=1).run()
        assert isinstance(driver.next_event(timeout=10), measure.Began)


def test_ctrl_c_ends_a_protocol_that_always_has_something_to_send(group):
    with measure.send(group, rate=None, duration=float("inf")) as driver:
        is_sending = interrupted(when=lambda: driver.stats.datagrams >= 1000)
        with is_sending, pytest.raises(KeyboardInterrupt):
            driver.run()
    assert driver.closed


@pytest.mark.parametrize("opening", [measure.receive, manycast.Listener])
def test_an_iteration_that_is_closed_by_a_signal_swallows_no_interrupt(group, opening):
    opened = opening(group)

    def close(*_signal):
        opened.close()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, close)
    try:
        with interrupted(), pytest.raises(KeyboardInterrupt):
            next(opened)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(opened) == []


def test_finish_tells_the_last_interval(group):
    with receiving(group, interval=1000) as driver:
        measure.send(group, count=3).run()
        assert isinstance(driver.next_event(timeout=10), measure.Began)
        driver.finish()
        (interval,) = driver
    assert interval.streams[0].datagrams == 3 and driver.finished


def asked(group, answers):
    """A driver of two questions to a group, to each of which three members have answered."""
    where = (group.host, group.port)
    asking = begin_ask("?", where, interface=["lo", "127.0.0.1"], answers=answers, timeout=10)
    with ExitStack() as stack:
        listener = stack.enter_context(manycast.listen(group, timeout=10))
        members = [stack.enter_context(manycast.Socket("127.0.0.1:0")) for _ in range(3)]
        assert asking.try_next_event() is None
        for question in [listener.recv(), listener.recv()]:
            for member in members:
                member.send_to("here", question.source)
    return asking


def test_several_take_turns(group):
    with asked(group, answers=6) as asking:
        ports = [answer.datagram.destination.port for answer in asking]
    assert len(ports) == 6 and len(set(ports)) == 2
    assert len(set(ports[::2])) == len(set(ports[1::2])) == 1


def test_so_many_answers_are_enough_however_many_are_asked_by(group):
    with asked(group, answers=2) as asking:
        assert len(list(asking)) == 2 and asking.finished


def test_the_error_of_one_is_told_behind_what_the_others_tell():
    with manycast.Socket("127.0.0.1:0", timeout=10) as server:
        here = server.local_address
        with begin_ask(
            "?", here, interface=["lo", "127.0.0.1"], timeout=0.05, retries=8
        ) as asking:
            assert asking.try_next_event() is None
            server.recv()
            # From now on, whoever asked first is refused when it asks again.
            server.reconnect(server.recv().source)
            with pytest.raises(manycast.TimedOut):
                asking.next_event(timeout=0.5)
            server.send("OK")
            assert asking.next_event(timeout=10).payload == b"OK"
            with pytest.raises(ConnectionRefusedError):
                asking.next_event(timeout=10)
            assert asking.next_event() is None


def test_a_command_that_there_is_not(group):
    with receiving(group) as driver, pytest.raises(AttributeError, match='no command "dance"'):
        driver.command("dance")


def test_what_is_left_open_warns(group):
    driver = receiving(group)
    with pytest.warns(ResourceWarning, match="unclosed <Driver of measuring on"):
        del driver


def test_several_run_as_one(group):
    """A stream for each interface; here it is one interface twice."""
    with receiving(group, expect=2, interval=0) as driver:
        address = (group.host, group.port)
        sending = measure.send(address, interface=["lo", "127.0.0.1"], count=50, rate=4e6)
        assert len(list(sending)) == 2
        one, other = sending.stats
        assert one.datagrams == other.datagrams == 50
        streams = driver.run().streams
    assert [stream.datagrams for stream in streams] == [50, 50]
    assert measure.send(address, interface="all", count=1).run().datagrams == 1


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"size": 11}, "12 to 65507"),
        ({"count": 0}, "at least one"),
        ({"rate": 0.5}, "cannot be held"),
        ({"interface": []}, "no interface is named"),
        ({"burst": float("inf")}, "too long"),
    ],
)
def test_what_is_refused(group, arguments, match):
    with pytest.raises(ValueError, match=match):
        measure.send(group, **arguments)


def test_a_forked_child_is_told(group):
    with receiving(group) as driver:
        child = os.fork()
        if child == 0:
            try:
                driver.next_event(timeout=0)
            except manycast.Error as error:
                os._exit(7 if "forked" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
