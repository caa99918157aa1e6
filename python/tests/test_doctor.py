import asyncio
import json
import pathlib
import threading

import pytest

import manycast
from manycast import aio


def test_a_stream_that_arrives(group):
    done = threading.Event()

    def send():
        with manycast.Sender(group) as sender:
            while not done.wait(0.01):
                sender.send("x")

    sending = threading.Thread(target=send)
    sending.start()
    report = manycast.doctor(group, duration=2)
    done.set()
    sending.join()
    assert report.healthy, report.findings
    assert report.verdict == "delivered"
    assert report.received > 0
    assert report.subject == str(group)
    assert {mark for _, mark, _ in report.steps} <= {"passed", "unknown"}
    assert repr(report).startswith(f"<Report on {group}: delivered")


def test_a_stream_that_does_not(group):
    report = manycast.doctor(group, duration=2)
    assert not report.healthy
    fault = report.findings[0]
    assert fault.fault and fault.code == report.verdict
    assert fault.confidence in {"proved", "likely", "possible", "cannot see"}
    assert fault.title in str(fault) and isinstance(fault.evidence, tuple)
    assert repr(fault).startswith(f"<Finding {fault.code}")


def test_this_host():
    report = manycast.doctor()
    assert report.subject == "this host"
    assert asyncio.run(aio.doctor()).subject == "this host"


def test_answers_to_a_group(group):
    """Its own programs are not asked: of a host by itself, nobody answers."""
    report = manycast.doctor(group, duration=2, answers=True, question="who is there?")
    assert (report.subject, report.verdict) == (f"answers to {group}", "not-arriving")
    report = asyncio.run(aio.doctor(group, duration=2, answers=True, question=b"?"))
    assert report.subject == f"answers to {group}"


def test_what_is_refused(group):
    with pytest.raises(manycast.AddressError, match="names no port"):
        manycast.doctor(group.host, 0)
    with pytest.raises(ValueError, match="has an end"):
        manycast.doctor(group, duration=float("inf"))
    with pytest.raises(ValueError, match="answers=True"):
        manycast.doctor(group, question="?")
    with pytest.raises(ValueError, match="without pid"):
        manycast.doctor(group, answers=True, question="?", pid=1)
    with pytest.raises(manycast.AddressError, match="groups are asked"):
        manycast.doctor("127.0.0.1:1900", answers=True)
    with pytest.raises(manycast.Error):
        manycast.doctor(group, pid=2**22 + 1, duration=2)


def test_the_readme_shows_what_is_printed():
    readme = pathlib.Path(__file__).parents[1].joinpath("README.md").read_text()
    shown = readme.split("```text\n✗ 239.")[1].split("```")[0]
    printed = str(manycast.doctor("239.192.0.100%lo:5000", duration=2)).splitlines()
    lines = [line for line in ("✗ 239." + shown).splitlines() if line.strip() not in ("", "…")]
    assert len(lines) > 10
    # "not one datagram was heard" takes the privilege to listen on the wire.
    assert [line for line in lines if line not in printed] == []


def test_a_report_has_json(group):
    report = manycast.doctor(group, duration=2)
    told = json.loads(report.json())
    assert (told["subject"], told["verdict"]) == (str(group), report.verdict)
    assert [it["code"] for it in told["findings"]] == [it.code for it in report.findings]
    assert [tuple(it.values()) for it in told["steps"]] == list(report.steps)
