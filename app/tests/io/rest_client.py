"""The REST app without a server: requests go straight into ASGI. And the service it stands on, in a few lines."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.types import Message

from app.bootstrap import Service
from app.core.batches import Rules
from app.core.cache import ICache
from app.core.calendar import CalendarDay
from app.core.corporate_actions import ListedSplit, Rename
from app.core.date_time import Timestamp
from app.core.entities import SOURCED, CandleSpan, Security, SecurityCard, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError
from app.core.market_data import SourcePage
from app.core.markets import Board, FoundSecurity, Listed
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import IStorage
from app.io.rest_api.main import create_app
from app.market_data_loader import MarketDataLoader
from app.settings import Settings
from app.tests.builders import GAZP, SBER, a_card, minute

NOW = minute(24 * 60)


Query = str | Mapping[str, object] | Sequence[tuple[str, object]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever the body holds
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    app: FastAPI

    async def get(self, path: str, query: Query = (), **headers: str) -> Answer:
        return await self.ask("GET", path, query, headers=headers)

    async def post(self, path: str, body: object) -> Answer:
        return await self.ask(
            "POST", path, body=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )

    def scope(
        self, method: str, path: str, query: Query = (), headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Describe a request as a server does; `_` in names of headers stands for `-`."""
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": (query if isinstance(query, str) else urlencode(query, doseq=True)).encode(),
            "headers": [
                (name.replace("_", "-").lower().encode(), value.encode("latin-1"))
                for name, value in {"host": "test", **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
            "root_path": "",
        }

    async def ask(
        self, method: str, path: str, query: Query = (), *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request."""
        sent: list[Message] = []
        asked, over = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            if not asked.is_set():
                asked.set()
                return {"type": "http.request", "body": body, "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                over.set()

        await self.app(self.scope(method, path, query, headers), receive, send)
        assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
        names = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))


@dataclass
class FakeClock:
    moment: Timestamp = NOW

    async def now(self) -> Timestamp:
        return self.moment


@dataclass
class FakeAdapter:
    """Knows SBER and GAZP, whose candles begin a day before T0; fails when told to."""

    error: Exception | None = None
    source: str = "fake"
    delay: timedelta = timedelta(minutes=15)
    known: tuple[Security, ...] = field(default=(SBER, GAZP))

    async def card(self, security: Security, /) -> SecurityCard:
        if self.error is not None:
            raise self.error
        if security not in self.known:
            raise SecurityNotFoundError(f"the exchange does not know {security}")
        return a_card(security, name="Сбербанк России ПАО ао" if security == SBER else "Газпром")

    async def primary_card(self, ticker: str, /) -> SecurityCard:
        return await self.card(Security(ticker, "TQBR"))

    async def borders(self, _card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        return dict.fromkeys(SOURCED, Period(minute(-24 * 60), NOW))

    def candles(self, card: SecurityCard, timeframe: Timeframe, period: Period) -> AsyncGenerator[SourcePage]:
        raise NotImplementedError


@dataclass
class FakeDirectory:
    """Tells of one board and two shares."""

    async def boards(self) -> Sequence[Board]:
        return [Board("TQBR", "stock", "shares", "Shares", seen_at=NOW)]

    async def find(self, text: str, /, *, limit: int) -> Sequence[FoundSecurity]:
        shares = [FoundSecurity("SBER", "Сбербанк", primary_board="TQBR"), FoundSecurity("GAZP", primary_board="TQBR")]
        return [share for share in shares if text.upper() in share.ticker][:limit]

    async def listed(self, board: Board, /) -> Sequence[SecurityCard]:
        return [a_card(security) for security in (SBER, GAZP) if security.board == board.code]

    async def splits(self) -> Listed[ListedSplit]:
        return Listed(())

    async def renames(self) -> Listed[Rename]:
        return Listed((Rename("SBER03", "SBER", date(2011, 11, 21)),))


@dataclass
class FakeCalendar:
    """Tells these days, or fails; remembers what it was asked."""

    known: Sequence[CalendarDay] = ()
    error: Exception | None = None
    asked: list[tuple[str, date, date]] = field(default_factory=list)

    async def days(self, engine: str, first: date, last: date, /) -> Sequence[CalendarDay]:
        self.asked.append((engine, first, last))
        if self.error is not None:
            raise self.error
        return [day for day in self.known if day.engine == engine and first <= day.day <= last]


def a_client(
    storage: IStorage,
    *,
    adapter: FakeAdapter | None = None,
    clock: FakeClock | None = None,
    directory: FakeDirectory | None = None,
    cache: ICache | None = None,
    follow_on_query: bool = False,
    follow_limit: int = 100,
) -> Client:
    """Build an app over a store, without an exchange that has candles: by default questions make nothing followed."""
    adapter, clock = adapter or FakeAdapter(), clock or FakeClock()
    loader = MarketDataLoader(storage, adapter, clock, rules=Rules(adapter.delay), workers=1)
    growth = {"follow_on_query": follow_on_query, "follow_limit": follow_limit}
    settings = Settings.model_validate({"_env_file": None, "source_name": "fake", **growth})
    sources, rules = (directory or FakeDirectory(), FakeCalendar()), Rules(adapter.delay)
    service = Service(settings, storage, adapter, loader, clock, *sources, rules, cache=cache)
    return Client(create_app(service=service))


async def store(
    storage: IStorage,
    page: CandlePage,
    *spans: tuple[Timestamp, Timestamp],
    followed_from: Timestamp | None,
    version: int = 7,
) -> None:
    """Store candles, what is covered of them and the state of their series, as a load would have left them."""
    series = page.series
    async with storage.begin() as uow:
        await uow.securities.add([a_card(series.security)])
        watermark = max((till for _, till in spans), default=None)
        await uow.series.add(
            [SeriesState(series, followed_from, watermark, version=version, history_version=version - 2)]
        )
        await uow.candles.add(page)
        await uow.spans.add([CandleSpan(series.security, series.timeframe, *span) for span in spans])
