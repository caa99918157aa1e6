"""What type checkers make of the package."""

import sys
import textwrap

import pytest
from mypy import api

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the newest mypy does not run here; run the tests on 3.11"
)

# What is inferred of calls, and what must be refused.
RIGHT = """
import manycast
from manycast import AddressLike, InterfaceLike, Payload, aio, discovery, files, measure, stream
from typing_extensions import assert_type

def greet(whom: AddressLike, text: Payload, by: InterfaceLike) -> manycast.Sent:
    return manycast.send(text, whom, interface=by)

def blocking() -> None:
    greet(("239.1.1.1", 5000), bytearray(b"x"), 1)
    assert_type(manycast.ask("?", "239.1.1.1:5000", interface=["eth0", 2]), list[manycast.Answer])
    assert_type(manycast.doctor(with_="host").findings[0].remedy, "str | None")
    with manycast.listen(excluded="10.0.0.1", share_port=True) as listener:
        assert_type(listener.recv_into(bytearray(9)), list[int])
        assert_type(listener.memberships[0].excluded, tuple[str, ...])
        for datagram in listener:
            assert_type(datagram, manycast.Datagram)
    assert_type(measure.send("239.1.1.1:5001").run(), measure.SenderStats)
    receiving = measure.receive(":5001")
    assert_type(receiving.stats.streams[0].delay, "measure.Spread | None")
    for event in receiving:
        assert_type(event, "measure.Began | measure.Interval | measure.Freed")
        match event:
            case measure.Interval(streams):
                assert_type(streams, tuple[measure.Stream, ...])

    def told(event: files.SendEvent) -> None:
        match event:
            case files.SendProgress(receivers=receivers):
                assert_type(receivers, tuple[files.ReceiverProgress, ...])
    sent = manycast.send_files("239.1.1.1:5013", ["dir"], names="lab1", progress=told)
    assert_type(sent.receivers[0].files[0].reason, "str | None")
    with manycast.send_stream("239.1.1.1:5014", names=["lab1"]) as out:
        assert_type(out.write(b"x"), int)
        assert_type(out.report, "stream.StreamSent | None")
    for part in manycast.receive_stream(("239.1.1.1", 5014)):
        assert_type(part, bytes)
    for device in manycast.discover(["_http._tcp"], timeout=1, protocol="dns-sd"):
        assert_type(device.services[0].socket_addresses, tuple[manycast.SocketAddress, ...])
    browsing = manycast.browse(interface="eth0")
    assert_type(browsing.stats, discovery.BrowseStats)
    for happened in browsing:
        assert_type(happened.service.attribute("path"), "str | None")
        if isinstance(happened, discovery.Changed):
            assert_type(happened.added, tuple[discovery.ServiceAddress, ...])
    with manycast.announce("x", "_http._tcp", 80, attributes={"path": "/", "flag": None}) as announcer:
        for said in announcer:
            assert_type(said, discovery.AnnounceEvent)

async def waiting() -> None:
    assert_type(await aio.receive_files([":5013"], "."), files.ReceiveReport)
    assert_type(await aio.tftp.get("host/file", "file"), manycast.tftp.Report)
    async with aio.receive_stream(":5014") as incoming:
        assert_type(await incoming.read(5), bytes)
        async for part in incoming:
            assert_type(part, bytes)
    assert_type(await aio.ask("?", ":1"), list[manycast.Answer])
    assert_type(await aio.discover("printer"), list[discovery.Device])
    async for happened in aio.browse("printer"):
        assert_type(happened.service, discovery.Service)
    async with aio.announce("x", ["_http._tcp"], 80) as announcer:
        assert_type(await announcer.next_event(timeout=1), "discovery.AnnounceEvent | None")
    sending = aio.measure.send("239.1.1.1:5001", rate=None)
    assert_type(await sending.next_event(timeout=1), "measure.Finished | None")
    assert_type(await sending.run(), measure.SenderStats)
    async for event in aio.measure.receive(":5001", expect=1):
        assert_type(event, "measure.Began | measure.Interval | measure.Freed")
"""
WRONG = [
    'manycast.send("239.1.1.1:5000", 5)',
    'manycast.Socket().answer(manycast.Socket().recv(), "payload")',
    'manycast.measure.send("239.1.1.1:5001", rate="50M")',
    "manycast.Membership(interface=3)",
    "manycast.listen(excluded=3)",
    'manycast.send_files("239.1.1.1:5013", 7)',
    'manycast.aio.send_stream("239.1.1.1:5014", rate="50M")',
    'manycast.announce("x", "_http._tcp", "80")',
    "manycast.discover(timeout=None)",
]


def checked(code, tmp_path):
    file = tmp_path / "code.py"
    file.write_text(code)
    # For the newest Python that the statements above need.
    arguments = ["--strict", "--no-incremental", "--python-version", "3.11", str(file)]
    return api.run(arguments)


def test_types_are_inferred_and_mistakes_refused(tmp_path):
    wrong = "def wrong() -> None:\n" + textwrap.indent("\n".join(WRONG), "    ")
    output, errors, _ = checked(f"{RIGHT}\n{wrong}\n", tmp_path)
    first = len(RIGHT.splitlines()) + 3
    lines = {int(line.split(":")[1]) for line in output.splitlines() if ": error:" in line}
    assert lines == set(range(first, first + len(WRONG))), output + errors
