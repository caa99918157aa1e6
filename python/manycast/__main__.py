"""The command ``manycast``: ``python -m manycast --help``."""

from __future__ import annotations

import signal
import sys

from ._manycast import run_command


def main() -> None:
    """Runs the command with the words that were typed, and exits."""
    # The command takes charge of Ctrl-C by itself; Python's handler would raise KeyboardInterrupt
    # behind it. What whoever started it wants ignored stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run_command(["manycast", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
