"""The store as a whole: transactions over its collections, and looks at it that are as cheap as can be."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from app.core.calendar import CalendarDay, TradingCalendar
from app.core.corporate_actions import BoardMove, Rename, Split
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Security, SecurityCard, Series, SeriesState
from app.core.pages import CandlePage
from app.core.repository import (
    IBoardRepository,
    ICalendarRepository,
    ICandleRepository,
    IListedSplitRepository,
    IQuarantineRepository,
    IRepository,
    IRevisionRepository,
    ISecurityRepository,
    ISeriesRepository,
    ISpanRepository,
    ISplitRepository,
    IUpdatePartRepository,
    IUpdateRepository,
)
from app.core.spans import Period

FEW = 4
"""Up to so many are looked up one by one; of more, all are read at once."""

_CALENDAR_MARGIN = timedelta(days=60)
"""Closed time that holds an end of the period is looked at whole."""

_END = Timestamp.midnight(date(9999, 1, 1))


@dataclass(frozen=True, slots=True)
class Look:
    """When a list of the exchange, known by a name of ours, was read last and all of it taken notice of."""

    name: str
    seen_at: Timestamp


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is held of a series, to compare an answer with.

    `spans`: those that overlap or adjoin the period that was asked for; `candles`: those that begin in it. `refused`:
    all rows of the series that failed their checks; `splits`: those of its security. All in the order of their keys.
    """

    state: SeriesState
    spans: Sequence[Period]
    candles: CandlePage
    refused: Sequence[QuarantinedRow]
    splits: Sequence[Split]


class IUnitOfWork(Protocol):
    """One transaction: leaving it commits, an exception rolls back."""

    @property
    def boards(self) -> IBoardRepository: ...
    @property
    def calendar(self) -> ICalendarRepository: ...
    @property
    def securities(self) -> ISecurityRepository: ...
    @property
    def series(self) -> ISeriesRepository: ...
    @property
    def candles(self) -> ICandleRepository: ...
    @property
    def spans(self) -> ISpanRepository: ...
    @property
    def revisions(self) -> IRevisionRepository: ...
    @property
    def quarantine(self) -> IQuarantineRepository: ...
    @property
    def splits(self) -> ISplitRepository: ...
    @property
    def listed_splits(self) -> IListedSplitRepository: ...
    @property
    def renames(self) -> IRepository[Rename]:
        """Renames by old ticker and day."""

    @property
    def board_moves(self) -> IRepository[BoardMove]:
        """Moves from board to board by ticker and day."""

    @property
    def looks(self) -> IRepository[Look]:
        """Looks by name."""

    @property
    def updates(self) -> IUpdateRepository: ...
    @property
    def update_parts(self) -> IUpdatePartRepository: ...

    async def claim_source(self, source: str, /) -> None:
        """Record which source fills this store; SourceMismatchError, naming both, if another one did before.

        Until the transaction ends nobody else claims: who adds series does so alone.
        """

    async def hold(self, series: Series, period: Period, /) -> Holdings:
        """Lock a series and read what is held of it, as `read_holdings` does, but as cheaply as can be."""


@dataclass(frozen=True, slots=True)
class SeriesView:
    """What the store said of a series at one moment.

    `begin`: where the oldest of its spans begins, None when it has none. `covered`: the spans that overlap or adjoin
    the period that was asked for, whole, oldest first.
    """

    state: SeriesState
    begin: Timestamp | None
    covered: Sequence[Period]

    def is_covered(self, period: Period) -> bool:
        """Tell whether all of a period, part of the one that was asked for, is covered; an empty one is."""
        return not period or any(
            span.time_from <= period.time_from and period.time_till <= span.time_till for span in self.covered
        )


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What tells why something of a series is missing.

    `days`: what the exchange told of the days around it. `refused`: where rows failed their checks. `newest`: the
    beginning of the newest candle in the last gap, None without one. `goes_on`: a span begins behind that gap.
    """

    card: SecurityCard
    days: Sequence[CalendarDay]
    refused: Sequence[Timestamp]
    newest: Timestamp | None
    goes_on: bool


class IStorage(Protocol):
    """The store. Any failure of it is raised as StorageError."""

    @property
    def batch_rows(self) -> int:
        """How many candles one transaction should write at most."""

    def begin(self) -> AbstractAsyncContextManager[IUnitOfWork]:
        """Open a transaction for a writer."""

    def read(self) -> AbstractAsyncContextManager[IUnitOfWork]:
        """Open one snapshot for a reader; writing through it is an error."""

    async def view(self, series: Series, period: Period, /) -> SeriesView:
        """Look at a stored series as it is now, as cheaply as can be; SeriesNotFoundError when it has no row."""

    async def view_candles(
        self, series: Series, period: Period, window: Period, /, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        """Look at it, and read the candles that begin in the window, both of one moment and as cheaply as can be.

        At most `limit` of them, the oldest or the newest; the page is ascending either way.
        """

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances:
        """Read what tells why these periods of a stored series are missing, as `read_circumstances` does."""

    async def lead(self, name: str, holder: str, /, *, seconds: float) -> bool:
        """Take or keep the lease of a name for so many seconds, by the store's own clock; False while another has it.

        No seconds give it back.
        """

    async def check(self, source: str, /) -> None:
        """Return if the store answers, has the tables of this program and was filled by this source or none.

        Raises StorageUnavailableError, SchemaMismatchError or SourceMismatchError, each with the way out.
        """

    async def close(self) -> None: ...


async def read_cards(uow: IUnitOfWork, wanted: Collection[Security]) -> Mapping[Security, SecurityCard]:
    """Return the cards of these securities; of few, SecurityNotFoundError for the first without one."""
    if len(wanted) <= FEW:
        return {security: await uow.securities.get(security) for security in wanted}
    return {card.security: card async for card in uow.securities if card.security in wanted}


def days_around(missing: Sequence[Period]) -> tuple[date, date]:
    """Return the first and the last day of the calendar that may tell something of gaps, both included."""
    first, last = missing[0].time_from.moscow.date(), missing[-1].time_till.moscow.date()
    return first - _CALENDAR_MARGIN, last + _CALENDAR_MARGIN


async def read_circumstances(uow: IUnitOfWork, series: Series, missing: Sequence[Period]) -> Circumstances:
    """Read what tells why periods of a series are missing: at least one, in normal form."""
    card, last = await uow.securities.get(series.security), missing[-1]
    days = uow.calendar.filter_by_engine(card.engine).filter_by_days(*days_around(missing))
    inside = uow.candles.filter_by_series(series).filter_by_timestamp_gte(last.time_from)
    newest = await inside.filter_by_timestamp_lt(last.time_till).newest_first()[:1].page(series)
    behind = uow.spans.filter_by_series(series).filter_touching(Period(last.time_till, _END))
    return Circumstances(
        card,
        [day async for day in days],
        [row.begin async for row in uow.quarantine.filter_by_series(series)],
        newest[-1].timestamp if newest else None,
        await behind[:1].count() > 0,
    )


async def read_holdings(uow: IUnitOfWork, series: Series, period: Period) -> Holdings:
    """Keep other writers of a series out, and read what is held of it; SeriesNotFoundError when it has no row."""
    state = await uow.series.lock(series)
    touching = uow.spans.filter_by_series(series).filter_touching(period)
    inside = uow.candles.filter_by_series(series).filter_by_timestamp_gte(period.time_from)
    return Holdings(
        state,
        [Period(span.time_from, span.time_till) async for span in touching],
        await inside.filter_by_timestamp_lt(period.time_till).page(series),
        [row async for row in uow.quarantine.filter_by_series(series)],
        [split async for split in uow.splits.filter_by_security(series.security)],
    )


async def read_calendar(uow: IUnitOfWork, engine: str, first: date, last: date) -> TradingCalendar:
    """Return the calendar of an engine with what the exchange told of `[first, last]` and of two months around it."""
    days = uow.calendar.filter_by_engine(engine).filter_by_days(first - _CALENDAR_MARGIN, last + _CALENDAR_MARGIN)
    return TradingCalendar.of(engine, [day async for day in days])
