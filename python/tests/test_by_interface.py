"""The interface that a destination names is the one that it is sent by, whatever the routes say."""

import asyncio
import subprocess

import pytest

import manycast
from manycast import aio

_COMMANDS = """
sysctl -qw net.ipv4.conf.all.accept_local=1
ip link add b0 type veth peer b1
ip link add c0 type veth peer c1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.c1.rp_filter=0
ip link set b0 up && ip link set b1 up && ip link set c0 up && ip link set c1 up
ip address add 10.77.0.1/24 dev b0
ip address add 10.78.0.1/24 dev c0
ip route add 239.0.0.0/8 dev b0
"""


@pytest.fixture
def elsewhere():
    """A listener on the far end of a link that no route to its group leads to."""
    subprocess.run(["sh", "-ec", _COMMANDS], check=True)
    with manycast.listen("239.1.2.3%c1:5000", timeout=10) as listener:
        yield listener
    subprocess.run(["sh", "-ec", "ip link del b0; ip link del c0"], check=True)


TO = "239.1.2.3%c0:5000"


def test_send_to(elsewhere):
    with manycast.Socket(":0") as socket:
        socket.send_to("one", TO)
        assert elsewhere.recv().payload == b"one"
        assert socket.try_send("two", TO)
        assert elsewhere.recv().payload == b"two"


def test_reconnect(elsewhere):
    with manycast.Socket(":0") as socket:
        socket.reconnect(TO)
        socket.send("one")
        assert elsewhere.recv().payload == b"one"


def test_asyncio(elsewhere):
    async def send():
        async with aio.Socket(":0") as socket:
            await socket.send_to("one", TO)
            await socket.reconnect(TO)
            await socket.send("two")

    asyncio.run(send())
    assert [elsewhere.recv().payload for _ in range(2)] == [b"one", b"two"]
