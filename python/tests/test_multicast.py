import gc

import pytest

import manycast


@pytest.fixture
def receiver(group):
    with manycast.MulticastListener(group.host, group.port, interface="lo", timeout=10) as receiver:
        yield receiver


def test_nothing_is_cut_silently(receiver, group):
    manycast.send(bytes(1316), group)
    with pytest.raises(manycast.TruncatedError, match="1316 bytes .* longer than the limit of 100") as raised:
        receiver.recv(100)
    assert len(raised.value.datagram.payload) == 1316
    manycast.send("0123456789", group)
    assert receiver.recv(4, truncate=True) == b"0123"
    manycast.send("0123", group)
    assert receiver.recv(4) == b"0123"


def test_sources_and_interface(group):
    with manycast.MulticastListener(
        group.host, group.port, interface="lo", sources=["127.0.0.1"], timeout=10
    ) as receiver:
        with manycast.Sender(group, source="127.0.0.1") as sender:
            sender.send("wanted")
        assert receiver.recv() == b"wanted"


def test_iteration_gives_payloads(receiver, group):
    with manycast.Sender(group) as sender:
        sender.send_many(["a", "b"])
    assert [next(receiver), next(receiver)] == [b"a", b"b"]


def test_time_out(receiver):
    with pytest.raises(TimeoutError):
        receiver.recv(timeout=0)


def test_a_host_is_no_group():
    with pytest.raises(manycast.AddressError, match="is no multicast group"):
        manycast.MulticastListener("127.0.0.1", 5000)


def test_the_receiver_of_py_multicast(group):
    with manycast.MulticastUDPReceiver("lo", group.host, group.port, timeout=10) as receiver:
        manycast.send("x", group)
        assert receiver.read() == b"x"
        with pytest.raises(TimeoutError):
            receiver.read(timeout=0)
    with pytest.raises(manycast.ClosedError):
        receiver.read()


def test_left_open_they_warn(group):
    with pytest.warns(ResourceWarning, match="unclosed <MulticastListener"):
        manycast.MulticastListener(group)
        gc.collect()
    with pytest.warns(ResourceWarning, match="unclosed <MulticastUDPReceiver"):
        manycast.MulticastUDPReceiver("lo", group.host, group.port)
        gc.collect()
