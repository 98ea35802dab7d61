"""Load what somebody asked for, the newest candles first, so that an answer appears early."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.market_data import IClock, IMarketDataLoader, LoadOutcome
from app.core.spans import Period
from app.core.storage import IStorage
from app.core.updates import UpdatePart
from app.use_cases.get_update import count_rows
from app.use_cases.measure_coverage import calendars_of
from app.use_cases.update_candles import update_candles

_DAYS = {Timeframe.M1: (1, 30, 365), Timeframe.M10: (5, 90), Timeframe.H1: (30,)}
"""How many days are read first, how many then, before the rest: a page or two at the beginning."""

_PIECES = {Timeframe.M1: timedelta(days=30), Timeframe.M10: timedelta(days=300), Timeframe.H1: timedelta(days=1800)}
_LATELY = timedelta(days=1)


async def backfill_series(
    storage: IStorage, loader: IMarketDataLoader, clock: IClock, series: Series, *, only_newest: bool = False
) -> LoadOutcome:
    """Load all that was asked for of a series and is not done, the latest wish first; end with the first failure.

    With `only_newest` the first stage of each wish; a wish with more of them is not done then. What ends meanwhile is
    loaded on the way: the series stays current, however long it takes. One that nobody follows any more is left as it
    is.
    """
    total, tried = LoadOutcome(), set[str]()
    while not total.failures and (found := await _next(storage, series, tried)) is not None:
        part, calendar = found
        tried.add(part.update_id)
        wanted = stages(part, calendar)
        for piece in _pieces(series, wanted[:1] if only_newest else wanted):
            for period in (piece, await _since(part, clock)):
                _add(total, await _load(storage, loader, clock, part, period))
            if total.failures:
                break
        else:
            if not only_newest or len(wanted) == 1:
                await _finish(storage, part, await clock.now())
    return total


async def _load(
    storage: IStorage, loader: IMarketDataLoader, clock: IClock, part: UpdatePart, period: Period
) -> LoadOutcome:
    if not period:
        return LoadOutcome()
    return await update_candles(
        storage,
        loader,
        clock,
        securities=[part.series.security],
        timeframes=[part.series.timeframe],
        time_from=period.time_from,
        time_till=period.time_till,
        again=part.again and bool(period & part.period),
    )


async def _since(part: UpdatePart, clock: IClock) -> Period:
    """Return what of the last day came after what was asked for; empty where that is nothing."""
    now = await clock.now()
    return Period(min(max(part.period.time_till, now - _LATELY), now), now)


def _pieces(series: Series, wanted: Sequence[Period]) -> Iterator[Period]:
    """Cut stages into what takes some tens of requests, newest first."""
    longest = _PIECES.get(series.timeframe)
    for stage in wanted:
        end = stage.time_till
        while longest is not None and stage.time_from < end - longest:
            begin = series.timeframe.floor(end - longest)
            yield Period(begin, end)
            end = begin
        yield Period(stage.time_from, end)


def stages(part: UpdatePart, calendar: TradingCalendar) -> list[Period]:
    """Cut what is to be loaded into parts, newest first: the last day of trading, then longer ones, then the rest."""
    period, cuts = part.period, list[Timestamp]()
    for days in _DAYS.get(part.series.timeframe, ()):
        last = calendar.closed_since(period.time_till).moscow.date()
        cuts.append(Timestamp.midnight(last - timedelta(days=days - 1)))
    inside = [cut for cut in cuts if period.time_from < cut < period.time_till]
    ends = [period.time_till, *inside]
    return [Period(begin, end) for begin, end in zip([*inside, period.time_from], ends, strict=True)]


async def _next(storage: IStorage, series: Series, tried: set[str]) -> tuple[UpdatePart, TradingCalendar] | None:
    async with storage.read() as uow:
        if (await uow.series.get(series)).followed_from is None:
            return None
        parts = [part async for part in uow.update_parts.filter_by_series(series).filter_unfinished()]
        left = [part for part in parts if part.update_id not in tried]
        if not left:
            return None
        part = max(left, key=lambda each: each.asked_at)
        return part, (await calendars_of(uow, [(series, part.period)]))[series.security]


async def _finish(storage: IStorage, part: UpdatePart, now: Timestamp) -> None:
    async with storage.read() as uow:
        rows = await count_rows(uow, part)
    async with storage.begin() as uow:
        kept = uow.update_parts.filter_by_series(part.series).filter_by_update(part.update_id)
        await uow.update_parts.add([replace(each, done_at=now, rows=rows) async for each in kept])


def _add(total: LoadOutcome, outcome: LoadOutcome) -> None:
    counted = ("rows", "revised", "withdrawn", "quarantined", "conflicts")
    for mine, new in ((getattr(total, name), getattr(outcome, name)) for name in counted):
        for series, number in new.items():
            mine[series] = mine.get(series, 0) + number
    total.failures.update(outcome.failures)
    total.splits.extend(outcome.splits)
