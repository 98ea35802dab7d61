"""`candles serve` as a process on a socket that is handed over, and whoever supervises it, as systemd does."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from app.tests.tasks.children import Child
from app.tests.tasks.clients import Address, ask_once
from app.tests.tasks.waiting import eventually

_NEWS = 1_000


class Api:
    """The processes that answer at an address, one after the other. The address is theirs alone."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.messages = folder / "messages"
        with socket.create_server(("127.0.0.1", 0)) as listener, self.messages.open("a") as messages:
            self.address: Address = listener.getsockname()
            self._supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._supervisor.bind(str(folder / f"notify-{self.address[1]}"))
            self._supervisor.settimeout(0)
            self.first = Child(
                ["-m", "app.io.cli", "serve", "--fd", str(listener.fileno())],
                {**environment, "NOTIFY_SOCKET": self._supervisor.getsockname()},
                folder,
                handed=[listener.fileno()],
                messages=messages.fileno(),
            )
        self.pid = self.first.pid

    async def news(self, name: str) -> str:
        """Wait until this is told to the supervisor; other news pass."""
        async with asyncio.timeout(90):
            while True:
                told, _, value = (await asyncio.get_running_loop().sock_recv(self._supervisor, _NEWS)).partition(b"=")
                if told.decode() == name:
                    return value.decode()

    async def renew(self) -> None:
        """Let another process take over."""
        os.kill(self.pid, signal.SIGHUP)
        self.pid = int(await self.news("MAINPID"))

    def is_ready(self) -> bool:
        try:
            return ask_once(self.address, "/health/ready").status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False

    async def end(self) -> None:
        """End whoever answers now; the address answers nobody then."""
        os.kill(self.pid, signal.SIGTERM)
        await eventually(lambda: asyncio.to_thread(self._is_deserted))

    def kill(self) -> None:
        self.first.kill()
        if self.pid != self.first.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._supervisor.close()

    def _is_deserted(self) -> bool:
        try:
            ask_once(self.address, "/health/live")
        except ConnectionRefusedError:
            return True
        except (OSError, HTTPException):
            return False
        return False


@asynccontextmanager
async def an_api(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Api]:
    """Start one and wait until it answers."""
    api = Api(folder, environment)
    try:
        await api.news("READY")
        yield api
    finally:
        api.kill()
