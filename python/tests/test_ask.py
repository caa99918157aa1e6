import asyncio
import subprocess
import threading

import pytest

import manycast
from manycast import aio


def answer_each(server, count, *replies):
    def serve():
        for _ in range(count):
            question = server.recv()
            for reply in replies:
                server.answer(reply, question)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_host_answers_once(server):
    thread = answer_each(server, 1, "OK...hello", "twice")
    (answer,) = manycast.ask("hello", server.local_address, timeout=10)
    thread.join()
    assert answer.payload == bytes(answer) == answer.datagram.payload == b"OK...hello"
    assert answer.source == server.local_address
    assert 0 < answer.round_trip < 10
    assert answer.attempt == 1


def test_all_members_of_a_group_answer(group):
    def member(listener):
        with listener, manycast.Socket("127.0.0.1:0") as own:
            own.send_to("here", listener.recv().source)

    listeners = [manycast.listen(group, timeout=10) for _ in range(3)]
    threads = [threading.Thread(target=member, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    answers = manycast.ask("who is there?", group, answers=3, timeout=10)
    assert [answer.payload for answer in answers] == [b"here"] * 3
    assert len({answer.source for answer in answers}) == 3
    for thread in threads:
        thread.join()


def test_nobody_answers(server):
    assert manycast.ask("hello", server.local_address, timeout=0.05) == []
    assert server.recv().payload == b"hello"


def test_asking_again(server):
    assert manycast.ask("hello", server.local_address, timeout=0.02, retries=2) == []
    assert len([server.recv() for _ in range(3)]) == 3


def test_a_refusal():
    with manycast.Socket("127.0.0.1:0") as gone:
        address = gone.local_address
    with pytest.raises(ConnectionRefusedError):
        manycast.ask("hello", address, timeout=10)


@pytest.fixture
def forbidden():
    """A port to which the firewall of this host lets nothing out."""
    rules = "table inet ask {\nchain output {\ntype filter hook output priority 0\nudp dport 4711 drop\n}\n}\n"
    subprocess.run(["nft", "-f", "-"], input=rules, check=True, text=True)
    yield 4711
    subprocess.run(["nft", "delete", "table", "inet", "ask"], check=True)


def test_a_question_that_is_not_sent_is_an_error_at_once(forbidden):
    for host in ("127.0.0.1", "::1", "239.192.0.100%lo"):
        with pytest.raises(PermissionError, match="a firewall of this host drops it") as caught:
            manycast.ask("hello", host, forbidden, timeout=3600)
        assert isinstance(caught.value, manycast.SocketError) and caught.value.errno == 1
        with pytest.raises(PermissionError):
            asyncio.run(aio.ask("hello", host, forbidden, timeout=3600))


def test_without_end_is_refused(server):
    with pytest.raises(ValueError, match="cannot be waited for without end"):
        manycast.ask("hello", server.local_address, timeout=float("inf"))
