"""Candles with the prices of before a split: still in the store, not to be shown until they are read again."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.entities import SeriesState
from app.core.repository import ICandleRepository
from app.core.spans import Period, gaps
from app.core.storage import IUnitOfWork


async def shown_parts(
    uow: IUnitOfWork, state: SeriesState, window: Period, *, newest_first: bool = False
) -> list[tuple[Period, ICandleRepository]]:
    """Cut a window into parts, oldest or newest first, and say among which candles to look for those of each.

    Where a split left its mark those are only the forming ones: their prices are of after it. Almost always it is one
    part, and all candles of the series.
    """
    stale = await stale_periods(uow, state, window)
    candles = uow.candles.filter_by_series(state.series)
    forming = candles.filter_by_final(False)  # noqa: FBT003  # a column's value
    parts = [*((part, candles) for part in gaps(stale, window)), *((part, forming) for part in stale)]
    return sorted(parts, key=lambda part: part[0], reverse=newest_first)


async def stale_periods(uow: IUnitOfWork, state: SeriesState, window: Period) -> Sequence[Period]:
    """Return the parts of a window in which final candles are stale, oldest first."""
    if state.stale_before is None:
        return []
    before = window & Period(window.time_from, state.stale_before)
    if not before:
        return []
    touching = uow.spans.filter_by_series(state.series).filter_touching(before)
    return gaps([Period(span.time_from, span.time_till) async for span in touching], before)


async def freshened(uow: IUnitOfWork, state: SeriesState) -> SeriesState:
    """Return the state without the mark of a split, if no stale candle is left."""
    if state.stale_before is None:
        return state
    final = uow.candles.filter_by_series(state.series).filter_by_final(True)  # noqa: FBT003  # a column's value
    oldest = [candle.timestamp async for candle in final[:1]]
    whole = Period(min(oldest, default=state.stale_before), state.stale_before)
    for period in await stale_periods(uow, state, whole):
        inside = final.filter_by_timestamp_gte(period.time_from).filter_by_timestamp_lt(period.time_till)
        if [candle async for candle in inside[:1]]:
            return state
    return replace(state, stale_before=None)
