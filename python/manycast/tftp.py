"""Files by TFTP: get one from a server, put one to it, or serve a folder.

    from manycast import tftp

    tftp.get("10.0.0.1/boot.bin", "boot.bin")
    tftp.put("config.txt", "10.0.0.1/config.txt")

    with tftp.Server("/srv/tftp", ":6969") as server:
        for transfer in server:
            print(transfer)

A file has its name only once it is complete, on both ends. ``aio.tftp`` has the same for asyncio.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._manycast import Server, tftp_get as get, tftp_put as put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .address import SocketAddress

__all__ = ["Report", "Server", "Transfer", "get", "put"]


@dataclass(frozen=True)
class Report:
    """What came of a file that was got or put.

    ``server``: its address. ``bytes``: those in the file, as they were on the wire. ``duration``: in
    seconds. ``block_size``, ``window``: the bytes in a block, and the blocks that were acknowledged
    together; ``group``: by which it came, if it came by multicast. ``lost``: blocks that were sent again,
    or how often one was missing. ``duplicates``: blocks or acknowledgments that had come before.
    ``timeouts``: how often nothing came for so long that something was sent again. ``round_trip``: in
    seconds, or None where it was not measured.

    >>> manycast.tftp.Report(manycast.SocketAddress("192.0.2.7", 69), bytes=1_000_000, duration=0.5).bits_per_second
    16000000.0
    """

    server: SocketAddress
    bytes: int
    duration: float
    block_size: int = 512
    window: int = 1
    group: SocketAddress | None = None
    lost: int = 0
    duplicates: int = 0
    timeouts: int = 0
    round_trip: float | None = None

    @property
    def bits_per_second(self) -> float:
        """The rate of the file."""
        return self.bytes * 8 / self.duration if self.duration > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.bytes} bytes from or to {self.server} in {self.duration:.3f} s, "
            f"{self.bits_per_second / 1e6:.1f} Mbit/s"
        )


@dataclass(frozen=True)
class Transfer:
    """A transfer of a Server that has ended.

    ``peer``: who asked. ``name``: of the file, as it was asked for. ``write``: whether it was written.
    ``error``: why it failed, or None. The others are those of a Report.

    >>> client = manycast.SocketAddress("192.0.2.7", 40000)
    >>> print(manycast.tftp.Transfer(client, "boot.bin", False, bytes=1_000_000, duration=0.5))
    192.0.2.7:40000 read 'boot.bin': 1000000 bytes in 0.500 s, 16.0 Mbit/s
    """

    peer: SocketAddress
    name: str
    write: bool
    bytes: int
    duration: float
    block_size: int = 512
    window: int = 1
    group: SocketAddress | None = None
    lost: int = 0
    duplicates: int = 0
    timeouts: int = 0
    round_trip: float | None = None
    error: str | None = None

    @property
    def bits_per_second(self) -> float:
        """The rate of the file."""
        return self.bytes * 8 / self.duration if self.duration > 0 else 0.0

    def __str__(self) -> str:
        verb = "write" if self.write else "read"
        if self.error is not None:
            return f"{self.peer} {verb} {self.name!r}: failed: {self.error}"
        rate = self.bits_per_second / 1e6
        return (
            f"{self.peer} {verb} {self.name!r}: {self.bytes} bytes in {self.duration:.3f} s, "
            f"{rate:.1f} Mbit/s"
        )
