"""What the kernel drops for want of room is told, exactly where each datagram comes by itself."""

import os
import subprocess
import sys

import pytest

import manycast
from manycast import measure

FLOOD = """
import manycast
for opening in (manycast.Listener, manycast.Socket):
    with opening("127.0.0.1:0", receive_buffer=8192) as receiver:
        assert receiver.dropped == manycast.Dropped()
        port = getattr(receiver, "local_address", None) or receiver.local_addresses[0]
        with manycast.Sender(port) as sender:
            sender.send_many([b"x" * 100] * 1000)
        received = 0
        while some := receiver.try_recv_many():
            received += len(some)
        print(receiver.dropped.count, receiver.dropped.exact, received)
"""


@pytest.mark.parametrize("offload", ["on", "off"])
def test_a_receiver_tells_what_was_dropped(offload):
    environment = {**os.environ, "MANYCAST_OFFLOAD": offload}
    if offload == "on":
        del environment["MANYCAST_OFFLOAD"]
    told = subprocess.run(
        [sys.executable, "-c", FLOOD], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    lines = told.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        count, exact, received = line.split()
        most = int(count) if exact == "True" else int(count) * 128
        assert int(count) > 0 and exact == str(offload == "off")
        assert int(count) <= 1000 - int(received) <= most


def test_a_measurement_tells_what_was_dropped(group):
    with measure.receive(group, receive_buffer=8192, interval=0) as driver:
        measure.send(group, rate=None, size=100, count=1000).run()
        assert isinstance(driver.next_event(timeout=10), measure.Began)
        dropped = driver.stats.dropped
    assert isinstance(dropped, manycast.Dropped) and dropped.count > 0
    assert driver.stats.dropped == dropped


def test_it_reads_as_the_library_writes_it():
    texts = [str(manycast.Dropped(*fields)) for fields in ((), (3,), (3, False), (0, False))]
    assert texts == ["0", "3", "at least 3", "0"]
