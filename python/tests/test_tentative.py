"""An IPv6 address that the link is still asked about (RFC 4862 §5.4) is waited for, and blocks nothing."""

import asyncio
import itertools
import subprocess
import time

import pytest
from waiting import interrupted, turn

import manycast
from manycast import aio

_numbers = itertools.count(1)


@pytest.fixture
def tentative():
    """An address of this host that is tentative for about a second."""
    number = next(_numbers)
    commands = [
        f"ip link add t{number} type veth peer u{number}",
        f"sysctl -qw net.ipv6.conf.t{number}.accept_dad=1",
        f"ip link set t{number} up",
        f"ip link set u{number} up",
        f"ip address add fd00:{number}::9/64 dev t{number}",
    ]
    subprocess.run(["sh", "-ec", "\n".join(commands)], check=True)
    yield f"fd00:{number}::9"
    subprocess.run(["ip", "link", "del", f"t{number}"], check=True)


def test_blocking_waits_for_it(tentative):
    with manycast.Socket(tentative, 5000) as socket:
        assert socket.local_address == (tentative, 5000)


@pytest.mark.parametrize("opening", [manycast.Socket, manycast.Listener])
def test_ctrl_c_ends_the_wait(tentative, opening):
    with interrupted(), pytest.raises(KeyboardInterrupt):
        opening(f"[{tentative}]:5000")


def test_what_opens_at_once_on_a_loop_is_told_of_it(tentative):
    async def main():
        begin = time.monotonic()
        for opening in (aio.Socket, aio.Listener, aio.measure.receive):
            with pytest.raises(manycast.SocketError, match="tentative"):
                opening(f"[{tentative}]:5000")
        return time.monotonic() - begin

    assert asyncio.run(main()) < 0.5


def test_what_is_awaited_waits_while_other_tasks_run(tentative):
    async def main():
        opening = asyncio.ensure_future(
            aio.create_datagram_endpoint(asyncio.DatagramProtocol, f"[{tentative}]:0")
        )
        turns = 0
        while not opening.done():
            await turn()
            turns += 1
        (transport, _) = await opening
        transport.close()
        return turns

    # One turn would be all if the loop were blocked.
    assert asyncio.run(main()) > 10


def test_a_sender_from_it_is_awaited(tentative):
    async def main():
        async with aio.Socket("[::1]:0", timeout=10) as receiver:
            to = receiver.local_address
            return await aio.send("Hello, world!", to, source=tentative)

    assert asyncio.run(main()).source.host == tentative
