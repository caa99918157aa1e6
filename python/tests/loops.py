"""Event loops of each kind, for the tests of asyncio."""

import asyncio
import socket

import pytest


class turn:
    """Awaited, it lets the event loop have one turn."""

    def __await__(self):
        yield


LOOPS = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=LOOPS, autouse=True)
def run(request):
    """Runs a coroutine on a loop of each kind."""
    loop = LOOPS[request.param]()
    failures = []
    loop.set_exception_handler(lambda loop, context: failures.append(context))
    run.failures = failures
    yield lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 30))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not failures


class Replaced:
    """In the place of a manycast.Socket or Sender: its send buffer is full until another socket takes the
    place of its own, as where the interface is another one.
    """

    local_address, peer_address = ("127.0.0.1", 1), None

    def __init__(self):
        self.reading, self.ends, self.sent = socket.socketpair(), socket.socketpair(), []
        self.ends[0].setblocking(False)
        self.full = True
        try:
            while True:
                self.ends[0].send(bytes(10_000))
        except BlockingIOError:
            pass

    def fileno(self):
        return self.reading[0].fileno()

    def sending_fileno(self, to=None):
        return self.ends[0].fileno()

    def try_send(self, payload, to=None):
        if self.full:
            return None
        self.sent.append(payload)
        return payload

    def replace(self):
        """Another one has the number of its descriptor from now on."""
        fd, self.before = self.ends[0].fileno(), self.ends[1]
        self.ends[0].close()
        self.ends = socket.socketpair()
        assert self.ends[0].fileno() == fd
        self.full = False

    def drain(self):
        """Makes room in the one before."""
        self.before.setblocking(False)
        try:
            while self.before.recv(100_000):
                pass
        except BlockingIOError:
            pass

    def close(self):
        for end in (*self.reading, *self.ends, self.before):
            end.close()
