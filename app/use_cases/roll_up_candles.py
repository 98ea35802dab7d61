"""Read minutes by pages of their key, rolled up into longer bars, in flat memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, Timeframe
from app.core.pages import CandlePage
from app.core.repository import ICandleRepository
from app.core.resampling import Rollup
from app.core.spans import Period
from app.core.staleness import shown_parts
from app.core.storage import IUnitOfWork

PAGE_ROWS = 20_000
"""Minutes held at a time."""

_SECOND = timedelta(seconds=1)


async def read_derived(
    uow: IUnitOfWork, series: Series, window: Period, *, limit: int | None = None, newest_first: bool = False
) -> CandlePage:
    """Return the derived bars that begin in the window, at most `limit` of them: the oldest, or the newest; ascending.

    No more minutes are read than the limit needs.
    """
    enough = None if limit is None else limit * int(_minutes(series.timeframe)) + 1
    pages, missing = [], limit
    async for page in rolled_pages(uow, series, window, newest_first=newest_first, page_rows=enough):
        pages.append(page)
        if missing is not None and (missing := missing - len(page)) <= 0:
            break
    bars = CandlePage.join(series, pages[::-1] if newest_first else pages)
    if limit is None:
        return bars
    return bars[max(len(bars) - limit, 0) :] if newest_first else bars[:limit]


async def rolled_pages(
    uow: IUnitOfWork, series: Series, window: Period, *, newest_first: bool = False, page_rows: int | None = None
) -> AsyncIterator[CandlePage]:
    """Roll minutes up into the bars of a longer series that begin in the window; none of the pages is empty."""
    timeframe = series.timeframe
    minutes = Series(series.security, Timeframe.M1)
    whole = Period(timeframe.ceil(window.time_from), timeframe.ceil(window.time_till))
    covered = [_period(span) async for span in uow.spans.filter_by_series(minutes).filter_touching(whole)]
    rollup = Rollup(series, covered, newest_first=newest_first)
    rows = min(page_rows or PAGE_ROWS, PAGE_ROWS)
    async for page in key_pages(uow, minutes, whole, newest_first=newest_first, page_rows=rows):
        if bars := rollup.feed(page):
            yield bars
    if bars := rollup.end():
        yield bars


async def key_pages(
    uow: IUnitOfWork, series: Series, window: Period, *, newest_first: bool = False, page_rows: int = PAGE_ROWS
) -> AsyncIterator[CandlePage]:
    """Read stored candles by pages of their key, the oldest page first or the newest; each is ascending, none empty.

    Candles with the prices of before a split are left out.
    """
    if not window:
        return
    state = await uow.series.get(series)
    for part, candles in await shown_parts(uow, state, window, newest_first=newest_first):
        async for page in _pages(candles, series, part, newest_first=newest_first, page_rows=page_rows):
            yield page


async def _pages(
    candles: ICandleRepository, series: Series, window: Period, *, newest_first: bool, page_rows: int
) -> AsyncIterator[CandlePage]:
    is_more = True
    while is_more and window:
        inside = candles.filter_by_timestamp_gte(window.time_from).filter_by_timestamp_lt(window.time_till)
        page = await (inside.newest_first() if newest_first else inside)[:page_rows].page(series)
        is_more = len(page) == page_rows
        if page:
            yield page
            window = (
                Period(window.time_from, Timestamp.from_unix(page.begins[0]))
                if newest_first
                else Period(Timestamp.from_unix(page.begins[-1]) + _SECOND, window.time_till)
            )


def whole_bars(spans: Iterable[CandleSpan], timeframe: Timeframe) -> Sequence[Period]:
    """Return where bars of a longer timeframe are covered as a whole, oldest first."""
    narrowed = (Period(timeframe.ceil(span.time_from), timeframe.floor(span.time_till)) for span in spans)
    return [period for period in narrowed if period]


def _minutes(timeframe: Timeframe) -> float:
    length = timeframe.usual_length or timedelta(days=1)
    return length / timedelta(minutes=1)


def _period(span: CandleSpan) -> Period:
    return Period(span.time_from, span.time_till)
