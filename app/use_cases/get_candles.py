"""Answer candles, and say whether the answer is complete."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState, Timeframe
from app.core.errors import InputError, SeriesNotFoundError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.staleness import shown_parts
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.explain_gaps import Gap, coverage_gaps, widened
from app.use_cases.roll_up_candles import read_derived


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of the completeness of a period.

    `period` is what was asked after alignment; `gaps` are its parts that are not covered. `version` is the series'
    history_version when the whole period is covered, else its version (I16).
    """

    period: Period
    gaps: Sequence[Gap]
    version: int

    @property
    def is_covered(self) -> bool:
        """Whether candles of all of it are stored and final."""
        return not self.gaps

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing: all of it is covered, or the rest is empty."""
        return all(gap.is_empty for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class CandleAnswer(Coverage):
    """Candles of one series in ascending order, and their coverage. `has_more`: the limit cut the answer."""

    page: CandlePage
    has_more: bool


async def get_candles(
    storage: IStorage,
    series: Series,
    *,
    time_from: Timestamp,
    time_till: Timestamp,
    limit: int | None = None,
    newest_first: bool = False,
    part: Period | None = None,
) -> CandleAnswer:
    """Read the candles that begin in `[time_from, time_till)` from one snapshot, at most `limit` of them.

    The limit keeps the oldest, with `newest_first` the newest; the page is ascending either way. With `part` the
    candles are those of that part only, for who reads page by page; the coverage is the whole period's. A derived
    series is made of its minutes, whose coverage and version it has, and final only where they are covered. Raises
    SeriesNotFoundError for a series the store does not know and InputError for a period that ends before it begins.
    """
    period = aligned(series.timeframe, time_from, time_till)
    window = period if part is None else period & part
    most = None if limit is None else limit + 1
    async with storage.read() as uow:
        state = await state_of(uow, series)
        coverage = await _coverage(uow, state, series, period)
        if series.timeframe.is_derived:
            page = await read_derived(uow, series, window, limit=most, newest_first=newest_first)
        else:
            page = await _read(uow, state, window, limit=most, newest_first=newest_first)
    has_more = limit is not None and len(page) > limit
    if has_more:
        page = page[-limit:] if newest_first else page[:limit]  # type: ignore[operator]  # has_more implies a limit
    return CandleAnswer(coverage.period, coverage.gaps, coverage.version, page, has_more)


async def first_covered(storage: IStorage, series: Series) -> Timestamp:
    """Return where what is stored or followed of a series begins: the default beginning of an answer."""
    async with storage.read() as uow:
        state = await state_of(uow, series)
        spans = [span async for span in uow.spans.filter_by_series(state.series)[:1]]
    moments = [moment for moment in (state.followed_from, *(span.time_from for span in spans)) if moment is not None]
    if not moments:
        raise unknown(series)
    return min(moments)


async def state_of(uow: IUnitOfWork, series: Series) -> SeriesState:
    """Return the state of what is stored for a series: its own, or that of the minutes it is made of."""
    try:
        return await uow.series.get(Series(series.security, series.timeframe.base))
    except SeriesNotFoundError as error:
        raise unknown(series) from error


async def _read(
    uow: IUnitOfWork, state: SeriesState, window: Period, *, limit: int | None, newest_first: bool
) -> CandlePage:
    pages, missing = [], limit
    for part, candles in await shown_parts(uow, state, window, newest_first=newest_first):
        inside = candles.filter_by_timestamp_gte(part.time_from).filter_by_timestamp_lt(part.time_till)
        subset = inside.newest_first() if newest_first else inside
        pages.append(await (subset if missing is None else subset[:missing]).page(state.series))
        if missing is not None and (missing := missing - len(pages[-1])) <= 0:
            break
    return pages[0] if len(pages) == 1 else CandlePage.join(state.series, pages[::-1] if newest_first else pages)


def aligned(timeframe: Timeframe, time_from: Timestamp, time_till: Timestamp) -> Period:
    """Round both ends up to the timeframe. InputError for a period that ends before it begins."""
    if time_from > time_till:
        raise InputError("from", f"the period ends ({time_till}) before it begins ({time_from})")
    return Period(timeframe.ceil(time_from), timeframe.ceil(time_till))


async def _coverage(uow: IUnitOfWork, state: SeriesState, series: Series, period: Period) -> Coverage:
    if state.followed_from is None and not await uow.spans.filter_by_series(state.series)[:1].count():
        raise unknown(series)
    missing = await coverage_gaps(uow, state, period)
    if series.timeframe.is_derived:
        missing = widened(missing, series.timeframe)
    return Coverage(period, missing, state.version if missing else state.history_version)


def unknown(series: Series) -> SeriesNotFoundError:
    """Say that there is no such series, and what a derived one would be made of."""
    origin = f", and it is made of {series.timeframe.base}" if series.timeframe.is_derived else ""
    return SeriesNotFoundError(f"nothing of {series} is stored or followed{origin}")
