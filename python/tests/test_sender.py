import array
import gc
import itertools

import pytest

import manycast


def test_it_says_on_which_way_it_was_sent(listener, group):
    sent = manycast.send("Hello, world!", group, hops=3)
    assert (sent.size, sent.interface, sent.hops) == (13, "lo", 3)
    assert sent.destination == (group.host, group.port)
    assert sent.source == listener.recv().source
    assert str(sent) == f"13 bytes to {sent.destination} from {sent.source} by lo, hop limit 3"


@pytest.mark.parametrize(
    "payload, expected",
    [
        ("grüß", "grüß".encode()),
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"xviewx")[1:-1], b"view"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
        (b"", b""),
    ],
)
def test_whatever_is_text_or_bytes_is_sent(listener, group, payload, expected):
    manycast.send(payload, group)
    assert listener.recv().payload == expected


@pytest.mark.parametrize("payload", [5, None, ["x"], 1.5])
def test_nothing_else_is_sent(group, payload):
    with pytest.raises(TypeError, match="a payload is str .* or bytes-like, not"):
        manycast.send(payload, group)


def test_many(listener, group):
    with manycast.Sender(group) as sender:
        assert sender.send_many([]) == 0
        assert sender.send_many(str(i) for i in range(200)) == 200
        assert sender.try_send_many([b"one more"]) == 1
        assert sender.try_send("and another").size == 11
    assert len(listener.recv_many()) == 202


def test_its_options_can_be_read_back_and_set(listener, group):
    with manycast.Sender(group.host, group.port, interface="lo", hops=7) as sender:
        assert (sender.hops, sender.loopback, sender.interface) == (7, True, "lo")
        sender.hops = 9
        sender.interface = 1
        sender.reopen()
        assert (sender.hops, sender.interface) == (9, "lo")
        sender.send("x")
        assert listener.recv().hops == 9
        assert (sender.destination.host, sender.destination.port) == (group.host, group.port)
        assert sender.source.port > 0
        assert sender.fileno() > 0


def test_loopback_can_be_switched_off(group):
    with manycast.Sender(group, loopback=False) as sender:
        assert sender.loopback is False
        sender.loopback = True
        assert sender.loopback is True


def test_too_long(group):
    with pytest.raises(manycast.SocketError, match="65508 bytes are more than") as raised:
        manycast.send(bytes(65508), group)
    assert raised.value.errno == 90


@pytest.mark.parametrize(
    "address, match",
    [
        (":5000", "it names no destination"),
        ("127.0.0.1:0", "it names no destination"),
        ("10.0.0.1@232.1.1.1:5000", "sources are for listening"),
    ],
)
def test_no_destination(address, match):
    with pytest.raises(manycast.AddressError, match=match):
        manycast.Sender(address)


def test_closed(group):
    sender = manycast.Sender(group)
    sender.close()
    sender.close()
    assert sender.closed and "closed" in repr(sender)
    with pytest.raises(manycast.ClosedError):
        sender.send("x")


def test_left_open_it_warns(group):
    with pytest.warns(ResourceWarning, match="unclosed <Sender to 239"):
        manycast.Sender(group)
        gc.collect()


def test_what_says_of_its_length_is_not_believed(group, listener):
    class Liar(list):
        def __len__(self):
            return 10**12

        def __length_hint__(self):
            return 10**12

    with manycast.Sender(group) as sender:
        for send in sender.try_send_many, sender.send_many:
            with pytest.raises(TypeError):
                send(range(10**12))
            assert send(Liar(["one", "two"])) == 2
        assert 0 < sender.try_send_many(itertools.repeat("x")) <= 256


def test_what_was_read_before_a_payload_that_is_none_is_sent(group, listener):
    with manycast.Sender(group) as sender:
        with pytest.raises(TypeError):
            sender.send_many(["one", 2])
    assert listener.recv().payload == b"one"
