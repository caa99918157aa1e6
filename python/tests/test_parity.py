"""What the command and the library can, the package can: sources, ports, marks, buffers."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest
from waiting import turn

import manycast
from manycast import aio


def test_a_listener_starts_without_a_group(group):
    with manycast.Listener(timeout=10) as listener:
        assert listener.memberships == [] and listener.local_addresses == []
        assert listener.try_recv() is None and repr(listener) == "<Listener on nothing>"
        assert listener.join(group)
        manycast.send("Hello, world!", group)
        assert listener.recv().payload == b"Hello, world!"
        assert listener.leave(group) and listener.memberships == []


def test_a_wait_on_nothing_hears_of_a_group_that_another_thread_joins(group):
    with manycast.Listener(timeout=10) as listener:
        came = []
        waiting = threading.Thread(target=lambda: came.append(listener.recv()))
        waiting.start()
        listener.join(group)
        while not came:
            manycast.send("Hello, world!", group)
            waiting.join(0.01)
    assert came[0].payload == b"Hello, world!"


def test_tasks_wait_on_nothing_too(group):
    async def main():
        async with aio.Listener(timeout=10) as listener:
            waiting = asyncio.ensure_future(listener.recv())
            await turn()
            listener.join(group)
            await aio.send("Hello, world!", group)
            return await waiting

    assert asyncio.run(main()).payload == b"Hello, world!"


def test_a_local_port_is_shared_where_it_is_asked_for():
    with manycast.listen("127.0.0.1:0", share_port=True) as one:
        address = one.local_addresses[0]
        with manycast.listen(address, share_port=True) as other:
            assert other.local_addresses == [address]
        with pytest.raises(manycast.SocketError, match="another socket has the port"):
            manycast.listen(address)


@pytest.mark.parametrize("sources", ["127.0.0.1", ["127.0.0.1", "192.0.2.9"]])
def test_sources_are_excluded(group, sources):
    with manycast.listen(group, excluded=sources, timeout=0.2) as listener:
        (joined,) = listener.memberships
        assert joined.sources == () and "127.0.0.1" in joined.excluded
        assert "without 127.0.0.1" in str(joined)
        manycast.send("no", group)
        with pytest.raises(TimeoutError):
            listener.recv()
        assert listener.join(group, excluded="192.0.2.9")
        manycast.send("yes", group)
        assert listener.recv(timeout=10).payload == b"yes"


def test_sources_are_excluded_on_a_socket(group):
    with manycast.Socket(("0.0.0.0", group.port), share_port=True, timeout=0.2) as socket:
        socket.join(f"{group.host}%lo", excluded=["127.0.0.1"])
        manycast.send("no", group)
        with pytest.raises(TimeoutError):
            socket.recv()
        assert socket.memberships[0].excluded == ("127.0.0.1",)


def test_sources_that_are_wanted_and_excluded_do_not_go_together(group):
    with pytest.raises(ValueError, match="do not go together"):
        manycast.listen(group, sources="127.0.0.1", excluded="192.0.2.9")


def marks(receiver):
    """The octet that a datagram came with: code point and congestion mark."""
    _, ancillary, _, _ = receiver.recvmsg(100, 100)
    return [data[0] for _, kind, data in ancillary if kind in (socket.IP_TOS, 67)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_are_marked_with_a_dscp(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host, 0))
        receiver.settimeout(10)
        if family == socket.AF_INET:
            receiver.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_RECVTOS", 13), 1)
        else:
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        address = receiver.getsockname()[:2]
        manycast.send("one", address, dscp=46)
        assert marks(receiver) == [46 << 2]
        with manycast.Sender(address, dscp=34) as sender:
            assert sender.dscp == 34
            sender.send_many(["two"])
            assert marks(receiver) == [34 << 2]
        with manycast.Socket.connect(address, dscp=8) as own:
            own.send("three")
            assert marks(receiver) == [8 << 2]
            own.dscp = 0
            own.send_to("four", address)
            assert marks(receiver) == [0]
            own.dscp = None
            assert own.dscp is None
        manycast.ask("five", address, dscp=1, timeout=0)
        assert marks(receiver) == [1 << 2]
    with pytest.raises(ValueError, match="a DSCP is a whole number from 0 to 63, not 64"):
        manycast.Sender(address, dscp=64)


def test_send_buffers(group):
    with manycast.Sender(group, send_buffer=100_000) as sender:
        assert sender.send_buffer == 100_000
    with manycast.Socket("127.0.0.1:0", send_buffer=50_000) as socket:
        assert socket.send_buffer == 50_000
    with manycast.Socket.connect("127.0.0.1:9") as socket:
        assert socket.send_buffer > 0
    with pytest.raises(ValueError, match="at least 1 byte"):
        manycast.Sender(group, send_buffer=0)


def test_answers_say_by_which_interface_they_came(group):
    def member():
        with manycast.listen(group, timeout=10) as listener:
            ready.set()
            question = listener.recv()
            with manycast.Socket("127.0.0.1:0") as own:
                own.send_to("here", question.source)

    ready = threading.Event()
    thread = threading.Thread(target=member)
    thread.start()
    ready.wait()
    plain = (group.host, group.port)
    (answer,) = manycast.ask("who?", plain, interface="all", answers=1, timeout=10)
    thread.join()
    assert (answer.payload, answer.interface) == (b"here", "lo")
    assert "on lo after" in repr(answer)
    assert manycast.ask("who?", plain, interface=["lo", 1], timeout=0.05) == []
    with pytest.raises(manycast.AddressError, match="all interfaces are for groups"):
        manycast.ask("who?", "127.0.0.1:9", interface="all")


class TestIntoABuffer:
    def test_a_batch(self, listener, group):
        with manycast.Sender(group) as sender:
            payloads = [b"%d" % number * (number % 7) for number in range(100)]
            sender.send_many(payloads)
        buffer, got = bytearray(100), []
        while len(got) < 100:
            offsets = listener.recv_into(buffer)
            got += [bytes(buffer[a:b]) for a, b in zip(offsets, offsets[1:])]
        assert got == payloads

    def test_a_limit_and_what_is_left(self, listener, group):
        with manycast.Sender(group) as sender:
            sender.send_many([b"%d" % number for number in range(10)])
        buffer = memoryview(bytearray(1000))[100:]
        offsets = listener.recv_into(buffer, 3)
        assert offsets == [0, 1, 2, 3] and bytes(buffer[:3]) == b"012"
        assert listener.recv().payload == b"3"
        assert bytes(buffer[: listener.recv_into(buffer)[-1]]) == b"456789"
        assert listener.try_recv_into(buffer) == []
        with pytest.raises(TimeoutError):
            listener.recv_into(buffer, timeout=0.01)

    def test_what_is_too_long_is_not_lost(self, listener, group):
        with manycast.Sender(group) as sender:
            sender.send_many([b"short", b"much longer", b"s"])
        buffer = bytearray(6)
        assert listener.recv_into(buffer) == [0, 5]
        with pytest.raises(manycast.TruncatedError, match="11 bytes is longer than the buffer of 6") as e:
            listener.recv_into(buffer)
        assert e.value.datagram.payload == b"much longer"
        assert listener.recv_into(buffer) == [0, 1] and buffer[:1] == b"s"

    def test_wider_elements_and_empty_datagrams(self, server):
        import array

        manycast.send(b"\1\2\3\4", server.local_address)
        manycast.send(b"", server.local_address)
        numbers = array.array("H", [0] * 4)
        server.recv_into(numbers, 1)
        assert numbers.tobytes()[:4] == b"\1\2\3\4"
        assert server.recv_into(numbers) == [0, 0]

    def test_a_refusal_comes_behind_datagrams(self):
        with manycast.Socket("127.0.0.1:0", timeout=10) as peer:
            address = peer.local_address
            client = manycast.Socket.connect(address, timeout=10)
            peer.send_to("last", client.local_address)
        with client:
            client.send("anybody?")
            buffer = bytearray(10)
            assert client.recv_into(buffer) == [0, 4]
            with pytest.raises(ConnectionRefusedError):
                client.recv_into(buffer)

    def test_what_is_refused(self, listener):
        with pytest.raises(TypeError, match="cannot be written to"):
            listener.recv_into(b"frozen")
        with pytest.raises(TypeError):
            listener.recv_into("text")
        with pytest.raises(ValueError, match="at least one"):
            listener.recv_into(bytearray(1), 0)

    def test_select_and_then_one_buffer(self, listener, group):
        """The descriptor stays readable while something is fetched that was not taken."""
        import select

        listener.fileno()
        with manycast.Sender(group) as sender:
            sender.send_many([b"x"] * 50)
        got = 0
        while got < 50:
            assert select.select([listener], [], [], 10)[0]
            got += len(listener.try_recv_into(bytearray(3))) - 1
        assert not select.select([listener], [], [], 0)[0]

    def test_on_the_event_loop(self, group):
        async def main():
            async with aio.listen(group, timeout=10) as listener:
                await aio.send("Hello, world!", group)
                buffer = bytearray(100)
                offsets = await listener.recv_into(buffer)
                return bytes(buffer[: offsets[-1]])

        assert asyncio.run(main()) == b"Hello, world!"


def test_the_types_of_arguments_are_public():
    code = """
from manycast import AddressLike, InterfaceLike, Payload
import manycast
def greet(whom: AddressLike, text: Payload, by: InterfaceLike) -> None: ...
import typing
assert str in typing.get_args(AddressLike) and manycast.Address in typing.get_args(AddressLike)
assert bytes in typing.get_args(Payload)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


LOOKUP = """
import socket, manycast
open("/etc/resolv.conf", "w").write("nameserver 127.0.0.1\\noptions timeout:1 attempts:1")
open("/etc/nsswitch.conf", "w").write("hosts: files dns")
open("/etc/hosts", "w").close()
try:
    manycast.resolve("some.example:5000")
except socket.gaierror as error:
    assert isinstance(error, (manycast.ResolveError, manycast.SocketError))
    print(error.errno == socket.{number}, error)
"""


@pytest.mark.parametrize(
    "answers, number, why",
    [
        (True, "EAI_NONAME", "no host has this name; check the spelling"),
        (False, "EAI_AGAIN", "no name server answers; check the network"),
    ],
)
def test_a_name_that_is_unknown_or_a_server_that_is_mute(answers, number, why):
    """The child's name server is here; it says that there is no such name, or nothing."""
    inside = 'mount -t tmpfs none /etc && exec "$0" "$@"'
    code = LOOKUP.format(number=number)
    arguments = ["unshare", "-m", "sh", "-c", inside, sys.executable, "-c", code]
    with manycast.Socket("127.0.0.1:53") as server:
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            deadline = time.monotonic() + 60
            while child.poll() is None:
                try:
                    question = server.recv(timeout=0.05)
                except manycast.TimedOut:
                    assert time.monotonic() < deadline, "the child goes on"
                    continue
                if answers:
                    query = question.payload
                    # RFC 1035 §4.1.1: a response, recursion available, RCODE 3.
                    server.answer(query[:2] + b"\x81\x83" + query[4:], question)
            output = child.stdout.read()
    assert output.startswith("True cannot resolve some.example: ") and why in output
