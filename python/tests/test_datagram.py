import time

import pytest

import manycast


@pytest.fixture
def datagram(listener, group):
    manycast.send("Hello, world!", group)
    return listener.recv()


def test_it_is_frozen(datagram):
    with pytest.raises(AttributeError):
        datagram.payload = b"other"
    with pytest.raises(AttributeError):
        datagram.other = 1


def test_it_is_bytes_and_a_buffer_without_a_copy(datagram):
    assert bytes(datagram) is datagram.payload
    assert datagram.payload is datagram.payload
    assert memoryview(datagram.payload)[:5] == b"Hello"


def test_it_shows_itself(datagram, group):
    assert repr(datagram) == (
        f"<Datagram b'Hello, world!' of 13 bytes from {datagram.source} "
        f"to {group.host}:{group.port} on lo, hops 1>"
    )


def test_it_compares_by_all_that_it_holds(datagram, listener, group):
    manycast.send("Hello, world!", group)
    other = listener.recv()
    assert datagram == datagram and hash(datagram) == hash(other)
    assert datagram != other  # another source port and time
    assert datagram != b"Hello, world!"


def test_it_can_be_matched():
    assert manycast.Datagram.__match_args__ == (
        "payload", "source", "destination", "interface", "hops", "time", "dropped", "truncated",
    )  # fmt: skip


def test_its_times_are_those_of_the_module_time(datagram):
    assert abs(time.time() - datagram.time) < 60
    assert abs(datagram.time_ns / 1e9 - datagram.time) < 1e-6


def test_it_counts_what_was_dropped(group):
    with manycast.listen(group, receive_buffer=1, timeout=10) as listener:
        with manycast.Sender(group) as sender:
            sender.send_many([bytes(1000)] * 1000)
            listener.try_recv_many()
            sender.send("after")
        assert 0 < listener.recv_many()[-1].dropped < 1000
