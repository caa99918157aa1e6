import pickle
import socket

import pytest

import manycast


@pytest.mark.parametrize(
    "text",
    [
        "239.192.0.100:1000",
        "239.192.0.100%eth0:1000",
        "10.0.0.5@232.1.1.1%eth0:5000",
        "[ff15::1%eth0]:5000",
        "fe80::5@[ff35::1%eth0]:5000",
        "localhost:8888",
        ":8888",
    ],
)
def test_a_text_prints_back(text):
    address = manycast.Address(text)
    assert str(address) == text
    assert repr(address) == f"Address('{text}')"
    assert address == manycast.Address(address) == pickle.loads(pickle.dumps(address))
    assert hash(address) == hash(manycast.Address(text))


def test_its_parts():
    address = manycast.Address("10.0.0.5,10.0.0.6@232.1.1.1%eth0:5000")
    assert (address.host, address.port, address.interface) == ("232.1.1.1", 5000, "eth0")
    assert address.sources == ["10.0.0.5", "10.0.0.6"]
    assert address.is_group and not address.is_name
    assert manycast.Address("localhost:1").is_name
    assert manycast.Address(":1").host == ""


def test_it_is_made_of_parts():
    made = manycast.Address("ff35::1", 5000, interface="eth0", sources=["fe80::5"])
    assert str(made) == "fe80::5@[ff35::1%eth0]:5000"
    assert str(manycast.Address("fe80::1%eth0", 5000)) == "[fe80::1%eth0]:5000"
    assert str(manycast.Address("232.1.1.1", 5000, sources="10.0.0.5")) == "10.0.0.5@232.1.1.1:5000"


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("239.1.1.1",), "port"),
        (("239.1.1.1:x",), "column"),
        (("10.0.0.5@192.0.2.1:5000",), "column"),
    ],
)
def test_what_is_wrong_is_told(arguments, match):
    with pytest.raises(manycast.AddressError, match=match) as raised:
        manycast.Address(*arguments)
    assert isinstance(raised.value, ValueError)


def test_names_are_resolved():
    found = manycast.resolve("localhost:5000")
    assert manycast.Address("127.0.0.1:5000") in found
    with pytest.raises(manycast.SocketError, match="no name server answers"):
        manycast.resolve("no-such-host.invalid:5000")


def test_a_socket_address_goes_where_sockets_want_one():
    address = manycast.SocketAddress("127.0.0.1", 5005)
    host, port = address
    assert (host, port) == address == ("127.0.0.1", 5005)
    assert (address.host, address.port, str(address)) == ("127.0.0.1", 5005, "127.0.0.1:5005")
    assert pickle.loads(pickle.dumps(address)) == address
    assert repr(address) == "SocketAddress('127.0.0.1', 5005)"
    assert str(manycast.SocketAddress("::1", 1)) == "[::1]:1"
    with manycast.Socket("127.0.0.1:0", timeout=10) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"x", server.local_address)
        assert server.recv().payload == b"x"
