"""Each example runs, as a user runs it, and does what it says."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import manycast

EXAMPLES = Path(__file__).parent.parent / "examples"

# What receives: where something is sent until it has come, and the line that tells of it.
RECEIVERS = {
    "row02_receive": ("127.0.0.1:5005", b"hi", "received message: b'hi' from 127.0.0.1:"),
    "row15_listen": ("239.192.51.105%lo:4242", b"hi", "b'hi'"),
    "row19_receive_once": ("239.192.1.100%lo:50000", b"hi", "b'hi'"),
    "row20_interface": ("239.1.1.1%lo:55555", b"hi", "b'hi'"),
    "row23_many_groups": ("239.1.1.2%lo:19900", b"hi", "239.1.1.2 b'hi'"),
    "row25_bind_to_the_group": ("239.1.1.1%lo:5007", b"hi", "b'hi'"),
    "row27_hex": ("239.1.1.1%lo:5008", b"\x00\xffA", "00 ff 41"),
    "row29_finxter_receiver": ("239.1.1.1%lo:5004", b"robot", "robot"),
    "row33_by_interface_name": ("238.0.0.1%lo:1234", b"hi", "b'hi'"),
    "row36_wished_for_listener": ("239.192.0.100%lo:1000", b"Hello", "b'Hello'"),
    "row38_socket_with_join": ("239.192.0.38%lo:5038", b"hi", "b'hi'"),
    "row42_stream": ("239.192.0.42%lo:5042", b"hi", "127.0.0.1 b'hi'"),
}

# What sends: where it arrives, and what.
SENDERS = {
    "row01_send": ("127.0.0.1:5005", b"Hello, World!", []),
    "row35_demo_sender": ("239.192.0.250:8123", b"", []),
    "row37_wished_for_send": ("239.192.0.100:1000", b"Hello, world!", []),
    "row44_robot": ("239.192.0.100:1044", b"robot", []),
    "row45_send": ("239.192.1.100:50045", b"data", []),
    "row46_sender_says_where": ("239.1.1.1:5046", b"group: 239.1.1.1, port: 5046", ["239.1.1.1", "5046"]),
    "row53_ttl_32": ("239.1.1.1:5053", b"robot", []),
}

# What serves: a question, the answer, and where to ask.
SERVERS = {
    "row09_ok_server": ("127.0.0.1:8888", b"", b"OK..."),
    "row28_threaded_server": ("239.192.0.9%lo:5009", b"hello", b"OK...hello"),
    "row61_echo": ("127.0.0.1:9999", b"hello", b"hello"),
    "row68_ping_server": ("239.192.0.250%lo:8005", b"Client: Ping", b"Server: Pong"),
}

# What needs no other end: its output.
ALONE = {
    "row59_interfaces": "lo ('127.0.0.1', '::1') multicast True",
    "row62_hooks": "started on 127.0.0.1\nstopped",
    "row63_resolve": "127.0.0.1:8888",
    "row65_refused": "No one listening",
    "row67_any_port": "True",
    "row70_join_and_leave": "True False\nTrue",
    "row71_options": "8 True lo",
}

# What asks: where an answer comes from, and what is printed of it.
ASKERS = {
    "row10_client": ("127.0.0.1:8888", "Enter message to send : Server reply : OK...question"),
    "row43_ask_a_group": ("239.192.0.43:10000", "127.0.0.1 b'OK...very important data'"),
    "row64_connected": ("127.0.0.1:5064", "b'OK...hello'"),
    "row66_reconnect": ("127.0.0.1:5066", ""),
    "row69_ping_client": ("239.192.0.250:8005", "b'OK...Client: Ping'"),
}


def start(name, *arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, **options):
    output, errors = process.communicate(timeout=20, **options)
    assert process.returncode == 0, errors
    return output.strip()


def interrupt(process):
    """As Ctrl-C does; the process must end by it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()


def test_all_are_tested():
    tested = {*RECEIVERS, *SENDERS, *SERVERS, *ALONE, *ASKERS, "twisted_ping"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("row*.py")), ids=lambda path: path.stem)
def test_each_has_five_lines_at_most_and_tells_the_trap(path):
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert lines[0].startswith("# ")
    code = [line for line in lines if not line.lstrip().startswith("#")]
    assert len(code) <= 5 + 1 * code[0].startswith("import")
    assert len(lines) - len(code) == 1


@pytest.mark.parametrize("name", RECEIVERS)
def test_it_receives(name):
    address, payload, expected = RECEIVERS[name]
    process = start(name)
    came = threading.Event()

    def send():
        # Nobody tells when the other process listens, so it is told again until it says so.
        with manycast.Sender(address, source="127.0.0.1") as sender:
            while not came.wait(0.02):
                sender.send(payload)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith(expected) for line in lines), process.stderr.read()
    finally:
        came.set()
        sending.join()
        interrupt(process)


@pytest.mark.parametrize("name", SENDERS)
def test_it_sends(name):
    address, payload, arguments = SENDERS[name]
    with manycast.Listener(address, timeout=20) as listener:
        finish(start(name, *arguments))
        assert payload in listener.recv().payload


@pytest.mark.parametrize("name", SERVERS)
def test_it_serves(name):
    address, question, expected = SERVERS[name]
    process = start(name)
    answers = []
    try:
        while not answers and process.poll() is None:
            try:
                answers = manycast.ask(question, address, answers=1, timeout=0.1, retries=5)
            except ConnectionRefusedError:
                pass
        assert [answer.payload for answer in answers] == [expected]
    finally:
        interrupt(process)


@pytest.mark.parametrize("name", ALONE)
def test_it_runs_alone(name):
    assert ALONE[name] in finish(start(name))


@pytest.mark.parametrize("name", ASKERS)
def test_it_asks(name):
    address, expected = ASKERS[name]

    def answer(listener):
        datagram = listener.recv()
        with manycast.Socket(datagram.local and (datagram.local, 0)) as own:
            server = listener if isinstance(listener, manycast.Socket) else own
            server.send_to(b"OK..." + datagram.payload, datagram.source)

    group = manycast.Address(address).is_group
    opened = manycast.listen if group else manycast.Socket
    with opened(address, timeout=20) as listener:
        answering = threading.Thread(target=answer, args=(listener,))
        answering.start()
        assert finish(start(name), input="question\n") == expected
        answering.join()
