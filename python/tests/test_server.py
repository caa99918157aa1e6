import os
import socket
import socketserver
import threading

import pytest

import manycast
from manycast.server import MulticastServer, PoolMixIn


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(b"OK..." + data, self.client_address)


def serve(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    return thread


def test_it_answers_a_group(group):
    with MulticastServer(group, Echo) as server:
        thread = serve(server)
        for payload in (b"hello", b"", bytes(20_000)):
            (answer,) = manycast.ask(payload, group, answers=1, timeout=10)
            assert answer.payload == b"OK..." + payload
        server.shutdown()
        thread.join()


def test_it_opens_one_socket_and_closes_it(group):
    before = len(os.listdir("/proc/self/fd"))
    server = MulticastServer(group, Echo)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert server.server_address == (group.host, group.port)
    server.server_close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_its_workers_are_bounded_and_it_waits_for_them(group):
    running, most, done = 0, 0, []
    changed, enough = threading.Condition(), threading.Event()

    class Slow(socketserver.BaseRequestHandler):
        def handle(self):
            nonlocal running, most
            with changed:
                running += 1
                most = max(most, running)
                changed.notify_all()
            assert enough.wait(20)
            with changed:
                running -= 1
                done.append(self.request[0])

    class Server(MulticastServer):
        max_workers = 3

    with Server(group, Slow) as server:
        thread = serve(server)
        with manycast.Sender(group) as sender:
            sender.send_many(str(i) for i in range(10))
        with changed:
            assert changed.wait_for(lambda: running == 3, timeout=20)
        enough.set()
        with changed:
            while len(done) < 10:
                changed.wait(0.01)
        server.shutdown()
        thread.join()
        assert most == 3
    assert sorted(done) == sorted(str(i).encode() for i in range(10))


@pytest.mark.parametrize("failure", [ZeroDivisionError, SystemExit])
def test_a_handler_that_fails_ends_nothing(group, capfd, failure):
    class Fragile(socketserver.BaseRequestHandler):
        def handle(self):
            if self.request[0] == b"bad":
                raise failure
            Echo.handle(self)

    with MulticastServer(group, Fragile) as server:
        thread = serve(server)
        # More often than there are workers.
        for _ in range(20):
            manycast.send("bad", group)
        (answer,) = manycast.ask("good", group, answers=1, timeout=10)
        server.shutdown()
        thread.join()
    assert answer.payload == b"OK...good"
    assert failure.__name__ in capfd.readouterr().err


def test_the_mix_in_alone():
    class Server(PoolMixIn, socketserver.UDPServer):
        pass

    with Server(("127.0.0.1", 0), Echo) as server:
        thread = serve(server)
        (answer,) = manycast.ask("hello", server.server_address, timeout=10)
        server.shutdown()
        thread.join()
    assert answer.payload == b"OK...hello"


def test_what_is_refused():
    with pytest.raises(manycast.AddressError):
        MulticastServer(":5000", Echo)


def test_an_error_handler_that_fails_takes_no_worker_with_it(group, capfd):
    class Fragile(socketserver.BaseRequestHandler):
        def handle(self):
            if self.request[0] == b"bad":
                raise ZeroDivisionError
            Echo.handle(self)

    class Server(MulticastServer):
        max_workers = 2

        def handle_error(self, request, client_address):
            raise KeyError("the handler's own fault")

        def shutdown_request(self, request):
            super().shutdown_request(request)
            if request[0] == b"worse":
                raise IndexError("another fault")

    with Server(group, Fragile) as server:
        thread = serve(server)
        for _ in range(5):
            manycast.send("bad", group)
            manycast.send("worse", group)
        (answer,) = manycast.ask("good", group, answers=1, timeout=10)
        server.shutdown()
        thread.join(10)
        assert not thread.is_alive()
    assert answer.payload == b"OK...good"
    told = capfd.readouterr().err
    assert "the handler's own fault" in told and "another fault" in told


def test_its_family():
    with MulticastServer("239.192.0.100%lo:5000", Echo) as server:
        assert server.address_family == socket.AF_INET
    with MulticastServer("[ff15::1%lo]:5000", Echo) as server:
        assert server.address_family == socket.AF_INET6
