"""Requests as fast as they are answered, from a process of its own: `python -m app.bench.load < plan.json`.

The plan names where to ask, how many connections and seconds, and the requests, which the connections take in turn:
`{"host", "port", "connections", "seconds", "requests": [{"target", "headers", "status", "digest"}]}`. Each is sent once
before the clock runs: its body must have the digest (blake2b, 16 bytes, hex; null where nothing is known), and every
later answer must be that body again, byte for byte. What is printed last is JSON: `requests seconds cpu p50 p99`
(the latter two in milliseconds). Raw sockets, no parsing but of the length: a fraction of what any server needs.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import cycle
from typing import Any, cast

import uvloop

_ROOM = 1 << 23
"""Bytes of the longest answer."""
_PATIENCE = 60


@dataclass(slots=True)
class Request:
    """What is sent and what must come back; the body is learned from the first answer."""

    sent: bytes
    status: bytes
    digest: str | None
    body: bytes | None = None

    def check(self, status: bytes, answer: bytearray, start: int, end: int) -> None:
        """Compare an answer with what it must be."""
        assert status == self.status, f"{status!r} instead of {self.status!r}: {bytes(answer[start:end])[:500]!r}"
        if self.body is None:
            self.body = bytes(memoryview(answer)[start:end])
            found = blake2b(self.body, digest_size=16).hexdigest()
            assert self.digest in (None, found), "the body is not what it should be"
        assert end - start == len(self.body), f"{end - start} bytes instead of {len(self.body)}"
        assert answer.startswith(self.body, start, end), "the body is not what it was"


class Connection(asyncio.BufferedProtocol):
    """Sends a request, reads its answer, sends the next."""

    def __init__(self, requests: Iterator[Request]) -> None:
        """Take where requests come from; when none is left, the connection is done."""
        self._requests = requests
        self._room = bytearray(_ROOM)
        self._view = memoryview(self._room)
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # there is room enough
        """Give what is left of the room."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Look whether the answer is whole."""
        self._filled += nbytes
        if self._end is None and not self._read_head():
            return
        if self._filled == self._end:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with an error unless all was answered."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._request, self._filled, self._end = request, 0, None
        self._sent_at = time.perf_counter()
        self._transport.write(request.sent)

    def _read_head(self) -> bool:
        border = self._room.find(b"\r\n\r\n", 0, self._filled)
        if border < 0:
            return False
        head = bytes(self._view[:border]).lower()
        _, found, rest = head.partition(b"\r\ncontent-length: ")
        length = int(rest.partition(b"\r\n")[0]) if found else 0
        self._status, self._start, self._end = head[9:12], border + 4, border + 4 + length
        return True

    def _finish(self) -> None:
        assert self._end is not None
        self.latencies.append(time.perf_counter() - self._sent_at)
        try:
            self._request.check(self._status, self._room, self._start, self._end)
        except AssertionError as error:
            self.done.set_exception(error)
            self._transport.close()
        else:
            self._send()

    _end: int | None = None
    _filled = 0


async def main() -> None:
    """Follow the plan."""
    plan = json.load(sys.stdin)
    requests = [_request(plan, each) for each in plan["requests"]]
    await _run(plan, iter(requests), 1)
    deadline = time.perf_counter() + plan["seconds"]
    begun, used = time.perf_counter(), time.process_time()
    latencies = sorted(await _run(plan, _until(deadline, requests), plan["connections"]))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    p50, p99 = (round(latencies[len(latencies) * part // 100] * 1000, 3) for part in (50, 99))
    print(json.dumps({"requests": len(latencies), "seconds": seconds, "cpu": cpu, "p50": p50, "p99": p99}))


async def _run(plan: dict[str, Any], requests: Iterator[Request], connections: int) -> list[float]:
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(requests), plan["host"], plan["port"])
        opened.append(connection)
    async with asyncio.timeout(plan["seconds"] + _PATIENCE):
        await asyncio.gather(*(connection.done for connection in opened))
    return [latency for connection in opened for latency in connection.latencies]


def _until(deadline: float, requests: list[Request]) -> Iterator[Request]:
    for request in cycle(requests):
        if time.perf_counter() >= deadline:
            return
        yield request


def _request(plan: dict[str, Any], each: dict[str, Any]) -> Request:
    headers = {"Host": f"{plan['host']}:{plan['port']}", **each["headers"]}
    lines = [f"GET {each['target']} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return Request("\r\n".join(lines).encode(), str(each["status"]).encode(), each["digest"])


if __name__ == "__main__":
    uvloop.run(main())
