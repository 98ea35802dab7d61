"""Asking a simulated exchange, in the words of the tests."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.generated import GeneratedTape
from app.simulator.listings import LISTINGS, Listing
from app.simulator.server import Simulator

SBER = "/iss/engines/stock/markets/shares/boards/TQBR/securities/SBER/candles.json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    def block(self, name: str = "candles") -> list[dict[str, str | float | None]]:
        """The rows of a block, by column."""
        block = json.loads(self.text)[name]
        return [dict(zip(block["columns"], row, strict=True)) for row in block["data"]]

    def json(self) -> Any:  # noqa: ANN401  # whatever the control endpoint says
        return json.loads(self.text)

    def column(self, column: str, block: str = "candles") -> list[str | float | None]:
        return [row[column] for row in self.block(block)]


@dataclass(frozen=True, slots=True)
class Client:
    session: aiohttp.ClientSession

    async def get(self, path: str = SBER, /, **query: str | int) -> Answer:
        """Ask; dots in names of parameters are written as two underscores, `from` as `from_`."""
        return await self.ask("GET", path, **query)

    async def ask(self, method: str, path: str, /, body: object = None, **query: str | int) -> Answer:
        names = {name: name.rstrip("_").replace("__", ".") for name in query}
        query = {names[name]: value for name, value in query.items()}
        async with self.session.request(method, path, params=query, json=body, allow_redirects=False) as response:
            return Answer(response.status, dict(response.headers), await response.text())


@asynccontextmanager
async def opened(moment: str, listings: Sequence[Listing] = LISTINGS) -> AsyncIterator[tuple[Client, Simulator]]:
    """Stop an exchange at a moment of Moscow wall time, 15 minutes after what it tells, and ask it."""
    clock = SimulatedClock(read_moment(moment), stopped=True)
    async with (
        Simulator(GeneratedTape(listings=listings), clock=clock).serve() as exchange,
        aiohttp.ClientSession(exchange.url, timeout=aiohttp.ClientTimeout(30)) as session,
    ):
        yield Client(session), exchange
