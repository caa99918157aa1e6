"""What is on the link, blocking and on the event loop. Another host is there, in a namespace of its own."""

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from waiting import interrupted, turn, until

import manycast
from manycast import aio, discovery, measure

UUID = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11"
PROTOCOLS = ("dns-sd", "ssdp", "ws-discovery")
WEB = {
    "name": "My web",
    "kind": "_http._tcp",
    "port": 8080,
    "attributes": {"path": "/x", "flag": None},
    "protocol": PROTOCOLS,
    "uuid": UUID,
}
BASIC = {"name": "Box", "kind": "urn:schemas-upnp-org:device:Basic:1", "port": 80, "uuid": UUID}

# It announces what it is told, tells what happens, and ends with its standard input.
ANNOUNCER = """
import json, sys, threading, manycast
with manycast.announce(**json.loads(sys.argv[1])) as announcer:
    threading.Thread(target=lambda: (sys.stdin.read(), announcer.close())).start()
    for event in announcer:
        print(type(event).__name__, getattr(event, "protocol", ""), flush=True)
"""


class Other:
    """The other host, and programs that run there."""

    def __init__(self, pid):
        self.inside = ["nsenter", "-t", str(pid), "-n"]

    def run(self, *words):
        subprocess.run([*self.inside, *words], check=True)

    def python(self, code, *words):
        return subprocess.Popen(
            [*self.inside, sys.executable, "-c", code, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def announce(self, how):
        """Announces there; ready as soon as each protocol has."""
        program = self.python(ANNOUNCER, json.dumps(how))
        missing = set(how.get("protocol", ["ssdp"]))
        while missing:
            event, _, protocol = program.stdout.readline().strip().partition(" ")
            assert event, "the announcer has ended"
            if event == "Announced":
                missing.discard(protocol)
        return program


@pytest.fixture
def other():
    """A host at the other end of eth0, 10.9.0.2; this one is 10.9.0.1."""
    setting = (
        "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad && ip link set lo up "
        "&& ip address add 10.9.0.$0/24 dev eth0 && ip link set eth0 up"
    )
    with subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE) as holder:
        here = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != here)
        other = Other(holder.pid)
        pair = f"ip link add eth0 type veth peer name eth0 netns {holder.pid}"
        subprocess.run(pair.split(), check=True)
        try:
            subprocess.run(["sh", "-c", setting, "1"], check=True)
            other.run("sh", "-c", setting, "2")
            yield other
        finally:
            subprocess.run(["ip", "link", "delete", "eth0"], check=True)
            holder.stdin.close()


def ended(program):
    """Ends a program that waits for its standard input, and waits until it has ended well."""
    program.stdin.close()
    program.stdout.read()
    program.stdout.close()
    assert program.wait(30) == 0


def of(events, kind, protocols):
    """Takes events until there was one of this kind by each of the protocols, and returns these."""
    seen = {}
    for event in events:
        if isinstance(event, kind) and event.service.protocol in protocols:
            seen.setdefault(event.service.protocol, event)
            if len(seen) == len(protocols):
                return seen
    raise AssertionError(f"it ended with {seen}")


def test_the_devices_that_are_there(other):
    announcer = other.announce(WEB)
    devices = manycast.discover(timeout=2)
    (device,) = [device for device in devices if UUID in device.uuids]
    assert device.protocols == PROTOCOLS
    assert any(str(address) == "10.9.0.2" for address in device.addresses)
    zones = [address for address in device.addresses if address.ip.startswith("fe80:")]
    assert zones and all(address.ip.endswith("%eth0") for address in zones)
    assert {address.interface for address in device.addresses} == {"eth0"}
    (web,) = [service for service in device.services if service.kind == "_http._tcp"]
    assert (web.name, web.port, web.id) == ("My web", 8080, "My web._http._tcp.local.")
    assert web.attribute("PATH") == "/x" and web.attribute("flag") == ""
    assert web.attribute("none") is None
    assert discovery.Attribute("path", b"/x") in web.attributes
    assert ("10.9.0.2", 8080) in web.socket_addresses
    # What it says of an address is what sockets take.
    family, *_ = socket.getaddrinfo(zones[0].ip, 80, type=socket.SOCK_DGRAM)[0]
    assert family == socket.AF_INET6
    assert 0 <= web.age < 60 and abs(web.heard - time.time()) < 60
    assert "8080" in str(web) and "10.9.0.2" in str(device)
    by_type = manycast.discover(
        ["_http._tcp", "_ipp._tcp"], protocol="dns-sd", interface="all", timeout=2
    )
    assert [service.id for device in by_type for service in device.services] == [web.id]
    assert manycast.discover("_ipp._tcp", interface="eth0", timeout=0.5) == []
    ended(announcer)


def test_what_comes_changes_and_goes(other):
    with manycast.browse(interface="eth0", timeout=50) as browsing:
        announcer = other.announce(WEB)
        found = of(browsing, discovery.Found, PROTOCOLS)
        assert found["dns-sd"].service.name == "My web"
        assert found["ws-discovery"].service.uuid == UUID
        assert UUID in {it for device in browsing.stats.devices for it in device.uuids}
        other.run("ip", "address", "add", "10.9.0.7/24", "dev", "eth0")
        changed = of(browsing, discovery.Changed, ["dns-sd"])["dns-sd"]
        assert changed.change == "addresses" and changed.service.id == found["dns-sd"].service.id
        while not any(address.ip == "10.9.0.7" for address in changed.added):
            changed = of(browsing, discovery.Changed, ["dns-sd"])["dns-sd"]
        ended(announcer)
        gone = of(browsing, discovery.Gone, PROTOCOLS)
        assert gone["ssdp"].reason == gone["ws-discovery"].reason == "goodbye"
        assert gone["dns-sd"].reason == "goodbye-or-expired"
        browsing.finish()
        list(browsing)
        assert browsing.finished and browsing.closed


def test_an_interface_that_goes(other):
    with manycast.browse("upnp:rootdevice", timeout=50) as browsing:
        announcer = other.announce(BASIC)
        of(browsing, discovery.Found, ["ssdp"])
        subprocess.run(["ip", "link", "set", "eth0", "down"], check=True)
        assert of(browsing, discovery.Gone, ["ssdp"])["ssdp"].reason == "interface"
        subprocess.run(["ip", "link", "set", "eth0", "up"], check=True)
        of(browsing, discovery.Found, ["ssdp"])
    ended(announcer)


def test_on_the_event_loop(other):
    async def main():
        web = {**WEB, "interface": "eth0"}
        code = (
            "import sys, manycast\n"
            "for event in manycast.browse('_http._tcp', timeout=50):\n"
            "    print(type(event).__name__, event.service.id, flush=True)\n"
            "    if isinstance(event, manycast.discovery.Gone): break\n"
        )
        looking = other.python(code)
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await turn()

        counting = asyncio.ensure_future(count())
        async with aio.announce(**web) as announcer:
            names = {type(await announcer.next_event(timeout=30)) for _ in PROTOCOLS}
            assert names <= {discovery.Announced, discovery.Asked}
            loop = asyncio.get_running_loop()
            there = loop.run_in_executor(None, looking.stdout.readline)
            assert await there == "Found My web._http._tcp.local.\n"
            with pytest.raises(asyncio.TimeoutError):
                while True:
                    await announcer.next_event(timeout=0.01)
            rest = asyncio.ensure_future(_all(announcer))
            await turn()
            before = turns
        # Whoever iterated over it has come to the end, and the loop went on while goodbye was said.
        await rest
        assert announcer.closed and turns > before
        await announcer.close()
        assert await announcer.next_event() is None
        gone = await loop.run_in_executor(None, looking.stdout.read)
        assert gone.endswith("Gone My web._http._tcp.local.\n")
        looking.stdin.close()
        looking.stdout.close()
        looking.wait(10)

        box = await loop.run_in_executor(None, other.announce, BASIC)
        async with aio.browse("upnp:rootdevice", timeout=50) as browsing:
            async for event in browsing:
                assert isinstance(event, discovery.Found) and event.service.uuid == UUID
                break
        (device,) = await aio.discover("upnp:rootdevice", timeout=3)
        assert device.uuids == (UUID,)
        search = asyncio.ensure_future(aio.discover(timeout=50))
        await turn()
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
        counting.cancel()
        await loop.run_in_executor(None, ended, box)

    async def _all(announcer):
        return [event async for event in announcer]

    asyncio.run(main())


def test_a_name_that_another_host_has(other):
    # Both hosts have one name themselves, which is another conflict.
    announcer = other.announce({**WEB, "protocol": ["dns-sd"]})
    with manycast.announce("My web", "_http._tcp", 8081, interface="eth0") as own:
        renamed = None
        while not (isinstance(renamed, discovery.Renamed) and "My web" in renamed.wanted):
            renamed = own.next_event(timeout=30)
    assert renamed.given == "My web (2)._http._tcp.local."
    ended(announcer)


def test_who_asks_is_told(other):
    with manycast.announce(**BASIC, interface="eth0") as own:
        looking = other.python("import manycast; print(manycast.discover('upnp:rootdevice', timeout=2))")
        asked = own.next_event(timeout=30)
        while not isinstance(asked, discovery.Asked):
            asked = own.next_event(timeout=30)
        assert (asked.protocol, asked.what) == ("ssdp", "upnp:rootdevice")
        assert asked.source.host == "10.9.0.2" or asked.source.host.startswith("fe80:")
        output, _ = looking.communicate(timeout=30)
        assert UUID in output


def test_goodbye_is_said_for_whoever_forgets_it(other):
    forgets = (
        "import json, sys, manycast\n"
        "announcer = manycast.announce(**json.loads(sys.argv[1]))\n"
        "sys.stdin.read()\n"
        "{}"
    )
    for end in ("del announcer", "sys.exit()", "raise KeyboardInterrupt"):
        with manycast.browse(interface="eth0", timeout=15) as browsing:
            program = subprocess.Popen(
                [*other.inside, sys.executable, "-W", "always", "-c", forgets.format(end),
                 json.dumps(WEB)],
                stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            of(browsing, discovery.Found, PROTOCOLS)
            _, told = program.communicate(timeout=30)
            assert "ResourceWarning: unclosed <Announcer of \"My web\">" in told
            assert "ImportError" not in told and "ModuleNotFoundError" not in told
            # DNS-SD takes some tenths of a second for it, and the program is waited for so long.
            of(browsing, discovery.Gone, PROTOCOLS)


def test_nonsense_is_counted_and_holds_up_nothing():
    """Each is told once, however often it comes; none of it is an event."""
    group = "239.255.255.250%lo:1900"
    with ExitStack() as stack:
        browsing = stack.enter_context(manycast.browse("ssdp:all", interface="lo"))
        for payload in (b"nonsense", b"\x1b[31mNOTIFY", b"NOTIFY * HTTP/1.1"):
            manycast.send(payload, group)
        flood = stack.enter_context(measure.send(group, rate=None, size=12, duration=float("inf")))
        sending = threading.Thread(target=flood.run)
        sending.start()
        stack.callback(sending.join)
        stack.callback(flood.finish)
        with interrupted(when=lambda: browsing.stats.malformed > 1_000):
            with pytest.raises(KeyboardInterrupt):
                browsing.next_event()
        with pytest.raises(TimeoutError, match="a search for ssdp:all told nothing within 0.2 s"):
            browsing.next_event(timeout=0.2)
        stats = browsing.stats
    assert stats.devices == () and 0 < len(stats.warnings) < 10
    assert all("127.0.0.1 on lo" in warning for warning in stats.warnings), stats.warnings
    assert len(set(stats.warnings)) == len(stats.warnings)


def test_closing_by_another_thread_ends_it():
    with manycast.browse(interface="lo", protocol="ssdp") as browsing:
        waiting = threading.Thread(target=lambda: list(browsing))
        waiting.start()
        browsing.close()
        waiting.join(10)
        assert not waiting.is_alive() and browsing.closed
    announcer = manycast.announce(**BASIC, interface="lo")
    told = []
    waiting = threading.Thread(target=lambda: told.extend(announcer))
    waiting.start()
    until(lambda: told)
    announcer.close()
    announcer.close()
    waiting.join(10)
    assert not waiting.is_alive() and announcer.closed and repr(announcer).endswith(", closed>")
    assert isinstance(told[0], discovery.Announced) and announcer.next_event() is None


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_process_is_refused():
    with manycast.announce(**BASIC, interface="lo") as announcer:
        with manycast.browse(interface="lo", protocol="ssdp") as browsing:
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    for use in (browsing, announcer):
                        with pytest.raises(manycast.Error, match="open one after the fork"):
                            use.next_event(timeout=0)
                    announcer.close()
                    browsing.close()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The parent's goes on.
        assert isinstance(announcer.next_event(timeout=10), discovery.Announced)


@pytest.mark.parametrize("what, why", [
    ("http", "nothing that can be looked for; write a type such as _http._tcp"),
    ("_http", "a type has two parts"),
    (["printer", "urn:a b"], "holds no spaces"),
    ([], "has no words"),
])
def test_what_cannot_be_looked_for(what, why):
    for look in (manycast.browse, manycast.discover):
        with pytest.raises(ValueError, match=why):
            look(what)


def test_what_is_refused():
    with pytest.raises(ValueError, match="is no protocol; write one of dns-sd, ssdp, ws-discovery"):
        manycast.browse(protocol="mdns")
    with pytest.raises(ValueError, match="has no words for what is looked for"):
        manycast.discover("_http._tcp", protocol="ssdp")
    with pytest.raises(manycast.SocketError, match="there is no such interface"):
        manycast.discover("printer", interface="nowhere0")
    with pytest.raises(ValueError, match="time-out"):
        manycast.discover(timeout=-1)
    announce = manycast.announce
    with pytest.raises(ValueError, match="no kind of service"):
        announce("x", "http", 80)
    with pytest.raises(ValueError, match="a port is a whole number from 0 to 65535"):
        announce("x", "_http._tcp", 70_000)
    with pytest.raises(ValueError, match="port 0"):
        announce("x", "_http._tcp", 0)
    with pytest.raises(ValueError, match="1 to 63 bytes"):
        announce("x" * 64, "_http._tcp", 80)
    with pytest.raises(TypeError, match="attributes are a dict"):
        announce("x", "_http._tcp", 80, attributes=["path=/"])
    with pytest.raises(TypeError, match="no str, bytes or None"):
        announce("x", "_http._tcp", 80, attributes={"path": 1})
    with pytest.raises(ValueError, match="255 bytes at most"):
        announce("x", "_http._tcp", 80, interface="lo", attributes={"path": "x" * 255})
    with pytest.raises(manycast.SocketError, match="there is no such interface"):
        announce("x", "_http._tcp", 80, interface="nowhere0")


def test_what_others_chose_does_not_drive_a_terminal():
    service = discovery.Service("\x1b[31mred\nline", "a\x9bb")
    device = discovery.Device("\x1b[31m", services=(service,))
    for value in (service, device):
        assert str(value).isprintable() and repr(value).isprintable()
    assert service.name == "\x1b[31mred\nline"


def test_services_are_the_same_whenever_they_were_heard():
    service = discovery.Service("My web", "_http._tcp", heard=1.0)
    later = dataclasses.replace(service, heard=2.0)
    assert service == later and hash(service) == hash(later)
    assert service.socket_addresses == () and service.age > 0
