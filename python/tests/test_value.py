"""What calls return can be constructed, compared, copied, pickled, weakly referenced and matched."""

import copy
import errno
import multiprocessing
import pickle
import socket
import sys
import weakref

import pytest

import manycast
from manycast import discovery, files, measure, stream

SOURCE = manycast.SocketAddress("192.0.2.7", 4000)
GROUP = manycast.SocketAddress("239.1.1.1", 5000)
DATAGRAM = manycast.Datagram(
    b"hello", SOURCE, GROUP, "lo", 3, 1.5, 2, True, local="192.0.2.1", ecn=3
)
STREAM = measure.Stream(SOURCE, GROUP, "lo", 2.0, 100, 1000, lost=100)
FINDING = manycast.Finding("no-route", True, "proved", "there is none", ("seen",), "add one")

FILE = files.File("dir/a", 5, "failed", "No space left on device")
RECEIVER = files.Receiver("lab1", False, (FILE,), samples=(files.Sample(0.5, 80e6, 0.01),))
DELIVERY = files.Delivery("5a77f9d3", False, (FILE,), 5, 0.5)

PLACE = discovery.ServiceAddress("fe80::1%eth0", "eth0")
SERVICE = discovery.Service(
    "My web", "_http._tcp", addresses=(PLACE,), port=80, attributes=(discovery.Attribute("x", b"1"),), heard=1.5
)
DEVICE = discovery.Device("nas", (PLACE,), (SERVICE,), ("dns-sd",))

VALUES = [
    SOURCE,
    manycast.Address("10.0.0.5@232.1.1.1%lo:5000"),
    DATAGRAM,
    manycast.Sent(5, GROUP, SOURCE, "lo", 1),
    manycast.Answer(DATAGRAM, 0.25, 2),
    manycast.Dropped(3, False),
    manycast.Membership(GROUP, "lo", ("192.0.2.7",)),
    manycast.Interface(1, "lo", addresses=("127.0.0.1",), prefixes=(8,)),
    FINDING,
    manycast.Report("this host", "no-route", False, findings=(FINDING,)),
    STREAM,
    measure.Began(SOURCE, GROUP, "lo"),
    measure.Interval((STREAM,)),
    measure.Freed(STREAM),
    measure.ReceiverStats((STREAM,), 1),
    measure.Spread(0.1, 0.2, 0.3),
    measure.ServerReport(1000, 1.0, 2, 0, 100, 0.1),
    measure.Finished(),
    measure.SenderStats(GROUP, 5, 500),
    FILE,
    RECEIVER,
    files.SendReport(False, (RECEIVER,), 1, 1, 5, 0.5),
    files.Scanned(5),
    files.Started(1, 5, manycast.Sent(0, GROUP, SOURCE, "lo", 1)),
    files.Heard("lab1"),
    files.FileSent("lab1", "dir/a", "verified"),
    files.SendProgress(0.5, 1, 5, 5, 1, 0, (files.ReceiverProgress("lab1", 1, 0, 5, 80e6, 0.0),)),
    files.Warned("two receivers call themselves lab1"),
    DELIVERY,
    files.ReceiveReport((DELIVERY,)),
    files.Listening("lab1", (GROUP,)),
    files.Began("5a77f9d3", 1, 5),
    files.FileReceived("5a77f9d3", "dir/a", 5, "verified"),
    files.ReceiveProgress("5a77f9d3", 5, 5, 0.0),
    files.Ended(DELIVERY),
    PLACE,
    SERVICE,
    DEVICE,
    discovery.Found(SERVICE),
    discovery.Changed(SERVICE, "addresses", added=(PLACE,)),
    discovery.Gone(SERVICE, "goodbye"),
    discovery.BrowseStats((DEVICE,), warnings=("it failed",)),
    discovery.Announced("ssdp", "uuid:1", "eth0"),
    discovery.Renamed("My web._http._tcp.local.", "My web (2)._http._tcp.local."),
    discovery.Asked("ssdp", SOURCE, "ssdp:all"),
    discovery.Warned("cannot join"),
    stream.StreamSent(False, 5, 0.5, receivers=(("lab1", False),)),
    stream.StreamReceived(5, 0.5, "cannot receive the stream: no stream has begun"),
]
ERRORS = [
    manycast.Error("it failed"),
    manycast.AddressError("no address"),
    manycast.ClosedError("it is closed"),
    manycast.TruncatedError("too long", DATAGRAM),
    manycast.SocketError(errno.EADDRINUSE, "in use"),
    manycast.ConnectionRefused(errno.ECONNREFUSED, "refused"),
    manycast.PermissionDenied(errno.EACCES, "denied"),
    manycast.TimedOut(errno.ETIMEDOUT, "too late"),
    manycast.ResolveError(socket.EAI_AGAIN, "no answer"),
    manycast.FileError(errno.ENOSPC, "cannot write"),
    manycast.TransferError("cannot receive the stream"),
]


def identity(value):
    return value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value(value):
    for twin in (copy.copy(value), copy.deepcopy(value)):
        assert twin == value and hash(twin) == hash(value)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(value, protocol))
        assert type(twin) is type(value) and twin == value and hash(twin) == hash(value)
        assert repr(twin) == repr(value)
    if value is not SOURCE:  # a tuple
        assert weakref.ref(value)() is value
        # Dataclasses have it since there is a match statement.
        names = getattr(type(value), "__match_args__", () if sys.version_info < (3, 10) else None)
        assert isinstance(names, tuple) and all(hasattr(value, name) for name in names)
    assert repr(value) and str(value)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error(error):
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), twin.args) == (str(error), error.args)
        assert twin.message == str(error)
        assert getattr(twin, "errno", None) == getattr(error, "errno", None)
    assert weakref.ref(error)() is error
    assert all(hasattr(error, name) for name in type(error).__match_args__)


def test_a_datagram_that_was_received_is_the_same_elsewhere(listener, group):
    manycast.send("Hello, world!", group)
    datagram = listener.recv()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(identity, (datagram,))
        sent = pool.apply(identity, (manycast.send("more", group),))
    assert there == datagram and repr(there) == repr(datagram)
    assert there.time_ns == datagram.time_ns and there.interface == "lo"
    assert sent.size == 4


def test_all_that_calls_return_goes_through_a_queue(listener, group):
    context = multiprocessing.get_context("fork")
    there, back = context.SimpleQueue(), context.SimpleQueue()

    def work():
        while (value := there.get()) is not None:
            back.put(value)

    worker = context.Process(target=work)
    worker.start()
    manycast.send("one", group)
    values = [listener.recv(), listener.memberships, manycast.interfaces(), manycast.doctor()]
    for value in values:
        there.put(value)
        assert back.get() == value
    there.put(None)
    worker.join()


def test_a_copy_answers_as_the_original_does(server):
    with manycast.Socket.connect(server.local_address, timeout=10) as client:
        client.send("ping")
        server.answer("pong", copy.deepcopy(server.recv()))
        assert client.recv().payload == b"pong"
        client.send("ping")
        server.answer("pong", pickle.loads(pickle.dumps(server.recv())))
        assert client.recv().payload == b"pong"


def test_a_datagram_is_constructed():
    assert DATAGRAM.payload == b"hello" and DATAGRAM.source == SOURCE
    assert (DATAGRAM.hops, DATAGRAM.time, DATAGRAM.dropped, DATAGRAM.truncated) == (3, 1.5, 2, True)
    assert (DATAGRAM.local, DATAGRAM.ecn, DATAGRAM.interface) == ("192.0.2.1", 3, "lo")
    small = manycast.Datagram("text", "192.0.2.7:1", ("192.0.2.1", 2))
    assert (small.payload, small.interface, small.time, small.hops) == (b"text", "", None, None)
    with pytest.raises(manycast.AddressError, match="not in numbers"):
        manycast.Datagram(b"", "localhost:1", SOURCE)
    with pytest.raises(ValueError, match="congestion mark"):
        manycast.Datagram(b"", SOURCE, SOURCE, ecn=4)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="there is no match statement")
def test_they_are_matched():
    code = """
match DATAGRAM:
    case manycast.Datagram(payload, (host, port), interface="lo"):
        assert (payload, host, port) == (b"hello", "192.0.2.7", 4000)
match manycast.SocketError(errno.EADDRINUSE, "in use"):
    case manycast.SocketError(errno.EADDRINUSE, message):
        assert message == "in use"
match measure.Interval((STREAM,)):
    case measure.Interval((measure.Stream(source, lost=lost),)):
        assert (source, lost) == (SOURCE, 100)
match manycast.Sent(5, GROUP, SOURCE, "lo", 1):
    case manycast.Sent(size, hops=1):
        assert size == 5
"""
    exec(code, globals())


def test_what_a_stream_adds_up_to():
    assert (STREAM.expected, STREAM.loss, STREAM.bits_per_second) == (200, 0.5, 4000.0)
    assert measure.Stream(SOURCE, GROUP, "lo", 0.0, 0, 0).loss == 0.0


def test_membership_says_what_it_is():
    joined = manycast.Membership(GROUP, "eth0", (), ("10.0.0.9",))
    assert str(joined) == "239.1.1.1:5000 on eth0 without 10.0.0.9"
