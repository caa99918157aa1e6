"""Threads share what is open, with the GIL or without it, and lose and garble nothing."""

import threading

import pytest

import manycast

THREADS = 8
# How many turns each thread takes.
TURNS = 300


def together(*works):
    """Runs each of the works in a thread of its own, from one moment on, and raises what one raises."""
    start, raised = threading.Barrier(len(works)), []

    def run(work):
        start.wait(30)
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
        assert not thread.is_alive()
    for error in raised:
        raise error


def test_each_datagram_goes_to_one_of_many_receivers_by_whatever_way(listener, group):
    got, total, enough = [], THREADS * TURNS, threading.Semaphore(0)

    def keep(datagrams):
        for datagram in datagrams:
            got.append(datagram.payload)
            enough.release()

    ways = [
        lambda: keep([listener.recv(timeout=1)]),
        lambda: keep(listener.recv_many(7, timeout=1)),
        lambda: keep(listener.try_recv_many(3)),
        lambda: keep([next(listener)]),
    ]

    def receive(way):
        try:
            while len(got) < total:
                way()
        except (manycast.TimedOut, manycast.ClosedError, StopIteration):
            pass

    def send(number):
        with manycast.Sender(group) as sender:
            for turn in range(TURNS):
                sender.send(f"{number} {turn}")

    def finish():
        for _ in range(total):
            assert enough.acquire(timeout=30)
        listener.close()

    together(
        finish,
        *[lambda way=way: receive(way) for way in ways * 2],
        *[lambda number=number: send(number) for number in range(THREADS)],
    )
    expected = {f"{number} {turn}".encode() for number in range(THREADS) for turn in range(TURNS)}
    assert len(got) == total and set(got) == expected


def test_one_sender_and_one_socket_serve_many_threads(server):
    with manycast.Sender(*server.local_address) as sender, manycast.Socket(":0") as socket:

        def send(number):
            for turn in range(TURNS):
                if turn % 3 == 0:
                    sender.send_many([f"{number} {turn}"])
                elif turn % 3 == 1:
                    assert sender.send(f"{number} {turn}").size > 0
                else:
                    socket.send_to(f"{number} {turn}", server.local_address)
                sender.hops = 1 + turn % 9
                assert 0 < sender.hops < 10 and sender.source.port > 0 and socket.loopback in (True, False)
                socket.loopback = turn % 2 == 0

        got = []

        def receive():
            while len(got) < THREADS * TURNS:
                got.extend(datagram.payload for datagram in server.recv_many())

        together(receive, *[lambda number=number: send(number) for number in range(THREADS)])
    assert len(set(got)) == THREADS * TURNS


def test_memberships_change_while_others_look_and_receive(listener, group):
    others = [f"239.192.254.{number + 1}%lo:{group.port}" for number in range(THREADS)]

    def change(other):
        for _ in range(TURNS // 10):
            assert listener.join(other)
            assert any(str(joined.group.host) in other for joined in listener.memberships)
            assert repr(listener)
            listener.try_recv_many()
            assert listener.leave(other)

    together(*[lambda other=other: change(other) for other in others])
    assert [joined.group.host for joined in listener.memberships] == [group.host]


def test_whoever_waits_when_it_is_closed_hears_of_it(group):
    for _ in range(20):
        listener, waiting = manycast.listen(group, timeout=30), threading.Semaphore(0)

        def wait(listener=listener, waiting=waiting):
            waiting.release()
            with pytest.raises(manycast.ClosedError):
                listener.recv()

        def close(listener=listener, waiting=waiting):
            for _ in range(THREADS):
                assert waiting.acquire(timeout=30)
            listener.close()

        together(*[wait] * THREADS, close)
        assert listener.closed


def test_one_datagram_is_read_by_many(listener, group):
    manycast.send("shared", group)
    datagram = listener.recv()
    address = manycast.Address(group)

    def read():
        for _ in range(TURNS):
            assert datagram.payload == bytes(datagram) == b"shared"
            assert datagram.destination == (group.host, group.port)
            assert (datagram.interface, datagram.hops) == ("lo", 1)
            assert datagram == datagram and hash(datagram) == hash(datagram.payload)
            assert address == group and str(address) == str(group)
            assert any(interface.loopback for interface in manycast.interfaces())

    together(*[read] * THREADS)
