"""What the tests share. They run in a network namespace of their own, which has loopback alone."""

import itertools
import os
import signal
import subprocess
import sys

import pytest

import manycast

_ISOLATED = "MANYCAST_TESTS_ISOLATED"


def pytest_configure(config):
    # Whoever started the tests in the background had Ctrl-C ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _ISOLATED in os.environ:
        # Programs that the tests start look in their folder first; here is no package's source.
        os.chdir(os.path.dirname(__file__))
        return
    os.environ[_ISOLATED] = "yes"
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
    # The route is what lets groups of IPv6 be sent to by loopback.
    inside = (
        "ip link set lo up && ip -6 route add local ff00::/8 dev lo table local "
        '&& exec "$0" "$@"'
    )
    # By its script: "-m" would put this folder first, whose package lacks what was compiled.
    arguments = ["unshare", "-Urn", "sh", "-c", inside, sys.executable, *sys.argv]
    os.execvp(arguments[0], arguments)

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


@pytest.fixture
def slow():
    """Loopback carries so little, 25 megabytes a second, that send buffers fill."""
    queue = ["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", "200mbit"]
    subprocess.run([*queue, "burst", "128kb", "limit", "100mb"], check=True)
    yield
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


@pytest.fixture
def stuck():
    """Called, it lets loopback carry as good as nothing from then on, so that send buffers stay full."""
    queue = ["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", "1kbit"]
    yield lambda: subprocess.run([*queue, "burst", "10kb", "limit", "100mb"], check=True)
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


@pytest.fixture
def refusing():
    """An address of this host where nobody listens."""
    with manycast.Socket("127.0.0.1:0") as gone:
        address = gone.local_address
    return address
