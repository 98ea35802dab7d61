"""The composition root: settings in, a working service out. Every door and every test enters here."""

import asyncio
import gc
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app import __version__
from app.core.batches import Rules
from app.core.cache import ICache
from app.core.calendar import ICalendarSource
from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.errors import InputError, SourceError
from app.core.freshness import Outlook
from app.core.market_data import IClock, IMarketDataAdapter, IMarketDataLoader, SourceStatus
from app.core.markets import IDirectory
from app.core.storage import IStorage
from app.core.tally import Tally
from app.market_data_adapter.breaker import Breaking
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.calendars import MoexCalendar
from app.market_data_adapter.clock import SourceClock, SystemClock
from app.market_data_adapter.directory import MoexDirectory
from app.market_data_adapter.iss import IssClient, Patience
from app.market_data_adapter.moex import MoexAdapter
from app.market_data_adapter.sign_in import Access, Account, Anonymous, Token
from app.market_data_loader import MarketDataLoader
from app.redis_cache import RedisCache
from app.repository.migrate import migrate
from app.repository.sql import SqlStorage
from app.settings import Settings
from app.use_cases.create_security import Since
from app.use_cases.get_freshness import get_freshness

_YOUNG = 50_000
_MAX_SKEW = timedelta(minutes=5)
_REDIS_PATIENCE = 1.0
_CLOCK_PATIENCE = 2.0
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)


async def _well() -> SourceStatus:
    return SourceStatus()


@dataclass(frozen=True, slots=True)
class Service:
    """The core with its outside plugged in."""

    settings: Settings
    storage: IStorage
    adapter: IMarketDataAdapter
    loader: IMarketDataLoader
    clock: IClock
    directory: IDirectory
    calendar: ICalendarSource
    rules: Rules
    """When a bar is final."""
    source_status: Callable[[], Awaitable[SourceStatus]] = _well
    """How we stand with the exchange, without asking it."""
    tally: Tally = field(default_factory=Tally)
    """What this process did."""
    cache: ICache | None = None
    """What processes share of answers."""

    async def since(self, timeframes: Collection[Timeframe] = (), since: Since | None = None) -> dict[Timeframe, Since]:
        """Fill in what a caller left open: which timeframes to follow, and from when. InputError for a day to come."""
        now = await self.clock.now()
        if isinstance(since, Timestamp) and since > now:
            raise InputError("since", f"{since} is still to come: candles can begin at {now} at the latest")
        return {
            timeframe: since or now - self.settings.default_since(timeframe)
            for timeframe in timeframes or self.settings.default_timeframes
        }

    async def freshness(self, securities: Collection[Security] = ()) -> Outlook:
        """Judge how current everything that is followed is, or these securities.

        Where the exchange tells the time and does not, it is judged as of when it was last heard of.
        """
        now: Timestamp | None = None
        with suppress(SourceError, TimeoutError):
            async with asyncio.timeout(_CLOCK_PATIENCE):
                now = await self.clock.now()
        return await get_freshness(
            self.storage,
            now,
            rules=self.rules,
            tick=timedelta(seconds=self.settings.tick),
            source=await self.source_status(),
            securities=securities,
        )


@asynccontextmanager
async def bootstrap(
    settings: Settings,
    *,
    wrap_storage: Callable[[IStorage], IStorage] = lambda storage: storage,
    wrap_adapter: Callable[[IMarketDataAdapter], IMarketDataAdapter] = lambda adapter: adapter,
) -> AsyncIterator[Service]:
    """Open everything, give the service, close everything.

    An SQLite store migrates itself; a PostgreSQL one with other tables than this program's is refused. The wrappers
    let tests put themselves between the core and the outside.
    """
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported stays: the collector need not walk over it while candles pass
        gc.set_threshold(_YOUNG)  # a page is some thousand objects, all gone by the next: no reason to look for cycles
    if settings.database_url.startswith("sqlite"):
        await migrate(settings.database_url)
    tally = Tally()
    budget = _budget(settings, tally)
    client = _client(settings, budget)
    storage = SqlStorage.open(settings.database_url)
    cache = _cache(settings)
    try:
        await storage.check(settings.source)
        clock = SystemClock() if settings.clock == "system" else SourceClock(client)
        max_skew = _MAX_SKEW if settings.clock == "system" else None
        adapter = wrap_adapter(
            MoexAdapter(client, clock, source=settings.source, delay=settings.delay, max_skew=max_skew)
        )
        store = wrap_storage(storage)
        rules = Rules(adapter.delay, timedelta(seconds=settings.final_margin), timedelta(seconds=settings.settle))
        loader = MarketDataLoader(store, adapter, clock, rules=rules, workers=settings.lanes, tally=tally)
        directory, calendar = MoexDirectory(client), MoexCalendar(client)
        yield Service(settings, store, adapter, loader, clock, directory, calendar, rules, budget.status, tally, cache)
    finally:
        await client.close()
        await budget.close()
        await storage.close()
        if cache is not None:
            await cache.close()


async def migrate_store(settings: Settings) -> None:
    """Bring the tables of the store up to date with this program; harmless when they are."""
    await migrate(settings.database_url)


def configure_logging(level: str) -> None:
    """Write to stderr what we and the libraries log: for people on a terminal, else a JSON object a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers()],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("taskiq").setLevel(logging.CRITICAL)  # the tasks' own middleware tells failures once
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, *_renderers()],
        logger_factory=_Lines,
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class _Lines:
    """Writes what we log to stderr at once: the way through the standard library costs more than all of a request.

    Its levels are those of the standard library's logger of that name.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._logger, name)

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = _write


def _json(line: structlog.typing.EventDict, **_: object) -> str:
    return _ENCODER.encode(line)


def _renderers() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]  # no locals: secrets
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
    ]


def _budget(settings: Settings, tally: Tally) -> Budget:
    """Open the budget, kept in Redis where there is one: a quick answer from it, or none."""
    redis: Redis | None = None
    if settings.redis_url is not None:
        redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=_REDIS_PATIENCE,
            socket_connect_timeout=_REDIS_PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
    return Budget(
        settings.iss_concurrency,
        settings.iss_rate,
        breaking=Breaking(settings.iss_break_after, settings.iss_break_for),
        redis=redis,
        name=f"exchange:{urlsplit(settings.exchange_url).netloc.rpartition('@')[2]}",
        processes=settings.iss_share_processes,
        tally=tally,
    )


def _cache(settings: Settings) -> RedisCache | None:
    """Open the cache, for what this program writes of this store."""
    if settings.cache_url is None:
        return None
    database = urlsplit(settings.database_url)
    store = f"{settings.source}|{database.netloc.rpartition('@')[2]}{database.path}"
    return RedisCache.open(settings.cache_url, prefix=f"candles:{__version__}:{store}", lifetime=settings.cache_ttl)


def _access(settings: Settings) -> Access:
    if settings.iss_token is not None:
        return Token(settings.iss_token.get_secret_value())
    if settings.iss_login is not None and settings.iss_password is not None:
        login, password = settings.iss_login, settings.iss_password
        return Account(settings.iss_passport_url, login.get_secret_value(), password.get_secret_value())
    return Anonymous()


def _client(settings: Settings, budget: Budget) -> IssClient:
    return IssClient(
        settings.exchange_url,
        budget=budget,
        access=_access(settings),
        patience=Patience(
            settings.iss_total_timeout,
            settings.iss_connect_timeout,
            settings.iss_read_timeout,
            settings.iss_attempts,
            settings.iss_patience,
            settings.iss_max_body,
        ),
    )
