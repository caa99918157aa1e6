"""``manycast.measure`` for asyncio: the same names, and what they return is iterated with ``async for``.

    print(await aio.measure.send("239.1.1.1:5001", rate=50e6).run())
"""

from __future__ import annotations

from .. import measure as _blocking
from ..measure import (
    Began,
    Finished,
    Freed,
    Interval,
    ReceiverStats,
    SenderStats,
    ServerReport,
    Spread,
    Stream,
)
from .driver import twin

__all__ = [
    "Began",
    "Finished",
    "Freed",
    "Interval",
    "ReceiverStats",
    "SenderStats",
    "ServerReport",
    "Spread",
    "Stream",
    "receive",
    "send",
]

receive = twin(_blocking.receive)
send = twin(_blocking.send)
