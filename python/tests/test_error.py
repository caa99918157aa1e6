import errno
import pickle

import pytest

import manycast
from manycast import error


@pytest.mark.parametrize("name", error.__all__)
def test_all_are_errors_of_the_package(name):
    assert issubclass(getattr(manycast, name), manycast.Error)


@pytest.mark.parametrize(
    "mine, builtin",
    [
        (manycast.AddressError, ValueError),
        (manycast.ClosedError, ValueError),
        (manycast.SocketError, OSError),
        (manycast.ConnectionRefused, ConnectionRefusedError),
        (manycast.PermissionDenied, PermissionError),
        (manycast.TimedOut, TimeoutError),
    ],
)
def test_they_are_what_python_programs_catch(mine, builtin):
    assert issubclass(mine, builtin)


def test_the_message_is_a_sentence_with_cause_and_remedy():
    with pytest.raises(OSError) as raised:
        manycast.listen("239.1.1.1%nowhere0:5000")
    assert raised.value.errno == errno.ENODEV
    assert str(raised.value).startswith("cannot find interface nowhere0: there is no such interface")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.errno) == (str(raised.value), raised.value.errno)


def test_a_missing_permission():
    refused = error.PermissionDenied(errno.EACCES, "why")
    assert (refused.errno, str(refused)) == (errno.EACCES, "why")
    with manycast.Socket("0.0.0.0:0") as socket, pytest.raises(PermissionError) as raised:
        socket.send_to("x", "127.255.255.255", 5000)
    assert raised.value.errno == errno.EACCES


@pytest.mark.parametrize(
    "mistake, error, told",
    [
        (lambda: manycast.send("x", "239.1.1.1", "5000"), TypeError, "a port is a whole number"),
        (lambda: manycast.listen("239.1.1.1", 70000), manycast.AddressError, "65535, not 70000"),
        (lambda: manycast.listen(("239.1.1.1", -1)), manycast.AddressError, "65535, not -1"),
        (lambda: manycast.Address("::1", 1 << 80), manycast.AddressError, "not 12089258196146"),
        (lambda: manycast.send("x", 5000, "239.1.1.1"), TypeError, "a host is a text such as"),
        (lambda: manycast.Sender("239.1.1.1:5", hops=256), ValueError, "a hop limit is .* 255"),
        (lambda: manycast.Sender("239.1.1.1:5", hops="1"), TypeError, "a hop limit is .* '1'"),
        (lambda: manycast.Sender("127.0.0.1:9").send_many("text"), TypeError, "this is one payload"),
        (lambda: manycast.Sender("127.0.0.1:9").send_many(b"ytes"), TypeError, "or use send"),
        (lambda: manycast.Socket(":0").recv_many(0), ValueError, "give a limit from 1"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_mistake_is_told_what_is_right(mistake, error, told):
    with pytest.raises(error, match=told):
        mistake()
