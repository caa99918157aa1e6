"""One driver for every protocol: iteration, time-outs, Ctrl-C, commands, closing."""

import os
import signal
import threading
import time

import pytest

import manycast
from manycast import measure


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
        while driver.stats.datagrams < 2:
            time.sleep(0.001)
        driver.finish()
        running.join(10)
        assert not running.is_alive() and driver.finished


def test_a_greedy_protocol_neither_blocks_threads_nor_a_close(group, slow):
    with measure.send(group, rate=None, duration=float("inf")) as driver:
        running = threading.Thread(target=driver.run)
        running.start()
        while driver.stats.datagrams < 1000:
            time.sleep(0.001)
        begin = time.monotonic()
        driver.finish()
        running.join(10)
        assert not running.is_alive() and time.monotonic() - begin < 5


def test_ctrl_c_ends_a_wait(group):
    with receiving(group) as driver:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            driver.next_event()
        assert time.monotonic() - begin < 5
        timer.join()
        # It goes on working.
        measure.send(group, count=1).run()
        assert isinstance(driver.next_event(timeout=10), measure.Began)


def test_ctrl_c_ends_a_protocol_that_always_has_something_to_send(group):
    with measure.send(group, rate=None, duration=float("inf")) as driver:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            driver.run()
        timer.join()
    assert driver.closed


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
