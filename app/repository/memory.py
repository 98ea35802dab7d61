"""The store over dicts: the executable definition of the contract, and a store for those who keep nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, ClassVar, Generic, Self, TypeVar

from app.core.calendar import CalendarDay
from app.core.corporate_actions import BoardMove, ListedSplit, Rename, Split
from app.core.date_time import Timestamp
from app.core.entities import (
    Candle,
    CandleRevision,
    CandleSpan,
    QuarantinedRow,
    Security,
    SecurityCard,
    Series,
    SeriesState,
    Timeframe,
)
from app.core.errors import StorageBusyError, StorageError
from app.core.markets import Board
from app.core.pages import CandlePage
from app.core.repository import Look
from app.core.spans import Period, merge, subtract
from app.repository import refusals
from app.repository.windows import WHOLE, Window

Entity = TypeVar("Entity")
Key = tuple[Any, ...]
Rows = dict[Key, Any]
_NAMES = (
    "securities", "series", "candles", "spans", "revisions", "quarantine", "boards", "calendar", "splits",
    "listed_splits", "renames", "board_moves", "looks",
)  # fmt: skip


@dataclass(slots=True)
class _Tables:
    rows: dict[str, Rows] = field(default_factory=lambda: {name: {} for name in _NAMES})
    source: str | None = None

    def copy(self) -> Self:
        return type(self)({name: dict(rows) for name, rows in self.rows.items()}, self.source)


@dataclass(slots=True, eq=False)
class _Transaction:
    """A copy of the tables that becomes the store when it ends well; readers share what nobody changes any more."""

    tables: _Tables
    is_writer: bool
    failed: bool = False

    def require_writer(self) -> None:
        if not self.is_writer:
            raise refusals.read_only()

    def require_series(self, series: Iterable[Series]) -> None:
        for one in sorted(set(series)):
            if _series_key(one) not in self.tables.rows["series"]:
                raise refusals.unknown_series(one)

    def require_securities(self, securities: Iterable[Security]) -> None:
        for security in sorted(set(securities)):
            if _security_key(security) not in self.tables.rows["securities"]:
                raise refusals.unknown_security(security)

    def fail(self, message: str) -> StorageError:
        """Spoil the transaction, as a refused statement does in a database."""
        self.failed = True
        return StorageError(f"the store in memory refused: {message}")


@dataclass(frozen=True)
class _Collection(Generic[Entity]):
    _transaction: _Transaction
    _keeps: tuple[Callable[[Any], bool], ...] = ()
    _window: Window = WHOLE

    table: ClassVar[str]

    @property
    def _rows(self) -> Rows:
        return self._transaction.tables.rows[self.table]

    def _key(self, item: Entity) -> Key:
        raise NotImplementedError

    def _where(self, keep: Callable[[Any], bool]) -> Self:
        self._window.require_whole()
        return replace(self, _keeps=(*self._keeps, keep))

    def _order(self, rows: list[Entity]) -> list[Entity]:
        return rows

    def _select(self) -> list[Entity]:
        rows = [self._rows[key] for key in sorted(self._rows)]
        kept = self._order([row for row in rows if all(keep(row) for keep in self._keeps)])
        return kept[self._window.start : self._window.stop]

    def __getitem__(self, window: slice, /) -> Self:
        return replace(self, _window=self._window.narrow(window))

    async def __aiter__(self) -> AsyncIterator[Entity]:
        for row in self._select():
            yield row

    async def count(self) -> int:
        return len(self._select())

    async def add(self, items: Iterable[Entity], /) -> None:
        self._transaction.require_writer()
        added = list(items)
        self._require_parents(added)
        self._rows.update((self._key(item), item) for item in added)

    def _require_parents(self, items: Iterable[Entity]) -> None:
        """Refuse items whose security or series has no row."""

    async def remove(self, items: Iterable[Entity], /) -> None:
        self._transaction.require_writer()
        self._drop([self._key(item) for item in items])

    async def clear(self) -> None:
        self._window.require_whole()
        self._transaction.require_writer()
        self._drop([self._key(item) for item in self._select()])

    def _drop(self, keys: Iterable[Key]) -> None:
        dropped = set(keys)
        self._require_childless(dropped)
        for key in dropped:
            self._rows.pop(key, None)

    def _require_childless(self, keys: set[Key]) -> None:
        """Refuse to drop what other rows belong to."""


@dataclass(frozen=True)
class MemoryBoardRepository(_Collection[Board]):
    """Boards by code."""

    table = "boards"

    def _key(self, item: Board) -> Key:
        return (item.code,)

    async def get(self, code: str, /) -> Board:
        board: Board | None = self._rows.get((code,))
        if board is None:
            raise refusals.unknown_board(code)
        return board


@dataclass(frozen=True)
class MemoryCalendarRepository(_Collection[CalendarDay]):
    """Days by engine."""

    table = "calendar"

    def _key(self, item: CalendarDay) -> Key:
        return (item.engine, item.day)

    def filter_by_engine(self, engine: str, /) -> Self:
        return self._where(lambda day: day.engine == engine)

    def filter_by_days(self, first: date, last: date, /) -> Self:
        return self._where(lambda day: first <= day.day <= last)


@dataclass(frozen=True)
class MemorySecurityRepository(_Collection[SecurityCard]):
    """Cards by ticker and board."""

    table = "securities"

    def _key(self, item: SecurityCard) -> Key:
        return _security_key(item.security)

    def filter_by_board(self, board: str, /) -> Self:
        return self._where(lambda card: card.security.board == board)

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(lambda card: card.security.ticker == ticker)

    async def get(self, security: Security, /) -> SecurityCard:
        card: SecurityCard | None = self._rows.get(_security_key(security))
        if card is None or not all(keep(card) for keep in self._keeps):
            raise refusals.unknown_security(security)
        return card

    def _require_childless(self, keys: set[Key]) -> None:
        for state in self._transaction.tables.rows["series"].values():
            if _security_key(state.series.security) in keys:
                raise self._transaction.fail(f"{state.series.security} has series")
        for split in self._transaction.tables.rows["splits"].values():
            if _security_key(split.security) in keys:
                raise self._transaction.fail(f"{split.security} has splits")


@dataclass(frozen=True)
class MemorySeriesRepository(_Collection[SeriesState]):
    """States by security and interval."""

    table = "series"

    def _key(self, item: SeriesState) -> Key:
        return _series_key(item.series)

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(lambda state: state.series.security == security)

    def filter_by_timeframe(self, timeframe: Timeframe, /) -> Self:
        return self._where(lambda state: state.series.timeframe == timeframe)

    def filter_followed(self) -> Self:
        return self._where(lambda state: state.followed_from is not None)

    async def get(self, series: Series, /) -> SeriesState:
        state: SeriesState | None = self._rows.get(_series_key(series))
        if state is None or not all(keep(state) for keep in self._keeps):
            raise refusals.unknown_series(series)
        return state

    async def lock(self, series: Series, /) -> SeriesState:
        self._transaction.require_writer()
        return await replace(self, _keeps=()).get(series)

    def _require_parents(self, items: Iterable[SeriesState]) -> None:
        self._transaction.require_securities(state.series.security for state in items)

    def _require_childless(self, keys: set[Key]) -> None:
        for name in ("candles", "spans", "revisions", "quarantine"):
            if any(key[:3] in keys for key in self._transaction.tables.rows[name]):
                raise self._transaction.fail("rows still belong to this series")


@dataclass(frozen=True)
class _OfSeries(_Collection[Entity]):
    """What hangs below a series; its key begins with that of the series."""

    def _series(self, item: Entity) -> Series:
        return item.series  # type: ignore[attr-defined,no-any-return]  # of all but revisions

    def filter_by_series(self, series: Series, /) -> Self:
        return self._where(lambda item: self._series(item) == series)

    def _require_parents(self, items: Iterable[Entity]) -> None:
        self._transaction.require_series(self._series(item) for item in items)


@dataclass(frozen=True)
class MemoryCandleRepository(_OfSeries[Candle]):
    """Candles by series and beginning."""

    table = "candles"

    _is_newest_first: bool = False

    def _key(self, item: Candle) -> Key:
        return (*_series_key(item.series), item.timestamp)

    def filter_by_timestamp_gte(self, moment: Timestamp, /) -> Self:
        return self._where(lambda candle: candle.timestamp >= moment)

    def filter_by_timestamp_lt(self, moment: Timestamp, /) -> Self:
        return self._where(lambda candle: candle.timestamp < moment)

    def filter_by_final(self, is_final: bool, /) -> Self:  # noqa: FBT001  # a column's value, not a switch
        return self._where(lambda candle: candle.is_final is is_final)

    def newest_first(self) -> Self:
        self._window.require_whole()
        return replace(self, _is_newest_first=True)

    def _order(self, rows: list[Candle]) -> list[Candle]:
        # a stable sort: candles of one moment stay in the order of their series
        return sorted(rows, key=lambda c: -c.timestamp.microseconds) if self._is_newest_first else rows

    async def page(self, series: Series, /) -> CandlePage:
        return CandlePage.from_candles(series, (candle for candle in self._select() if candle.series == series))

    async def extend(self, page: CandlePage, /) -> None:
        self._transaction.require_writer()
        if not page:
            return
        self._transaction.require_series([page.series])
        candles = {self._key(candle): candle for candle in page}
        if len(candles) < len(page) or candles.keys() & self._rows.keys():
            raise self._transaction.fail("one of these candles is stored already")
        self._rows.update(candles)


@dataclass(frozen=True)
class MemorySpanRepository(_OfSeries[CandleSpan]):
    """Spans in normal form."""

    table = "spans"

    def _key(self, item: CandleSpan) -> Key:
        return (*_series_key(item.series), item.time_from)

    def filter_touching(self, period: Period, /) -> Self:
        return self._where(lambda span: span.time_from <= period.time_till and span.time_till >= period.time_from)

    async def add(self, items: Iterable[CandleSpan], /) -> None:
        self._transaction.require_writer()
        added = list(items)
        self._require_parents(added)
        for series, periods in _periods(added):
            self._rewrite(series, merge([*self._stored(series), *periods]))

    async def remove(self, items: Iterable[CandleSpan], /) -> None:
        self._transaction.require_writer()
        for series, periods in _periods(items):
            self._rewrite(series, subtract(self._stored(series), periods))

    def _stored(self, series: Series) -> list[Period]:
        return [Period(span.time_from, span.time_till) for span in self._rows.values() if span.series == series]

    def _rewrite(self, series: Series, periods: Iterable[Period]) -> None:
        self._drop([key for key in self._rows if key[:3] == _series_key(series)])
        spans = (CandleSpan(series.security, series.timeframe, p.time_from, p.time_till) for p in periods)
        self._rows.update((self._key(span), span) for span in spans)


@dataclass(frozen=True)
class MemoryRevisionRepository(_OfSeries[CandleRevision]):
    """Superseded candles by series, beginning and revision."""

    table = "revisions"

    def _key(self, item: CandleRevision) -> Key:
        return (*_series_key(item.candle.series), item.candle.timestamp, item.revision)

    def _series(self, item: CandleRevision) -> Series:
        return item.candle.series

    async def supersede(self, page: CandlePage, /, *, reason: str, superseded_at: Timestamp) -> None:
        await self.add([CandleRevision(candle, self._next(candle), reason, superseded_at) for candle in page])

    def _next(self, candle: Candle) -> int:
        key = (*_series_key(candle.series), candle.timestamp)
        return max((stored[-1] for stored in self._rows if stored[:-1] == key), default=0) + 1


@dataclass(frozen=True)
class MemoryQuarantineRepository(_OfSeries[QuarantinedRow]):
    """Refused rows by series and beginning."""

    table = "quarantine"

    def _key(self, item: QuarantinedRow) -> Key:
        return (*_series_key(item.series), item.begin)


@dataclass(frozen=True)
class MemorySplitRepository(_Collection[Split]):
    """Splits by security and day."""

    table = "splits"

    def _key(self, item: Split) -> Key:
        return (*_security_key(item.security), item.day)

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(lambda split: split.security == security)

    def _require_parents(self, items: Iterable[Split]) -> None:
        self._transaction.require_securities(split.security for split in items)


@dataclass(frozen=True)
class MemoryListedSplitRepository(_Collection[ListedSplit]):
    """Splits as the exchange lists them, by ticker and day."""

    table = "listed_splits"

    def _key(self, item: ListedSplit) -> Key:
        return (item.ticker, item.day)

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(lambda split: split.ticker == ticker)


@dataclass(frozen=True)
class MemoryRenameRepository(_Collection[Rename]):
    """Renames by old ticker and day."""

    table = "renames"

    def _key(self, item: Rename) -> Key:
        return (item.old, item.day)


@dataclass(frozen=True)
class MemoryBoardMoveRepository(_Collection[BoardMove]):
    """Moves from board to board by ticker and day."""

    table = "board_moves"

    def _key(self, item: BoardMove) -> Key:
        return (item.ticker, item.day)


@dataclass(frozen=True)
class MemoryLookRepository(_Collection[Look]):
    """Looks by what was read."""

    table = "looks"

    def _key(self, item: Look) -> Key:
        return (item.name,)


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    """The repositories of one transaction."""

    boards: MemoryBoardRepository
    calendar: MemoryCalendarRepository
    securities: MemorySecurityRepository
    series: MemorySeriesRepository
    candles: MemoryCandleRepository
    spans: MemorySpanRepository
    revisions: MemoryRevisionRepository
    quarantine: MemoryQuarantineRepository
    splits: MemorySplitRepository
    listed_splits: MemoryListedSplitRepository
    renames: MemoryRenameRepository
    board_moves: MemoryBoardMoveRepository
    looks: MemoryLookRepository
    _transaction: _Transaction

    @classmethod
    def over(cls, transaction: _Transaction) -> Self:
        """Build them over one copy of the tables."""
        return cls(
            MemoryBoardRepository(transaction),
            MemoryCalendarRepository(transaction),
            MemorySecurityRepository(transaction),
            MemorySeriesRepository(transaction),
            MemoryCandleRepository(transaction),
            MemorySpanRepository(transaction),
            MemoryRevisionRepository(transaction),
            MemoryQuarantineRepository(transaction),
            MemorySplitRepository(transaction),
            MemoryListedSplitRepository(transaction),
            MemoryRenameRepository(transaction),
            MemoryBoardMoveRepository(transaction),
            MemoryLookRepository(transaction),
            transaction,
        )

    async def claim_source(self, source: str, /) -> None:
        self._transaction.require_writer()
        stored = self._transaction.tables.source
        if stored not in (None, source):
            raise refusals.other_source(stored or "", source)
        self._transaction.tables.source = source


class MemoryStorage:
    """Lives as long as the process. A writer works on a copy, so readers never wait and never see half of it."""

    batch_rows = 50_000

    def __init__(self, *, patience: float = 30) -> None:
        """`patience`: seconds to wait for another writer."""
        self._tables = _Tables()
        self._turn = asyncio.Lock()
        self._patience = patience

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StorageBusyError(
                "the store in memory is busy: other writers took longer than the patience"
            ) from error
        try:
            transaction = _Transaction(self._tables.copy(), is_writer=True)
            yield MemoryUnitOfWork.over(transaction)
            if transaction.failed:
                raise refusals.spoiled()
            self._tables = transaction.tables
        finally:
            self._turn.release()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[MemoryUnitOfWork]:
        yield MemoryUnitOfWork.over(_Transaction(self._tables, is_writer=False))

    async def check(self, source: str, /) -> None:
        if self._tables.source not in (None, source):
            raise refusals.other_source(self._tables.source or "", source)

    async def close(self) -> None:
        """Keep everything: there is nothing to let go of."""


def _security_key(security: Security) -> Key:
    return (security.ticker, security.board)


def _series_key(series: Series) -> Key:
    return (series.security.ticker, series.security.board, series.timeframe.interval)


def _periods(spans: Iterable[CandleSpan]) -> Iterator[tuple[Series, list[Period]]]:
    by_series: dict[Series, list[Period]] = {}
    for span in spans:
        by_series.setdefault(span.series, []).append(Period(span.time_from, span.time_till))
    yield from by_series.items()
