"""Files to many beside the event loop: threads transfer, so that no disk holds it up."""

from __future__ import annotations

from .. import files as _blocking
from .._manycast import begin_receive_files, begin_send_files
from .aside import awaited

__all__ = ["receive_files", "send_files"]

send_files = awaited(_blocking.send_files, begin_send_files)
receive_files = awaited(_blocking.receive_files, begin_receive_files)
