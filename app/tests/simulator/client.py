"""Asking a simulated exchange, in the words of the tests."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

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
