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
