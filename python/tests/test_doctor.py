import asyncio
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


def test_what_is_refused(group):
    with pytest.raises(manycast.AddressError, match="names no port"):
        manycast.doctor(group.host, 0)
    with pytest.raises(ValueError, match="has an end"):
        manycast.doctor(group, duration=float("inf"))
    with pytest.raises(manycast.Error):
        manycast.doctor(group, pid=2**22 + 1, duration=2)
