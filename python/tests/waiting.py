"""What tests wait for, with an end."""

import asyncio
import os
import platform
import signal
import threading
import time

# poll and ppoll, by which the package waits (see the table of system calls of the kernel).
_POLLS = {"x86_64": ("7", "271"), "aarch64": ("73",)}[platform.machine()]


def until(is_so, seconds=10):
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it was not so within {seconds} s"
        threading.Event().wait(0.001)


async def turn():
    """Lets the other tasks have their turn."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_soon(over.set_result, None)
    await over


def waits(thread):
    """Whether a thread waits for a descriptor now (proc_pid_syscall(5))."""
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        return file.read().split()[0] in _POLLS


class interrupted:
    """Ctrl-C comes as soon as something is so: as a rule, that the main thread waits."""

    def __init__(self, when=None):
        main = threading.main_thread()
        self.when = when or (lambda: waits(main))
        self.thread = threading.Thread(target=self.interrupt)

    def interrupt(self):
        until(self.when)
        os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_exception):
        self.thread.join()
