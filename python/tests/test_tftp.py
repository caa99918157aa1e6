"""Files by TFTP, blocking and on the event loop."""

import asyncio
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading

import pytest
from waiting import turn

import manycast
from manycast import aio, tftp

CONTENT = os.urandom(1_000_001)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def server(folder):
    with tftp.Server(folder / "root", "127.0.0.1:0", write=True) as server:
        yield server


def place(server, name="file"):
    return f"{server.local_addresses[0]}/{name}"


@pytest.fixture
def silent():
    """A port that answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(10)
        yield silent


def test_a_file_comes_and_goes(server, folder):
    report = tftp.get(place(server), folder / "here", block_size=1428, window=8)
    assert (folder / "here").read_bytes() == CONTENT
    assert (report.bytes, report.block_size, report.window) == (len(CONTENT), 1428, 8)
    assert report.server[0] == "127.0.0.1" and report.bits_per_second > 0
    assert report == pickle.loads(pickle.dumps(report)) and "Mbit/s" in str(report)
    assert tftp.put(str(folder / "here"), place(server, "new")).bytes == len(CONTENT)
    assert (folder / "root" / "new").read_bytes() == CONTENT
    got, put = (server.next_transfer(timeout=10) for _ in range(2))
    assert (got.name, got.write, got.error, got.bytes) == ("file", False, None, len(CONTENT))
    assert (put.name, put.write) == ("new", True)
    assert sorted(os.listdir(folder)) == ["here", "root"]


def test_objects_that_are_read_and_written(server, folder):
    into = io.BytesIO()
    tftp.get(place(server), into)
    assert into.getvalue() == CONTENT
    text = b"one\ntwo\n" * 1000
    tftp.put(io.BytesIO(text), place(server, "text"), mode="netascii")
    assert (folder / "root" / "text").read_bytes() == text

    class Broken(io.RawIOBase):
        def write(self, data):
            raise KeyError("not today")

        def read(self, size):
            raise KeyError("not today")

    for call in (
        lambda: tftp.get(place(server), Broken()),
        lambda: tftp.put(Broken(), place(server, "never")),
    ):
        with pytest.raises(manycast.FileError, match="not today") as error:
            call()
        assert isinstance(error.value.__cause__, KeyError)
    with pytest.raises(TypeError):
        tftp.get(place(server), 7)


def test_what_a_raw_object_does_not_take_is_not_lost(server):
    to_read, to_write = os.pipe()
    os.set_blocking(to_write, False)
    with open(to_read, "rb", buffering=0), open(to_write, "wb", buffering=0) as full:
        with pytest.raises(manycast.FileError, match="would block"):
            tftp.get(place(server), full)

    class Silent:
        """Not raw, it takes all, and says nothing."""

        taken = b""

        def write(self, data):
            self.taken += data

    silent = Silent()
    tftp.get(place(server), silent)
    assert silent.taken == CONTENT


def test_what_is_refused(server, folder, silent):
    with pytest.raises(manycast.TransferError, match="file not found") as error:
        tftp.get(place(server, "missing"), folder / "never")
    assert error.value.code == 1 and pickle.loads(pickle.dumps(error.value)).code == 1
    with pytest.raises(manycast.TransferError, match="there already"):
        tftp.put(io.BytesIO(b"x"), place(server))
    with pytest.raises(manycast.FileError, match="cannot write /nowhere/x") as error:
        tftp.get(place(server), "/nowhere/x")
    assert isinstance(error.value, OSError)
    with pytest.raises(manycast.AddressError, match="no name of a file"):
        tftp.get("127.0.0.1", "x")
    with pytest.raises(ValueError, match="octet"):
        tftp.get(place(server), "x", mode="text")
    with pytest.raises(TimeoutError, match="nothing came"):
        tftp.get(f"127.0.0.1:{silent.getsockname()[1]}/x", folder / "x", timeout=0.1)
    gone = silent.getsockname()[1]
    silent.close()
    with pytest.raises(ConnectionRefusedError, match="nobody listens"):
        tftp.get(f"127.0.0.1:{gone}/x", folder / "x")
    with pytest.raises(manycast.FileError, match="serve"):
        tftp.Server("/nowhere", "127.0.0.1:0")
    assert os.listdir(folder) == ["root"]


def test_progress_and_what_it_raises(server, folder):
    # One block at a time takes longer than the tenth of a second after which it is told.
    told = []

    def progress(done, total):
        told.append((done, total))
        raise InterruptedError("enough")

    large = folder / "root" / "large"
    large.write_bytes(CONTENT * 20)
    with pytest.raises(InterruptedError, match="enough"):
        tftp.get(place(server, "large"), folder / "here", block_size=512, window=1, progress=progress)
    assert told and told[0][1] == len(CONTENT) * 20
    assert os.listdir(folder) == ["root"]


def test_an_interrupt_ends_the_wait(silent, folder):
    def interrupt():
        silent.recv(1000)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        tftp.get(f"127.0.0.1:{silent.getsockname()[1]}/x", folder / "x")
    thread.join()
    assert os.listdir(folder) == ["root"]


def test_a_server_that_is_closed(folder):
    server = tftp.Server(folder / "root", "127.0.0.1:0")
    waiting = []
    thread = threading.Thread(target=lambda: waiting.extend(server))
    thread.start()
    tftp.get(place(server), io.BytesIO())
    server.close()
    server.close()
    thread.join()
    assert len(waiting) == 1 and server.closed and "closed" in repr(server)
    assert server.next_transfer() is None
    with pytest.raises(manycast.Error):
        tftp.get(place(server), io.BytesIO(), timeout=1)


def test_whoever_forgets_to_close_is_warned(folder):
    code = (
        "import manycast; from manycast import tftp; "
        f"server = tftp.Server({str(folder)!r}, '127.0.0.1:0'); del server"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert "ResourceWarning: unclosed <Server of" in done.stderr


def test_on_the_event_loop(folder):
    async def main():
        async with aio.tftp.Server(folder / "root", "127.0.0.1:0", write=True) as server:
            reports = await asyncio.gather(
                *(aio.tftp.get(place(server), folder / str(number)) for number in range(8))
            )
            assert all(report.bytes == len(CONTENT) for report in reports)
            await aio.tftp.put(folder / "0", place(server, "new"))
            names = [(await server.next_transfer()).name for _ in range(9)]
            assert sorted(names) == ["file"] * 8 + ["new"]
            with pytest.raises(manycast.TransferError, match="not found"):
                await aio.tftp.get(place(server, "missing"), folder / "never")
            waiting = asyncio.ensure_future(_all(server))
            await turn()
        return await waiting

    async def _all(server):
        return [transfer.name async for transfer in server]

    assert asyncio.run(main()) in (["missing"], [])
    assert all((folder / str(number)).read_bytes() == CONTENT for number in range(8))


def test_a_task_that_is_cancelled_ends_its_transfer(silent, folder):
    async def main():
        getting = asyncio.ensure_future(
            aio.tftp.get(f"127.0.0.1:{silent.getsockname()[1]}/x", folder / "x")
        )
        silent.setblocking(False)
        await asyncio.get_running_loop().sock_recv(silent, 1000)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting

    asyncio.run(main())


def test_a_group_gets_a_file(folder):
    with tftp.Server(folder / "root", "127.0.0.1:0", multicast="239.255.1.1") as server:
        location = place(server).replace("127.0.0.1", "127.0.0.1%lo")
        report = tftp.get(location, folder / "here", multicast=True)
    assert (folder / "here").read_bytes() == CONTENT and report.group[0] == "239.255.1.1"
