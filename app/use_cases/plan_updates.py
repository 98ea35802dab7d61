"""Tell what an update will take, before it is asked for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.market_data import IClock, IMarketDataLoader
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork, read_cards
from app.core.updates import open_minutes
from app.market_data_plan import by_series, period_of
from app.use_cases.measure_coverage import calendars_of
from app.use_cases.update_candles import check_period, followed_states, wish_of

PAGE_ROWS = 500
_LOOKED_AT = 5_000
"""Stored candles of a series by which it is judged how many more there are."""
_DAY = timedelta(days=1)
_DAYS_A_BAR = {Timeframe.D1: 1, Timeframe.W1: 5, Timeframe.MN1: 21, Timeframe.Q1: 63}
"""Of trading."""


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """What is missing of one series, oldest first; how many requests and candles that means, about."""

    series: Series
    missing: Sequence[Period]
    requests: int
    rows: int


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """What an update would take. `duration`: what the request budget makes of it, None without a limit."""

    loads: Sequence[PlannedLoad]
    duration: timedelta | None

    @property
    def requests(self) -> int:
        return sum(load.requests for load in self.loads)

    @property
    def rows(self) -> int:
        return sum(load.rows for load in self.loads)


async def plan_updates(  # noqa: PLR0913  # what an update may be asked for, and the budget
    storage: IStorage,
    loader: IMarketDataLoader,
    clock: IClock,
    *,
    securities: Collection[Security] = (),
    timeframes: Collection[Timeframe] = (),
    time_from: Timestamp | None = None,
    time_till: Timestamp | None = None,
    again: bool = False,
    rate: float | None,
) -> UpdatePlan:
    """Plan what `update_candles` would do, without asking the exchange; `rate`: requests a second, None: any number.

    How dense candles are is judged by the newest that a series holds, else by its calendar, as if it traded all the
    time. Raises what `update_candles` does.
    """
    check_period(time_from, time_till, again=again)
    followed = await followed_states(storage, securities, timeframes)
    now = await clock.now()
    till = min(time_till or now, now)
    async with storage.read() as uow:
        cards = await read_cards(uow, {state.series.security for state in followed})
    wishes = [wish_of(state, cards[state.series.security], time_from, till, again=again) for state in followed]
    missing = by_series((gap.series, gap.period) for gap in await loader.missing(wishes))
    async with storage.read() as uow:
        loads = [await _load(uow, series, missing[series]) for series in sorted(missing, key=_in_order)]
    requests = sum(load.requests for load in loads)
    return UpdatePlan(loads, None if rate is None else timedelta(seconds=requests / rate))


def _in_order(series: Series) -> tuple[str, str, int]:
    return series.security.board, series.security.ticker, list(Timeframe).index(series.timeframe)


async def _load(uow: IUnitOfWork, series: Series, missing: Sequence[Period]) -> PlannedLoad:
    calendar = (await calendars_of(uow, [(series, period) for period in missing]))[series.security]
    density = await _density(uow, series)
    rows = [ceil(_bars(calendar, series.timeframe, gap) * density) for gap in missing]
    return PlannedLoad(series, missing, sum(ceil(count / PAGE_ROWS) + 1 for count in rows), sum(rows))


async def _density(uow: IUnitOfWork, series: Series) -> float:
    """Return which part of the bars that could be there is, of the newest that are covered; 1 where nothing is."""
    newest = uow.candles.filter_by_series(series).filter_by_final(True).newest_first()  # noqa: FBT003  # a column's value
    page = await newest[:_LOOKED_AT].page(series)
    if not page:
        return 1.0
    period = Period(page[0].timestamp, series.timeframe.after(page[-1].timestamp))
    spans = uow.spans.filter_by_series(series).filter_touching(period)
    covered = [part async for span in spans if (part := period_of(span) & period)]
    if not covered:
        return 1.0
    calendar = (await calendars_of(uow, [(series, period)]))[series.security]
    possible = sum(_bars(calendar, series.timeframe, part) for part in covered)
    inside = sum(len(page.between(part.time_from, part.time_till)) for part in covered)
    return min(inside / possible, 1.0) if possible else 1.0


def _bars(calendar: TradingCalendar, timeframe: Timeframe, period: Period) -> float:
    """Return how many bars a period has at most, by the calendar."""
    if timeframe.step is not None:
        return open_minutes(calendar, [period]) / (timeframe.step / timedelta(minutes=1))
    first, last = period.time_from.moscow.date(), (period.time_till - timedelta(microseconds=1)).moscow.date()
    days = sum(calendar.minutes(first + n * _DAY) > 0 for n in range((last - first).days + 1))
    return days / _DAYS_A_BAR[timeframe]
