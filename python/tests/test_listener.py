import gc
import select
import threading

import pytest

import manycast


def test_a_datagram_has_all_that_is_known(listener, group):
    sent = manycast.send("hello", group)
    datagram = listener.recv()
    assert datagram.payload == b"hello"
    assert datagram.source == sent.source
    assert datagram.destination == (group.host, group.port)
    assert datagram.interface == "lo"
    assert datagram.hops == 1
    assert (datagram.dropped, datagram.truncated, datagram.ecn) == (0, False, 0)


@pytest.mark.parametrize("size", [0, 1, 1316, 65507])
def test_any_size_arrives_whole(listener, group, size):
    payload = bytes(i % 251 for i in range(size))
    manycast.send(payload, group)
    assert listener.recv().payload == payload


def test_an_address_may_be_written_in_many_ways(group):
    pair = (f"{group.host}%lo", group.port)
    for arguments, options in [
        ((str(group),), {}),
        ((group,), {}),
        ((pair,), {}),
        (pair, {}),
        ((group.host, group.port), {"interface": "lo"}),
        ((group.host, group.port), {"interface": 1}),
        ((group.host, group.port), {"interface": "127.0.0.1"}),
    ]:
        with manycast.Listener(*arguments, **options) as listener:
            assert [joined.interface for joined in listener.memberships] == ["lo"]
            assert listener.memberships[0].group == (group.host, group.port)


def test_sources_are_chosen(group):
    with manycast.listen(group, sources=["127.0.0.1"], timeout=10) as listener:
        assert listener.memberships[0].sources == ("127.0.0.1",)
        with manycast.Socket("127.0.0.2:0") as other, manycast.Socket("127.0.0.1:0") as wanted:
            for socket in (other, wanted):
                socket.multicast_interface = "lo"
                socket.send_to(str(socket.local_address), (group.host, group.port))
            assert listener.recv().source == wanted.local_address
        assert listener.try_recv_many() == []


def test_groups_on_one_port_do_not_mix(listener, group):
    other = manycast.Address(group.host, group.port + 1, interface="lo")
    neighbour = manycast.Address("239.192.255.1", group.port, interface="lo")
    with manycast.listen(neighbour, timeout=10) as second:
        manycast.send("other port", other)
        manycast.send("neighbour", neighbour)
        manycast.send("own", group)
        assert listener.recv().payload == b"own"
        assert second.recv().payload == b"neighbour"
        assert listener.try_recv_many() == second.try_recv_many() == []


def test_join_and_leave(listener, group):
    other = f"239.192.254.1%lo:{group.port}"
    assert listener.join(other) is True
    assert listener.join(other) is False
    manycast.send("joined", other)
    assert listener.recv().payload == b"joined"
    assert listener.leave(other) is True
    assert listener.leave(other) is False
    manycast.send("left", other)
    manycast.send("still here", group)
    assert listener.recv().payload == b"still here"


def test_recv_many_takes_what_is_there(listener, group):
    with manycast.Sender(group) as sender:
        assert sender.send_many(str(i) for i in range(100)) == 100
    first = listener.recv_many(30)
    rest = listener.recv_many()
    assert [bytes(d) for d in first + rest] == [str(i).encode() for i in range(100)]
    assert len(first) == 30
    assert listener.try_recv_many() == []


def test_the_ways_to_receive_keep_the_order(listener, group):
    with manycast.Sender(group) as sender:
        sender.send_many(str(i) for i in range(6))
    got = [listener.recv(), *listener.recv_many(2), next(listener), *listener.try_recv_many()]
    assert [bytes(d) for d in got] == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_iteration_ends_when_it_is_closed(listener, group):
    with manycast.Sender(group) as sender:
        sender.send_many(list("abc"))
    got = []
    for datagram in listener:
        got.append(datagram.payload)
        if len(got) == 3:
            listener.close()
    assert got == [b"a", b"b", b"c"]
    assert listener.closed


def test_closing_ends_the_wait_of_another_thread(listener):
    raised = []

    def receive():
        try:
            listener.recv(timeout=30)
        except manycast.ClosedError as error:
            raised.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    listener.close()
    listener.close()
    thread.join(timeout=20)
    assert not thread.is_alive() and len(raised) == 1
    with pytest.raises(manycast.ClosedError, match="the Listener is closed"):
        listener.recv()
    assert repr(listener) == "<Listener, closed>"


def test_time_outs(listener, group):
    with pytest.raises(manycast.TimedOut, match=f"nothing came on {group.host}:{group.port}"):
        listener.recv(timeout=0)
    with pytest.raises(TimeoutError):
        listener.recv_many(timeout=0.01)
    with manycast.listen(group, timeout=0.01) as hasty, pytest.raises(TimeoutError):
        next(hasty)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="give seconds from 0"):
            listener.recv(timeout=wrong)


def test_infinity_waits_for_ever(group):
    with manycast.listen(group, timeout=0) as listener:
        timer = threading.Timer(0.2, manycast.send, ("late", group))
        timer.start()
        assert listener.recv(timeout=float("inf")).payload == b"late"
        timer.join()


def test_select_sees_it(listener, group):
    assert select.select([listener], [], [], 0) == ([], [], [])
    manycast.send("x", group)
    assert select.select([listener], [], [], 10)[0] == [listener]
    assert [bytes(d) for d in listener.try_recv_many()] == [b"x"]
    assert select.select([listener], [], [], 0) == ([], [], [])


def test_left_open_it_warns(group):
    def leave_open():
        manycast.listen(group)

    with pytest.warns(ResourceWarning, match=f"unclosed <Listener on {group.host}:{group.port}>"):
        leave_open()
        gc.collect()


def test_closed_it_does_not_warn(listener, recwarn):
    listener.close()
    del listener
    gc.collect()
    assert not recwarn


def test_local_addresses_are_listened_on_too(group):
    with manycast.listen("127.0.0.1:0", group, timeout=10) as listener:
        (local,) = listener.local_addresses
        assert local.host == "127.0.0.1" and local.port > 0
        manycast.send("to the host", local)
        assert listener.recv().destination == local
        manycast.send("to the group", group)
        assert listener.recv().destination == (group.host, group.port)
        assert listener.receive_buffer >= 65507


def test_ipv6():
    if "::1" not in manycast.ifconfig()["lo"].addresses:
        pytest.fail("loopback has no IPv6 here; enable it to run the tests")
    with manycast.listen("[ff12::4d43%lo]:5000", timeout=10) as listener:
        (joined,) = listener.memberships
        assert joined.group == ("ff12::4d43%lo", 5000)
        assert str(joined.group) == "[ff12::4d43%lo]:5000"
        manycast.send("six", "[ff12::4d43%lo]:5000")
        assert listener.recv().destination == joined.group
    with manycast.listen("[::1]:0", timeout=10) as listener:
        (local,) = listener.local_addresses
        manycast.send("six", local)
        assert listener.recv().destination == ("::1", local.port)


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        (("239.1.1.1:99999",), manycast.AddressError, "port 99999"),
        (("239.1.1.1%nowhere0:5000",), manycast.SocketError, "cannot find interface nowhere0"),
        (("127.0.0.1:0", 3.5), TypeError, "an address is a text"),
        (("239.1.1.1", 70000), manycast.AddressError, "from 0 to 65535"),
    ],
)
def test_what_is_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        manycast.Listener(*arguments)


@pytest.mark.parametrize("watched_before", [True, False])
def test_select_and_then_one_recv_loses_nothing(group, watched_before):
    """A descriptor stays readable while a datagram is there, fetched or not."""
    with manycast.listen(group, timeout=10) as listener, manycast.Sender(group) as sender:
        if watched_before:
            listener.fileno()
        sender.send_many(str(number) for number in range(100))
        got = []
        while len(got) < 100:
            assert select.select([listener], [], [], 10)[0]
            got.append(listener.try_recv())
        assert [int(bytes(datagram)) for datagram in got] == list(range(100))
        assert not select.select([listener], [], [], 0)[0]
        sender.send_many(["x"] * 10)
        assert select.select([listener], [], [], 10)[0]
        assert len(listener.try_recv_many(3)) == 3
        assert select.select([listener], [], [], 0)[0]
        assert len(listener.try_recv_many()) == 7
        assert not select.select([listener], [], [], 0)[0]
        assert listener.try_recv() is None


def test_select_for_the_other_receivers(group):
    with manycast.MulticastUDPReceiver("lo", group.host, group.port, timeout=10) as receiver:
        with manycast.MulticastListener(group, timeout=10) as listener:
            with manycast.Sender(group) as sender:
                sender.send_many(["x"] * 20)
            for what, take in (receiver, receiver.read), (listener, listener.recv):
                for _ in range(20):
                    assert select.select([what], [], [], 10)[0]
                    assert take() == b"x"
                assert not select.select([what], [], [], 0)[0]


@pytest.mark.parametrize("how", ["recv_many", "try_recv_many", "recv_into", "try_recv_into"])
def test_a_call_takes_so_many_at_most_and_leaves_the_rest(group, how):
    """In a flood there are always more, and it would never end."""
    groups = [f"239.192.252.{number + 1}%lo:{group.port}" for number in range(8)]
    with manycast.listen(*groups) as listener:
        for one in groups:
            with manycast.Sender(one) as sender:
                sender.send_many([b"x"] * 5000)
        take = getattr(listener, how)
        if how.endswith("into"):
            count = len(take(bytearray(100_000), 10**9)) - 1
        else:
            count = len(take(10**9))
        assert 0 < count <= 16_384
        while some := listener.try_recv_many(10**9):
            count += len(some)
        assert count == 40_000 or listener.dropped.count
