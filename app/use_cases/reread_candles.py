"""Read once more, each night, what may have been corrected since it was stored."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, SeriesState, Timeframe
from app.core.errors import SeriesNotFoundError
from app.core.market_data import IClock, IMarketDataLoader, LoadOutcome, Wish
from app.core.repository import ICandleRepository
from app.core.schedule import last_night
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.record_splits import record_rescaled
from app.use_cases.update_candles import followed_states

TRADING_DAYS = 2
"""Moscow days that hold stored candles: corrections come within a session or two."""


async def reread_candles(
    storage: IStorage,
    loader: IMarketDataLoader,
    clock: IClock,
    *,
    securities: Collection[Security] = (),
    timeframes: Collection[Timeframe] = (),
) -> LoadOutcome:
    """Read the last trading days of followed series again although they are covered, once a night.

    Nothing is asked of a series that was read again since this night began. The mark is set when the answer has been
    compared: a crash on the way, or an exchange that says nothing, means once more. Raises as `update_candles`.
    """
    now = await clock.now()
    due = [state for state in await followed_states(storage, securities, timeframes) if _is_due(state, now)]
    async with storage.read() as uow:
        periods = {state.series: await _last_days(uow, state) for state in due}
    wishes = [Wish(series, period, again=True) for series, period in periods.items() if period]
    outcome = await loader.load(wishes)
    outcome.splits.extend(await record_rescaled(storage, outcome))
    empty = {series for series, period in periods.items() if not period}
    await _mark(storage, (outcome.compared | empty) - outcome.failures.keys(), now)
    return outcome


def _is_due(state: SeriesState, now: Timestamp) -> bool:
    return state.reread_at is None or state.reread_at < last_night(now)


async def _last_days(uow: IUnitOfWork, state: SeriesState) -> Period | None:
    """Return the last trading days, as far as they are covered; None if no final candle is stored.

    Silence behind them is no part of it: updates read on from the last candles anyway, and a halt may last for years.
    """
    series = state.series
    final = uow.candles.filter_by_series(series).filter_by_final(True)  # noqa: FBT003  # a column's value
    newest = await _newest(final, series)
    spans = [span async for span in uow.spans.filter_by_series(series)]
    if newest is None or not spans:
        return None
    begin = _midnight(newest)
    for _ in range(TRADING_DAYS - 1):
        before = await _newest(final.filter_by_timestamp_lt(begin), series)
        begin = begin if before is None else _midnight(before)
    end = max(_midnight(newest, days=1), series.timeframe.after(newest))
    return Period(max(begin, state.followed_from or begin), min(end, spans[-1].time_till))


async def _newest(candles: ICandleRepository, series: Series) -> Timestamp | None:
    newest = await candles.newest_first()[:1].page(series)
    return newest[0].timestamp if newest else None


def _midnight(moment: Timestamp, *, days: int = 0) -> Timestamp:
    """Return the Moscow midnight before a moment, or so many days after that one."""
    return Timestamp.midnight(moment.moscow.date() + timedelta(days=days))


async def _mark(storage: IStorage, done: Collection[Series], now: Timestamp) -> None:
    for series in sorted(done):
        async with storage.begin() as uow:
            try:
                state = await uow.series.lock(series)
            except SeriesNotFoundError:  # removed meanwhile
                continue
            await uow.series.add([replace(state, reread_at=now)])
