"""The program as a process of its own: in a pipe, and at a terminal."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[3]
_PROGRAM = (sys.executable, "-m", "app.io.cli")


def start(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[str]":
    """Start a command in a folder; both outputs are pipes."""
    return subprocess.Popen(
        [*_PROGRAM, *arguments],
        cwd=folder,
        env=_environment(environment or {}),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_at_terminal(*arguments: str, folder: Path, environment: Mapping[str, str], typed: str = "") -> tuple[int, str]:
    """Return the exit code of a command to which something was typed ahead, and all that it showed."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    with subprocess.Popen(
        [*_PROGRAM, *arguments], cwd=folder, env=_environment(environment), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        return process.wait(timeout=90), shown.decode()


def answers(address: str, path: str) -> bool:
    """Tell whether somebody at `host:port` has this page."""
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def wait_until(is_so: Callable[[], bool], *, within: float = 90) -> None:
    """Look until it is so; AssertionError when it takes too long."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **more}
