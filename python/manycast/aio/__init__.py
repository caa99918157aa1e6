"""The same names for asyncio, on its own event loop: there is no thread and no second runtime.

    from manycast import aio

    async for datagram in aio.listen("239.192.0.100", 5000):
        print(datagram.source, datagram.payload)

What waits in the package ``manycast`` is a coroutine here; the rest is as it is there. Cancelling a
wait loses no datagram. Nothing blocks the event loop: a name is looked up by ``await resolve(...)``,
and refused where there is no await. It works on any loop that has ``add_reader``, uvloop's too.
"""

from __future__ import annotations

from . import measure as measure, tftp as tftp
from .aside import doctor, resolve
from .discovery import Announcer, announce, browse, discover
from .driver import Driver, ask
from .endpoint import create_datagram_endpoint
from .files import receive_files, send_files
from .listener import Listener, MulticastListener, MulticastUDPReceiver, listen
from .sender import Sender, send
from .stream import StreamReceiver, StreamSender, receive_stream, send_stream
from .transport import DatagramTransport
from .unicast import Socket

__all__ = [
    "Announcer",
    "DatagramTransport",
    "Driver",
    "Listener",
    "MulticastListener",
    "MulticastUDPReceiver",
    "Sender",
    "Socket",
    "StreamReceiver",
    "StreamSender",
    "announce",
    "ask",
    "browse",
    "create_datagram_endpoint",
    "discover",
    "doctor",
    "listen",
    "measure",
    "receive_files",
    "receive_stream",
    "resolve",
    "send",
    "send_files",
    "send_stream",
    "tftp",
]

for _name in __all__:
    if _name not in ("measure", "tftp"):
        globals()[_name].__module__ = __name__
del _name
