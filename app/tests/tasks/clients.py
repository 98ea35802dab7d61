"""Clients that never try again: whatever fails, fails for good."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from app.tests.tasks.waiting import eventually

_TIMEOUT = 60
_PACE = 0.02

Address = tuple[str, int]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(connection: HTTPConnection, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
    connection.request("GET" if body is None else "POST", path, body, dict(headers))
    response = connection.getresponse()
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def ask_once(address: Address, path: str, body: bytes | None = None) -> Reply:
    """Send a request, with a body of JSON if any, on a connection of its own."""
    connection = HTTPConnection(*address, timeout=_TIMEOUT)
    try:
        return ask(connection, path, {"Content-Type": "application/json"}, body)
    finally:
        connection.close()


@dataclass
class Load:
    """Clients in threads, half of which keep their connection for as long as they may, and what became of them."""

    expected: Mapping[str, bytes]
    """What is asked for, and the only right answer."""
    choose: Callable[[], Address]
    failures: list[str] = field(default_factory=list)
    answered: dict[int, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def run(self, number: int) -> None:
        """Ask until told to stop; whatever ends it before is a failure of this test, and of none that comes later."""
        try:
            self._ask(number)
        except Exception as error:  # noqa: BLE001  # nobody else would hear of it in time
            self.failures.append(f"client {number} ended: {error!r}")

    def _ask(self, number: int) -> None:
        connection: HTTPConnection | None = None
        tags: dict[str, str] = {}
        keeps = number % 2 == 0
        while not self._stop.wait(_PACE):
            address, path = self.choose(), random.choice(list(self.expected))
            if connection is None or not keeps or (connection.host, connection.port) != address:
                connection = _renewed(connection, address)
            known = {"If-None-Match": tags[path]} if path in tags and random.random() < 0.5 else {}
            try:
                reply = ask(connection, path, known)
            except (OSError, HTTPException) as error:
                self.failures.append(f"client {number}, {address}: {error!r}")
                connection = _renewed(connection, address)
                continue
            if not self._is_right(reply, path, known):
                self.failures.append(f"client {number}, {address}, {path}: {reply}")
            tags[path] = reply.headers.get("etag", "")
            self.answered[number] = self.answered.get(number, 0) + 1
        if connection is not None:
            connection.close()

    def _is_right(self, reply: Reply, path: str, known: Mapping[str, str]) -> bool:
        if reply.status == HTTPStatus.NOT_MODIFIED:
            return reply.body == b"" and reply.headers["etag"] == known.get("If-None-Match")
        return (reply.status, reply.body) == (HTTPStatus.OK, self.expected[path])

    async def more(self, answers: int = 10) -> None:
        """Return when every client got so many more answers, or one of them failed."""
        before = dict(self.answered)
        numbers = range(len(self._threads))
        await eventually(
            lambda: self.failures or all(self.answered.get(n, 0) >= before.get(n, 0) + answers for n in numbers)
        )

    @asynccontextmanager
    async def from_clients(self, count: int) -> AsyncIterator["Load"]:
        """Ask from so many clients for as long as the context lasts."""
        self._threads = [threading.Thread(target=self.run, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                await asyncio.to_thread(thread.join)


def _renewed(connection: HTTPConnection | None, address: Address) -> HTTPConnection:
    if connection is not None:
        connection.close()
    return HTTPConnection(*address, timeout=_TIMEOUT)
