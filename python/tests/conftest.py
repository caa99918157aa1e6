"""What the tests share. All datagrams stay on loopback."""

import itertools
import os

import pytest

import manycast

_numbers = itertools.count()


@pytest.fixture
def group():
    """A group on loopback that no other test and no other process uses."""
    number = next(_numbers)
    third, fourth = divmod(os.getpid() * 64 + number, 250)
    return manycast.Address(f"239.192.{third % 250 + 1}.{fourth + 1}%lo:{20000 + number}")


@pytest.fixture
def listener(group):
    with manycast.listen(group, timeout=10) as listener:
        yield listener


@pytest.fixture
def server():
    """A socket on loopback."""
    with manycast.Socket("127.0.0.1:0", timeout=10) as server:
        yield server
