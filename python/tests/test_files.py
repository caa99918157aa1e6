"""Files to many, blocking and on the event loop."""

import asyncio
import errno
import os
import pathlib
import subprocess
import sys
import threading

import pytest
from waiting import interrupted, until

import manycast
from manycast import aio, files

CONTENT = os.urandom(1_000_001)


@pytest.fixture
def source(tmp_path):
    """A folder with files: dir/large, dir/sub/small and dir/empty."""
    folder = tmp_path / "from" / "dir"
    (folder / "sub").mkdir(parents=True)
    (folder / "large").write_bytes(CONTENT)
    (folder / "sub" / "small").write_text("small")
    (folder / "empty").touch()
    return folder


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


class Receiving:
    """Receives in a thread of its own; what comes of it is the result."""

    def __init__(self, *arguments, **options):
        self.listens = threading.Event()
        self.events = []
        self.thread = threading.Thread(target=self.run, args=arguments, kwargs=options)
        self.thread.start()
        assert self.listens.wait(10)

    def run(self, *arguments, **options):
        try:
            self.outcome = manycast.receive_files(*arguments, **options, progress=self.told)
        except Exception as error:
            self.outcome = error
            self.listens.set()

    def told(self, event):
        self.events.append(event)
        if isinstance(event, files.Listening):
            self.listens.set()

    @property
    def result(self):
        self.thread.join()
        return self.outcome


class lossy:
    """A tenth of the datagrams to a group is lost, or of those of them that a rule of nft names."""

    def __init__(self, group, which=""):
        rule = f"ip daddr {group.host} udp dport {group.port} {which}"
        self.chain = f"type filter hook input priority 0; {rule} numgen inc mod 10 == 4 drop;"

    def __enter__(self):
        subprocess.run(["nft", f"table inet lossy {{ chain in {{ {self.chain} }}; }}"], check=True)

    def __exit__(self, *_exception):
        subprocess.run(["nft", "delete table inet lossy"], check=True)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_and_folders_come_to_all(group, source, into):
    (into / "one").mkdir()
    (into / "two").mkdir()
    receiving = [Receiving(group, into / name, name=name) for name in ("one", "two")]
    events = []
    report = manycast.send_files(group, [source], receivers=2, names="one", progress=events.append)
    assert report.complete and (report.expected, report.files) == (2, 5)
    assert report.sent == report.bytes == len(CONTENT) + 5 and report.bits_per_second > 0
    one, two = report.receivers
    assert (one.name, one.complete, one.named, two.named) == ("one", True, True, False)
    assert {file.path: file.state for file in one.files}["dir/sub/small"] == "verified"
    assert str(one) == "one: 5 of 5 files verified" and "complete at 2 of 2" in str(report)
    for name, receiver in zip(("one", "two"), receiving):
        result = receiver.result
        assert result.complete and not result.timed_out
        assert result.deliveries[0].files == one.files
        assert contents(into / name) == contents(source.parent)
        kinds = {type(event) for event in receiver.events}
        assert {files.Listening, files.Began, files.FileReceived, files.Ended} <= kinds
    kinds = {type(event) for event in events}
    assert {files.Started, files.Heard, files.FileSent, files.SendProgress} <= kinds
    (started,) = (event for event in events if isinstance(event, files.Started))
    assert (started.files, started.sent.interface) == (5, "lo")


@pytest.mark.parametrize("as_path", [str, pathlib.Path])
def test_one_path_however_it_is_written(group, source, into, as_path):
    receiving = Receiving([(f"{group.host}%lo", group.port)], str(into), name="r")
    manycast.send_files(group, as_path(source / "sub" / "small"), receivers=1)
    assert receiving.result.complete and contents(into) == {"small": b"small"}


def test_what_is_there_is_not_counted_as_sent(group, source, into):
    for sent in (len(CONTENT) + 5, 0):
        receiving = Receiving(group, into, name="r")
        report = manycast.send_files(group, source, names="r")
        assert receiving.result.complete and report.complete
        assert (report.sent, report.bits_per_second > 0) == (sent, sent > 0)
    assert f" {report.bytes} bytes, of which 0 were sent, in " in str(report)


def test_what_is_lost_is_repaired(group, source, into):
    receiving = Receiving(group, into, name="r")
    with lossy(group):
        report = manycast.send_files(group, source, names=["r"], rate=400e6)
        assert receiving.result.complete and contents(into) == contents(source.parent)
    assert report.complete and report.repairs > 0 and report.nacks > 0
    assert 0.02 < report.receivers[0].loss < 0.3 and report.receivers[0].samples


def test_a_receiver_with_no_way_back(group, source, into):
    receiving = Receiving(group, into, name="r", silent=True, timeout=5)
    # RFC 5740 §4.1: version 1, type 2, NORM_DATA. The parity is for these; what a file is called goes once.
    with lossy(group, "@th,64,8 0x12"):
        report = manycast.send_files(group, source, parity=48, rate=50e6)
        assert receiving.result.complete and contents(into) == contents(source.parent)
    assert (report.receivers, report.expected, report.nacks) == ((), 0, 0)


def test_a_receiver_that_is_missing(group, source, into):
    receiving = Receiving(group, into, name="there")
    report = manycast.send_files(group, source, names=("there", "missing"), wait=0.3)
    assert not report.complete and receiving.result.complete
    missing, there = report.receivers
    assert there.complete and not missing.complete and not missing.heard
    assert str(missing) == "missing: did not answer"
    assert {file.state for file in missing.files} == {"incomplete"}


def test_a_limit_and_what_is_there_already(group, source, into):
    (into / "dir" / "sub").mkdir(parents=True)
    (into / "dir" / "sub" / "small").write_text("other")
    receiving = Receiving(group, into, name="r", limit=1000)
    report = manycast.send_files(group, source, names="r")
    assert not report.complete and not receiving.result.complete
    by_path = {file.path: file for file in report.receivers[0].files}
    assert by_path["dir/large"].state == "failed" and "limit" in by_path["dir/large"].reason
    assert contents(into)["dir/sub/small"] == b"other" and "dir/large" not in contents(into)
    receiving = Receiving(group, into, name="r", overwrite=True)
    assert manycast.send_files(group, source, names="r").complete
    assert receiving.result.complete and contents(into) == contents(source.parent)


FULL = """
import sys, manycast
address, folder = sys.argv[1:]
def told(event):
    if isinstance(event, manycast.files.Listening):
        print("listens", flush=True)
report = manycast.receive_files(address, folder, name="r", progress=told)
for file in report.deliveries[0].files:
    print(file)
"""


def test_a_disk_that_is_full(group, source, into):
    inside = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$0" "$@"'
    arguments = ["unshare", "-m", "sh", "-c", inside, sys.executable, into, "-c", FULL, str(group), into]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "listens\n"
        report = manycast.send_files(group, source, names="r")
        output = child.stdout.read()
    assert child.returncode == 0
    by_path = {file.path: file for file in report.receivers[0].files}
    large = by_path["dir/large"]
    assert large.state == "failed" and "No space left on device" in large.reason
    assert f"dir/large: failed: {large.reason}\n" in output
    assert by_path["dir/sub/small"].state == "verified"


def test_what_is_refused(group, source, into):
    (source / "link").symlink_to("large")
    with pytest.raises(manycast.FileError, match="cannot send .*link") as caught:
        manycast.send_files(group, source)
    assert caught.value.errno is None
    with pytest.raises(manycast.FileError, match="/nowhere") as caught:
        manycast.send_files(group, "/nowhere")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(ValueError, match="nothing to send"):
        manycast.send_files(group, [])
    with pytest.raises(ValueError, match="no name of a receiver"):
        manycast.send_files(group, "conftest.py", names=[""])
    with pytest.raises(ValueError, match="parity is a whole number from 0 to 64"):
        manycast.send_files(group, "conftest.py", parity=65)
    with pytest.raises(ValueError, match="a rate of 0 bits"):
        manycast.send_files(group, "conftest.py", rate=0.0)
    with pytest.raises(manycast.FileError, match="/nowhere"):
        manycast.receive_files(group, "/nowhere")
    with pytest.raises(manycast.AddressError):
        manycast.receive_files("239.1.1.1", into)
    with pytest.raises(manycast.SocketError, match="nowhere0"):
        manycast.send_files(group, "conftest.py", interface="nowhere0")
    assert contents(into) == {}


def test_links_are_left_out(group, source):
    (source / "sub" / "link").symlink_to("small")
    events = []
    report = manycast.send_files(group, source / "sub", skip_links=True, progress=events.append)
    assert report.files == 2
    [warned] = [event for event in events if isinstance(event, files.Warned)]
    assert "dir/sub/link" in warned.message


def test_answers_come_to_the_port_that_is_chosen(group, source, into):
    events = []
    receiving = Receiving(group, into, name="r")
    report = manycast.send_files(
        group, source, names="r", source=f":{group.port + 1000}", progress=events.append
    )
    assert report.complete and receiving.result.complete
    (sent,) = (event.sent for event in events if isinstance(event, files.Started))
    assert sent.source.port == group.port + 1000


def test_what_progress_raises_ends_it(group, source, into):
    def progress(event):
        if isinstance(event, files.SendProgress):
            raise InterruptedError("enough")

    receiving = Receiving(group, into, name="r")
    with pytest.raises(InterruptedError, match="enough"):
        manycast.send_files(group, source, names="r", rate=1e6, progress=progress)
    assert not receiving.result.complete and "dir/large" not in contents(into)


def test_more_than_one_delivery(group, source, into):
    receiving = Receiving(group, into, name="r", count=2)
    for name in ("large", "empty"):
        assert manycast.send_files(group, source / name, names="r").complete
    assert [len(it.files) for it in receiving.result.deliveries] == [1, 1]
    assert sorted(contents(into)) == ["empty", "large"]


def test_it_goes_on_until_nothing_comes(group, source, into):
    receiving = Receiving(group, into, name="r", count=0, timeout=2)
    assert manycast.send_files(group, source, names="r").complete
    assert receiving.result.timed_out and receiving.result.complete


def parts(folder):
    return any(path.name.startswith(".manycast-") for path in folder.rglob("*"))


def test_an_interrupt_ends_a_receiver_and_leaves_nothing(group, source, into):
    """The sender is slow, and ends once the receiver has."""
    over = threading.Event()

    def progress(event):
        if over.is_set():
            raise InterruptedError

    def send():
        with pytest.raises(InterruptedError):
            manycast.send_files(group, source / "large", names="r", rate=1e6, progress=progress)

    sending = threading.Thread(target=send)
    sending.start()
    with interrupted(lambda: parts(into)):
        with pytest.raises(KeyboardInterrupt):
            manycast.receive_files(group, into, name="r")
    until(lambda: os.listdir(into) == [])
    over.set()
    sending.join()


def test_an_interrupt_ends_a_sender(group, source, into):
    receiving = Receiving(group, into, name="r")
    with interrupted(lambda: parts(into)):
        with pytest.raises(KeyboardInterrupt):
            manycast.send_files(group, source / "large", names="r", rate=1e6)
    assert not receiving.result.complete and os.listdir(into) == []


def test_on_the_event_loop(group, source, into):
    async def main():
        loop = asyncio.get_running_loop()
        listens = asyncio.Event()

        def told(event):
            if isinstance(event, files.Listening):
                loop.call_soon_threadsafe(listens.set)

        receiving = asyncio.ensure_future(aio.receive_files(group, into, name="r", progress=told))
        await listens.wait()
        report = await aio.send_files(group, source, names="r")
        return report, await receiving

    sent, received = asyncio.run(main())
    assert sent.complete and received.complete and contents(into) == contents(source.parent)


def test_tasks_that_are_cancelled_end_their_transfers(group, source, into):
    async def main():
        receiving = asyncio.ensure_future(aio.receive_files(group, into, name="r"))
        sending = asyncio.ensure_future(aio.send_files(group, source / "large", names="r", rate=1e6))
        await asyncio.get_running_loop().run_in_executor(None, until, lambda: parts(into))
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert os.listdir(into) == []
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    asyncio.run(main())
