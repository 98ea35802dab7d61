"""Ways to read candles and keep nothing: how little it takes at least, and what other clients take."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from urllib.parse import urlencode, urlsplit

import aiohttp
import aiomoex
import apimoex
import requests

from app.bench.loads import COLUMNS, Load, in_lanes
from app.bench.measuring import Watch
from app.core.entities import Series

Measured = dict[str, float]
"""What one run took: `rows`, `seconds`, `cpu`, `peak`, and `server`, the CPU of the database's processes."""

_OURS = {"iss.meta": "off", "iss.only": "candles", "candles.columns": COLUMNS}
_PEERS = {"iss.only": "candles,history.cursor", "candles.columns": "begin,open,close,high,low,value,volume"}
"""What the functions of aiomoex and apimoex ask for; they know one exchange only, so their clients are used."""


async def raw(load: Load) -> Measured:
    """Read bytes off sockets, an answer after the other on each, and count the lines that are rows."""
    loop, url = asyncio.get_running_loop(), urlsplit(load.source)
    host, port = url.hostname or "", url.port or 0

    async def read(series: Series) -> int:
        target = f"{load.path(series)}?{urlencode(_OURS | load.query)}"
        done = loop.create_future()
        await loop.create_connection(lambda: _Reader(target, done), host, port)
        rows: int = await done
        return rows

    watch = Watch()
    return measured(await in_lanes(load.all_series, load.at_once, read), watch)


class _Reader(asyncio.Protocol):
    """Asks for page after page until one has no rows."""

    def __init__(self, target: str, done: "asyncio.Future[int]") -> None:
        self._target = target
        self._done = done
        self._rows = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._missing, self._found = 0, 0
        request = f"GET {self._target}&start={self._rows} HTTP/1.1\r\nHost: source\r\n\r\n"
        self._transport.write(request.encode())  # type: ignore[attr-defined]  # it is one of a connection

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, _, rest = data.partition(b"\r\n\r\n")
            self._missing = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            data = rest
        self._missing -= len(data)
        self._found += data.count(b"\t\t[")
        if self._missing:
            return
        self._rows += self._found
        if self._found:
            self._ask()
        else:
            self._transport.close()
            self._done.set_result(self._rows)


async def http(load: Load) -> Measured:
    """Read the bytes of each page with aiohttp."""
    return await of_each_page(load, lambda body, _: body.count(b"\t\t["))


async def of_each_page(load: Load, take: Callable[[bytes, Series], int]) -> Measured:
    """Read pages with aiohttp; `take` returns how many rows one has."""
    async with aiohttp.ClientSession(load.source) as session:

        async def read(series: Series) -> int:
            start, found = 0, -1
            while found:
                query = _OURS | load.query | {"start": start}
                async with session.get(load.path(series), params=query) as answer:
                    found = take(await answer.read(), series)
                start += found
            return start

        watch = Watch()
        return measured(await in_lanes(load.all_series, load.at_once, read), watch)


async def with_aiomoex(load: Load) -> Measured:
    """Read all into lists of dictionaries."""
    async with aiohttp.ClientSession() as session:

        async def read(series: Series) -> int:
            client = aiomoex.ISSClient(session, load.source + load.path(series), _peers(load))
            candles = (await client.get_all())["candles"]
            kept.append(candles)
            return len(candles)

        kept: list[object] = []
        watch = Watch()
        return measured(await in_lanes(load.all_series, load.at_once, read), watch)


async def with_apimoex(load: Load) -> Measured:
    """Read all into lists of dictionaries, a thread for each request at once: it waits for its answers."""

    def read(series: Series) -> list[dict[str, str | int | float]]:
        with requests.Session() as session:
            client = apimoex.ISSClient(session, load.source + load.path(series), _peers(load))
            return client.get_all()["candles"]

    watch = Watch()
    with ThreadPoolExecutor(load.at_once) as threads:
        kept = list(threads.map(read, load.all_series))
    return measured(sum(map(len, kept)), watch)


def _peers(load: Load) -> dict[str, str | int]:
    return {**load.query, **_PEERS}


def measured(rows: int, watch: Watch) -> Measured:
    """Stop the watch."""
    return asdict(watch.stop()) | {"rows": rows, "server": 0.0}
