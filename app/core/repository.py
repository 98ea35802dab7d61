"""Collections of entities: what the core asks of storage.

A repository stands for a subset of what is stored: filters and slices return a narrower copy, and nothing runs until
it is iterated or counted. Slices compose as those of lists do; steps and negative ends raise ValueError; filtering a
slice raises TypeError ("filter first, slice last"). Iteration is in the order of the natural key.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from datetime import date
from typing import Protocol, Self, TypeVar

from app.core.calendar import CalendarDay
from app.core.corporate_actions import ListedSplit, Split
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
from app.core.markets import Board
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.updates import Update, UpdatePart

Entity = TypeVar("Entity")


class IRepository(Protocol[Entity]):
    """A lazy, immutable view of stored entities."""

    def __aiter__(self) -> AsyncIterator[Entity]: ...
    def __getitem__(self, window: slice, /) -> Self: ...
    async def count(self) -> int: ...

    async def add(self, items: Iterable[Entity], /) -> None:
        """Insert, or replace what is stored under the same natural key."""

    async def remove(self, items: Iterable[Entity], /) -> None:
        """Remove what is stored under the natural keys of these items; absent ones do not matter."""

    async def clear(self) -> None:
        """Remove everything this subset stands for; a slice raises TypeError."""


class ISecurityRepository(IRepository[SecurityCard], Protocol):
    """Cards by security."""

    def filter_by_board(self, board: str, /) -> Self: ...
    def filter_by_ticker(self, ticker: str, /) -> Self: ...

    def filter_followed(self) -> Self:
        """Return those of which anything is followed."""

    async def get(self, security: Security, /) -> SecurityCard:
        """Return its card, or raise SecurityNotFoundError."""


class IBoardRepository(IRepository[Board], Protocol):
    """Boards by code."""

    async def get(self, code: str, /) -> Board:
        """Return the board, or raise BoardNotFoundError."""


class ICalendarRepository(IRepository[CalendarDay], Protocol):
    """What the exchange said of its days, by engine and day."""

    def filter_by_engine(self, engine: str, /) -> Self: ...

    def filter_by_days(self, first: date, last: date, /) -> Self:
        """Return the days of `[first, last]`, both included."""


class ISeriesRepository(IRepository[SeriesState], Protocol):
    """States by series. A removed series' counters are lost: stop following instead."""

    def filter_by_security(self, security: Security, /) -> Self: ...
    def filter_by_securities(self, securities: Collection[Security], /) -> Self: ...
    def filter_by_timeframe(self, timeframe: Timeframe, /) -> Self: ...
    def filter_followed(self) -> Self: ...
    def filter_grown(self) -> Self: ...

    async def get(self, series: Series, /) -> SeriesState:
        """Return its state, or raise SeriesNotFoundError."""

    async def lock(self, series: Series, /) -> SeriesState:
        """Return its state and keep other writers of this series out until the transaction ends."""


class ICandleRepository(IRepository[Candle], Protocol):
    """Candles by series and beginning."""

    def filter_by_series(self, series: Series, /) -> Self: ...
    def filter_by_timestamp_gte(self, moment: Timestamp, /) -> Self: ...
    def filter_by_timestamp_lt(self, moment: Timestamp, /) -> Self: ...
    def filter_by_final(self, is_final: bool, /) -> Self: ...  # noqa: FBT001  # a column's value, not a switch

    def newest_first(self) -> Self:
        """Return the same subset in descending order of time; slices then count from the newest."""

    async def page(self, series: Series, /) -> CandlePage:
        """Read what this subset holds of one series as columns, ascending whatever the order of the subset."""

    async def extend(self, page: CandlePage, /) -> None:
        """Insert many candles none of which is stored; StorageError if one is. The quick way into a gap."""


class ISpanRepository(IRepository[CandleSpan], Protocol):
    """What is covered. Whatever is added or removed, the spans of a series stay in normal form (I2)."""

    def filter_by_series(self, series: Series, /) -> Self: ...

    def filter_touching(self, period: Period, /) -> Self:
        """Return the spans that overlap the period or adjoin it."""

    async def ends(self, securities: Collection[Security] = ()) -> Mapping[Series, Timestamp]:
        """Return where the last span of each series ends, or of those of these securities; a slice raises TypeError."""

    async def add(self, items: Iterable[CandleSpan], /) -> None:
        """Cover these periods as well."""

    async def remove(self, items: Iterable[CandleSpan], /) -> None:
        """Cover these periods no longer; spans that reach beyond them are cut."""


class IRevisionRepository(IRepository[CandleRevision], Protocol):
    """Superseded values by series, beginning and revision."""

    def filter_by_series(self, series: Series, /) -> Self: ...

    async def supersede(self, page: CandlePage, /, *, reason: str, superseded_at: Timestamp) -> None:
        """Keep these candles as the next revision of each."""


class IQuarantineRepository(IRepository[QuarantinedRow], Protocol):
    """Rows that failed their checks, by series and beginning."""

    def filter_by_series(self, series: Series, /) -> Self: ...


class ISplitRepository(IRepository[Split], Protocol):
    """Splits that the store took notice of, by security and day."""

    def filter_by_security(self, security: Security, /) -> Self: ...


class IListedSplitRepository(IRepository[ListedSplit], Protocol):
    """Splits as the exchange lists them, by ticker and day."""

    def filter_by_ticker(self, ticker: str, /) -> Self: ...


class IUpdateRepository(IRepository[Update], Protocol):
    """What somebody asked to have loaded, by id."""

    def filter_asked_before(self, moment: Timestamp, /) -> Self: ...

    def newest_first(self) -> Self:
        """Return the same subset, what was asked for last before all else."""

    async def get(self, update_id: str, /) -> Update:
        """Return the update, or raise UpdateNotFoundError."""


class IUpdatePartRepository(IRepository[UpdatePart], Protocol):
    """Parts of updates by series and id of the update."""

    def filter_by_series(self, series: Series, /) -> Self: ...
    def filter_by_update(self, update_id: str, /) -> Self: ...
    def filter_unfinished(self) -> Self: ...
