"""The package as a whole: the wished-for lines, its names, its documentation, its size."""

import asyncio
import doctest
import inspect
import io
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time

import pytest

import manycast
from manycast import aio, discovery, files, server, stream, tftp

MODULES = (manycast, aio, discovery, files, server, stream, tftp, aio.tftp)


def test_the_line_that_sends():
    with manycast.MulticastListener("239.192.0.100", 1000, timeout=10) as listener:
        sent = manycast.send("Hello, world!", "239.192.0.100", 1000)
        assert listener.recv(100) == b"Hello, world!"
    assert (sent.size, sent.destination, sent.hops) == (13, ("239.192.0.100", 1000), 1)
    assert sent.interface in manycast.ifconfig()


def test_the_line_that_listens_on_an_interface():
    receiver = manycast.MulticastUDPReceiver("lo", "238.0.0.1", 1234)
    manycast.send(b"by name", "238.0.0.1%lo:1234")
    assert receiver.read() == b"by name"
    receiver.close()


def test_the_line_that_shows_interfaces():
    lo = manycast.ifconfig()["lo"]
    assert "127.0.0.1" in lo.addresses
    assert lo.multicast is False  # the loopback interface does not say so, but it can
    assert lo.can_multicast is True
    assert lo.up is True


def test_all_names_are_there_and_documented():
    for name in manycast.__all__:
        thing = getattr(manycast, name)
        assert not callable(thing) or name.endswith(("Like", "Payload")) or inspect.getdoc(thing), name
    for module in MODULES:
        for thing in vars(module).values():
            if inspect.isclass(thing) and thing.__module__.startswith("manycast"):
                for name, member in vars(thing).items():
                    is_own = inspect.isroutine(member) or inspect.isdatadescriptor(member)
                    if is_own and not name.startswith("_"):
                        assert inspect.getdoc(member), f"{thing.__name__}.{name}"


def test_each_class_has_an_example():
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                assert ">>>" in inspect.getdoc(thing), name


def test_the_examples_of_the_documentation():
    names = {**vars(manycast), "asyncio": asyncio, "io": io, "threading": threading}
    names.update(manycast=manycast, aio=aio, server=server, socketserver=socketserver)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    tried = 0
    for module in MODULES:
        for name in module.__all__:
            for example in finder.find(getattr(module, name), name, False, extraglobs=names):
                if "match" in example.docstring and sys.version_info < (3, 10):
                    continue
                example.globs.update(vars(server) if module is server else {})
                tried += runner.run(example).attempted
    assert tried > 40 and not runner.summarize().failed


def test_it_imports_fast_and_needs_nothing():
    # Of several runs the fastest, since the machine may have other things to do.
    code = (
        "import sys, time; before = set(sys.modules); t = time.perf_counter(); import manycast; "
        "print(time.perf_counter() - t); "
        "print(*sorted(n for n in set(sys.modules) - before if '.' not in n))"
    )
    fastest = float("inf")
    for _ in range(5):
        output = subprocess.run(
            [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        fastest = min(fastest, float(output[0]))
    assert fastest < 0.05
    if sys.version_info >= (3, 10):
        assert set(output[1].split()) <= {"manycast"} | set(sys.stdlib_module_names)


def test_opening_and_closing_leaks_nothing(group):
    def cycle(times):
        for _ in range(times):
            with manycast.listen(group), manycast.Sender(group), manycast.Socket("127.0.0.1:0"):
                pass

    def memory():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    cycle(500)
    files, before = len(os.listdir("/proc/self/fd")), memory()
    cycle(10_000)
    assert len(os.listdir("/proc/self/fd")) == files
    # A leak of 100 bytes a cycle would be a megabyte.
    assert memory() - before < 1_000_000


def test_a_child_process_is_refused(listener, group):
    with manycast.Sender(group) as sender:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for use in (lambda: listener.recv(timeout=0), lambda: sender.send("x")):
                    with pytest.raises(manycast.Error, match="open one after the fork"):
                        use()
                listener.close()
                with manycast.listen(group, timeout=10) as own:
                    manycast.send("from the child", group)
                    assert own.recv().payload == b"from the child"
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # The parent's listener is as it was.
    assert listener.recv().payload == b"from the child"


def test_threads_share_a_listener(listener, group):
    total, got, lock = 2000, [], threading.Lock()

    def receive():
        for datagram in listener:
            with lock:
                got.append(bytes(datagram))
                if len(got) == total:
                    listener.close()

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    with manycast.Sender(group) as sender:
        for start in range(0, total, 100):
            sender.send_many(str(i) for i in range(start, start + 100))
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(i).encode() for i in range(total)]


WAITS = {
    "Listener.recv": "manycast.listen('239.192.0.101%lo:5000').recv()",
    "Listener.recv_many": "manycast.listen('239.192.0.101%lo:5000').recv_many()",
    "Listener iteration": "list(manycast.listen('239.192.0.101%lo:5000'))",
    "MulticastListener.recv": "manycast.MulticastListener('239.192.0.101%lo:5000').recv()",
    "MulticastUDPReceiver.read": "manycast.MulticastUDPReceiver('lo', '239.1.1.1', 5000).read()",
    "Socket.recv": "manycast.Socket('127.0.0.1:0').recv()",
    "doctor": "manycast.doctor('239.192.0.101%lo:5000')",
    "ask": "manycast.ask('?', '239.192.0.101%lo:5000', timeout=50)",
    "browse": "list(manycast.browse())",
    "discover": "manycast.discover(timeout=50)",
    "Announcer.next_event": "a = manycast.announce('x', '_http._tcp', 80); list(a)",
    "receive_files": "manycast.receive_files('239.192.0.101%lo:5000', '.')",
    "receive_stream": "manycast.receive_stream('239.192.0.101%lo:5000').read()",
    "send_files": "manycast.send_files('239.192.0.101%lo:5000', signal.__file__, names='r', wait=60)",
    "send_stream": "manycast.send_stream('239.192.0.101%lo:5000', names='r', wait=60).close()",
}


FLOODS = {
    "Sender.send": "while True: sender.send(bytes(60_000))",
    "Sender.send_many": "sender.send_many([bytes(60_000)] * 100_000)",
    "Socket.send_to": "while True: socket.send_to(bytes(60_000), '127.0.0.1:9999')",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_control_c_interrupts_who_waits_for_room_to_send(flood, slow):
    opened = (
        "sender = manycast.Sender('127.0.0.1:9999')\n"
        "socket = manycast.Socket('127.0.0.1:0')\n"
    )
    test_control_c_interrupts_a_wait_at_once(flood, opened)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_control_c_interrupts_a_wait_at_once(wait, opened=""):
    """A child waits; an alarm of its own interrupts it, as Ctrl-C does, and it tells when it ended."""
    code = f"""
import signal, time, warnings, manycast
warnings.simplefilter("ignore", ResourceWarning)
{opened}
def interrupt(number, frame):
    global before
    before = time.perf_counter()
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    {wait}
except KeyboardInterrupt:
    print(time.perf_counter() - before)
"""
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, timeout=30
    )
    assert float(result.stdout) < 3
    assert time.perf_counter() - started < 20


LOOKUPS = {
    "resolve": "manycast.resolve('example.org:5000')",
    "send": "manycast.send('x', 'example.org:5000')",
    "Sender": "manycast.Sender('example.org:5000')",
    "Sender.reopen": "known.reopen()",
    "Sender.interface": "known.interface = 'lo'",
    "Listener": "manycast.listen('example.org:5000')",
    "Socket": "manycast.Socket('example.org:5000')",
    "Socket.connect": "manycast.Socket.connect('example.org:5000')",
    "Socket.reconnect": "manycast.Socket(':0').reconnect('example.org:5000')",
    "Socket.send_to": "manycast.Socket(':0').send_to('x', 'example.org:5000')",
    "ask": "manycast.ask('?', 'example.org:5000')",
    "doctor": "manycast.doctor('example.org:5000')",
    "socket": "manycast.socket('example.org:5000')",
    "send_files": "manycast.send_files('example.org:5000', '/etc/nsswitch.conf')",
    "aio.resolve": "asyncio.run(aio.resolve('example.org:5000'))",
    "aio.ask": "asyncio.run(aio.ask('?', 'example.org:5000'))",
    "aio.doctor": "asyncio.run(aio.doctor('example.org:5000'))",
}


@pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS.keys())
def test_control_c_interrupts_the_lookup_of_a_name_at_once(lookup, tmp_path):
    """The child's name server is here, and never answers."""
    code = f"""
import asyncio, signal, time, warnings, manycast
from manycast import aio
warnings.simplefilter("ignore", ResourceWarning)
signal.signal(signal.SIGINT, signal.default_int_handler)
open("/etc/resolv.conf", "w").write("nameserver 127.0.0.1")
open("/etc/nsswitch.conf", "w").write("hosts: files dns")
open("/etc/hosts", "w").write("127.0.0.1 known.example")
known = manycast.Sender("known.example:5000")
open("/etc/hosts", "w").close()
try:
    {lookup}
except KeyboardInterrupt:
    print(time.perf_counter())
"""
    inside = 'mount -t tmpfs none /etc && exec "$0" "$@"'
    arguments = ["unshare", "-m", "sh", "-c", inside, sys.executable, "-c", code]
    with manycast.Socket("127.0.0.1:53") as server:
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            server.recv(timeout=30)
            asked = time.perf_counter()
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=30)
    assert float(output) - asked < 3
    assert time.perf_counter() - asked < 5


def test_a_signal_without_an_exception_does_not_end_a_wait(group):
    code = f"""
import signal, manycast
signal.signal(signal.SIGALRM, lambda number, frame: manycast.send("from the handler", "{group}"))
signal.setitimer(signal.ITIMER_REAL, 0.2)
with manycast.listen("{group}", timeout=10) as listener:
    print(listener.recv().payload.decode())
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout == "from the handler\n"


def test_the_modules_are_there_without_an_import_of_their_own():
    code = "import manycast; manycast.aio.listen; manycast.server.MulticastServer"
    subprocess.run([sys.executable, "-I", "-W", "error", "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        manycast.nothing


def test_the_metadata():
    from importlib import metadata

    told = metadata.metadata("manycast")
    assert sorted(told.get_all("License-File")) == ["LICENSE-APACHE", "LICENSE-MIT"]
    assert any(url.startswith("Repository") for url in told.get_all("Project-URL"))


def test_a_timeout_is_that_of_asyncio_too(listener):
    import asyncio

    with pytest.raises(asyncio.TimeoutError) as caught:
        listener.recv(timeout=0)
    assert isinstance(caught.value, (TimeoutError, OSError)) and caught.value.errno == 110


def test_what_was_left_open_tells_where_it_was_opened():
    code = (
        "import manycast, sys\n"
        "def opening():\n"
        "    return manycast.Socket('127.0.0.1:0')\n"
        "opening()\n"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-W", "always", "-X", "tracemalloc=5", "-c", code],
        check=True, capture_output=True, text=True,
    ).stderr
    assert "unclosed <Socket" in told and "Object allocated at" in told and "lineno 3" in told


def test_what_is_open_when_python_ends_is_told_as_of_files():
    """The modules are gone by then; the warning comes by the filter that stands, and nothing else."""
    code = (
        "import manycast\n"
        "socket = manycast.Socket('127.0.0.1:0')\n"
        "driver = manycast.measure.send('127.0.0.1:9', count=1)\n"
        "announcer = manycast.announce('x', '_http._tcp', 80, interface='lo')\n"
    )
    for wanted in ([], ["-W", "default"]):
        told = subprocess.run(
            [sys.executable, "-I", *wanted, "-c", code], check=True, capture_output=True, text=True
        ).stderr
        lines = told.splitlines()
        assert len(lines) == (3 if wanted else 0), told
        assert all(": ResourceWarning: unclosed <" in line for line in lines), told


def test_look_ups_that_nobody_waits_for_leave_nothing_behind():
    """A name server that does not answer: many look-ups are begun and given up."""
    code = """if True:
        import os, socket, threading
        import manycast
        from manycast._manycast import begin_resolve
        before = len(os.listdir("/proc/self/fd"))
        pending = [begin_resolve("name.invalid", 1) for _ in range(300)]
        # At most 16 at once, and those that have just ended are still listed.
        assert len(os.listdir("/proc/self/task")) <= 1 + 3 * 16, os.listdir("/proc/self/task")
        del pending
        # Those that are being looked up have sockets of their own.
        assert len(os.listdir("/proc/self/fd")) <= before + 3 * 16
        os._exit(0)
    """
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=30)
