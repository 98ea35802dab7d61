"""Give all candles of a period, page by page, however many there are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import SeriesChangedError
from app.core.market_data import IClock
from app.core.pages import CandlePage
from app.core.resampling import Rollup
from app.core.spans import Period
from app.core.staleness import shown_parts
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.get_candles import Coverage, first_covered, state_of
from app.use_cases.look_at_candles import look_at_candles

PAGE_ROWS = 20_000
"""Stored candles held at a time."""

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CandleExport:
    """Candles of one series as pages in ascending order, none empty, and what is known of their completeness.

    Each page is read in a transaction of its own, so who takes them slowly keeps nobody waiting. They are of one
    history: when a covered candle changes on the way, the pages end with SeriesChangedError (I16). What is not covered
    may grow meanwhile.
    """

    series: Series
    coverage: Coverage
    pages: AsyncIterator[CandlePage]


async def export_candles(storage: IStorage, series: Series, period: Period) -> CandleExport:
    """Say what there is of the candles that begin in a period, and prepare to read them.

    What they are, and which errors there may be, is as with `get_candles`.
    """
    base = Series(series.security, series.timeframe.base)
    async with storage.read() as uow:
        history = (await state_of(uow, series)).history_version
        covered = await _covered(uow, series) if series.timeframe.is_derived else ()
    look = await look_at_candles(storage, series, period.time_from, period.time_till, is_open=False)
    coverage = look.coverage
    pages = _stored(storage, base, coverage.period, history)
    if series.timeframe.is_derived:
        pages = _derived(pages, Rollup(series, covered))
    return CandleExport(series, coverage, pages)


async def export_period(
    storage: IStorage, clock: IClock, series: Series, *, time_from: Timestamp | None, time_till: Timestamp | None
) -> Period:
    """Fill in the open ends of a wish: from where the series begins to where it is covered, or to now if nothing is.

    So what is final is the default. A filled in end never contradicts the other one. Raises SeriesNotFoundError.
    """
    begin = time_from or await first_covered(storage, series)
    if time_till is not None:
        return Period(begin if time_from else min(begin, time_till), time_till)
    async with storage.read() as uow:
        covered = await _covered(uow, series)
    end = series.timeframe.floor(covered[-1].time_till) if covered else begin
    return Period(begin, end if end > begin else max(begin, await clock.now()))


async def _covered(uow: IUnitOfWork, series: Series) -> Sequence[Period]:
    """Return where a series, or the minutes it is made of, is covered, oldest first."""
    spans = uow.spans.filter_by_series(Series(series.security, series.timeframe.base))
    return [Period(span.time_from, span.time_till) async for span in spans]


async def _stored(storage: IStorage, series: Series, window: Period, history: int) -> AsyncIterator[CandlePage]:
    while (page := await _next(storage, series, window, history)) is not None:
        yield page
        window = Period(page[-1].timestamp + _SECOND, window.time_till)


async def _next(storage: IStorage, series: Series, window: Period, history: int) -> CandlePage | None:
    """Read the first page of what is left; None at the end."""
    async with storage.read() as uow:
        state = await uow.series.get(series)
        if state.history_version != history:
            raise SeriesChangedError(f"covered candles of {series} changed while they were read: ask again")
        for part, candles in await shown_parts(uow, state, window):
            inside = candles.filter_by_timestamp_gte(part.time_from).filter_by_timestamp_lt(part.time_till)
            if page := await inside[:PAGE_ROWS].page(series):
                return page
    return None


async def _derived(minutes: AsyncIterator[CandlePage], rollup: Rollup) -> AsyncIterator[CandlePage]:
    async for page in minutes:
        if bars := await asyncio.to_thread(rollup.feed, page):
            yield bars
    if bars := rollup.end():
        yield bars
