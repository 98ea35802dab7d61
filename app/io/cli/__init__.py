"""The command line: `candles`, or `python -m app.io.cli`."""

import sys

from app.io.cli.commands import app
from app.io.cli.running import INTERRUPTED

__all__ = ["app", "main"]


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        app(prog_name="candles")
    except KeyboardInterrupt:  # while a command was still being read or let go
        sys.exit(INTERRUPTED)
