import array
import gc
import itertools
import subprocess
import sys
import threading
import time

import pytest
from waiting import interrupted, until, waits

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


# A program that sends without end, and ends also where nothing is heard while it does.
ENDLESS = """
import itertools, signal, sys, threading
import manycast

sender, listener = manycast.Sender(sys.argv[1]), manycast.listen(sys.argv[1])

def close():
    listener.recv()
    sender.close()

def expire(*_signal):
    raise TimeoutError

if sys.argv[2] == "close":
    threading.Thread(target=close).start()
    expected = manycast.ClosedError
else:
    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    expected = TimeoutError
try:
    sender.send_many(itertools.repeat("x"))
except expected:
    sender.close()
    listener.close()
    print("heard", end="")
"""


@pytest.mark.parametrize("what", ["close", "signal"])
def test_sending_without_end_hears(group, what):
    command = [sys.executable, "-c", ENDLESS, str(group), what]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, check=True)
    assert done.stdout == b"heard"


OPENED = {
    "send": lambda address: manycast.Sender(address),
    "connected": lambda address: manycast.Socket.connect(address),
    "send_to": lambda address: manycast.Socket(":0"),
}


@pytest.mark.parametrize("how", OPENED)
def test_a_wait_for_room_takes_no_time_of_the_processor_where_a_host_refuses(refusing, stuck, how):
    with OPENED[how](refusing) as opened:

        def send(payload):
            opened.send_to(payload, refusing) if how == "send_to" else opened.send(payload)

        send(b"anybody?")
        stuck()
        begin, used = time.monotonic(), time.thread_time()
        with interrupted(when=lambda: time.monotonic() > begin + 0.5):
            with pytest.raises(KeyboardInterrupt):
                while True:
                    send(bytes(9000))
        assert time.thread_time() - used < (time.monotonic() - begin) / 4


@pytest.mark.parametrize("how", ["send", "send_many"])
def test_closing_ends_the_wait_for_room_of_another_thread(server, stuck, how):
    sender, told = manycast.Sender(server.local_address), []
    stuck()

    def send():
        try:
            while True:
                sender.send(bytes(9000)) if how == "send" else sender.send_many([bytes(9000)] * 10)
        except manycast.ClosedError as error:
            told.append(str(error))

    sending = threading.Thread(target=send)
    sending.start()
    until(lambda: waits(sending))
    sender.close()
    sending.join(10)
    assert told == ["the Sender is closed; open another"]
