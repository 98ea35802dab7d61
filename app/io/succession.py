"""A new process of this program on the same listening socket: no connection is refused while one follows the other."""

import asyncio
import os
import socket
import subprocess
import sys

import structlog

from app.core.errors import InputError

_log = structlog.stdlib.get_logger(__name__)
_SERVE = (sys.executable, "-m", "app.io.cli", "serve")
_PATIENCE = 60.0
_SOON = 5.0
_FAILED = "no new process took over, this one goes on"


def taken_over(fd: int) -> socket.socket:
    """Return the listening TCP socket that another process handed over; InputError when it is none."""
    try:
        listener = socket.socket(fileno=fd)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise InputError("fd", f"{fd} is no socket ({error.strerror})") from error
    if not is_listening or listener.family not in {socket.AF_INET, socket.AF_INET6}:
        listener.close()
        raise InputError("fd", f"{fd} is no TCP socket that listens")
    listener.set_inheritable(False)
    return listener


def announce_readiness(ready_fd: int | None, notify_socket: str | None) -> None:
    """Tell the predecessor, and systemd, that this process answers."""
    if ready_fd is not None:
        os.write(ready_fd, b"\n")
        os.close(ready_fd)
    if notify_socket is not None:
        notify(notify_socket, "READY=1")


def notify(notify_socket: str, message: str) -> None:
    """Tell systemd something, in its words (`man sd_notify`); we go on whether or not it listens."""
    address = f"\0{notify_socket[1:]}" if notify_socket.startswith("@") else notify_socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.sendto(message.encode(), address)
    except OSError as error:
        _log.warning("systemd does not hear", message=message, error=str(error))


async def start_successor(listener: socket.socket, *, unless: asyncio.Event) -> int | None:
    """Return the id of a new process that answers on this socket, too.

    None if it does not come up, which the log explains, or if `unless` comes first. It is told to end then.
    """
    try:
        process, readable = _start(listener.fileno())
    except OSError as error:
        _log.error(_FAILED, reason=str(error))
        return None
    said = None
    try:
        said = await _first_byte(readable, unless)
    finally:
        if is_unwanted := not said or unless.is_set():
            process.terminate()
    if not is_unwanted:
        return process.pid
    code = await asyncio.to_thread(_exit_code, process)
    if not unless.is_set():
        _log.error(_FAILED, reason=f"no answer within {_PATIENCE:g} s" if said is None else f"exit code {code}")
    return None


def _start(listener: int) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a child that may outlive us, which one of asyncio's must not; it writes into a pipe when it answers."""
    readable, writable = os.pipe()
    command = [*_SERVE, f"--fd={listener}", f"--ready-fd={writable}"]
    try:
        process = subprocess.Popen(command, pass_fds=[listener, writable], stdin=subprocess.DEVNULL)  # noqa: S603  # ourselves
    except OSError:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    return process, readable


def _exit_code(process: "subprocess.Popen[bytes]") -> int:
    """Wait for who is ending, a little."""
    try:
        return process.wait(_SOON)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


async def _first_byte(readable: int, unless: asyncio.Event) -> bytes | None:
    """Return what a pipe gives: nothing once its other end is closed, None after `unless` or our patience."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", buffering=0)
    )
    reading, ending = asyncio.create_task(reader.read(1)), asyncio.create_task(unless.wait())
    try:
        done, _ = await asyncio.wait([reading, ending], timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading in done else None
    finally:
        for task in (reading, ending):
            task.cancel()
        transport.close()
