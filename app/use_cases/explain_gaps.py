"""Say why something is not covered. Computed on reading from what is known, never stored in the spans (I2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from app.core.batches import SETTLE, SILENCE
from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import SecurityCard, SeriesState, Timeframe
from app.core.spans import Period, gaps, merge, subtract
from app.core.storage import Circumstances, IUnitOfWork, read_circumstances

_BEGINNING, _END = Timestamp.midnight(date(1990, 1, 1)), Timestamp.midnight(date(9999, 1, 1))


class GapReason(StrEnum):
    """Why a period is not covered."""

    NOT_LOADED = "not_loaded"
    CLOSED = "closed"
    NO_TRADES = "no_trades"
    BEFORE_LISTING = "before_listing"
    SOURCE_ERROR = "source_error"
    IN_PROGRESS = "in_progress"


@dataclass(frozen=True, slots=True)
class Gap:
    """A half-open period that is not covered, and why.

    `is_empty`: nothing is missing there. The exchange has no candles before the first one nor after the last day, and
    closed time right behind what is covered needs no answer of its own.
    """

    period: Period
    reason: GapReason
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """Periods, in any order, of which nothing can be covered, and why."""

    reason: GapReason
    periods: Sequence[Period]
    is_empty: bool = False


async def coverage_gaps(uow: IUnitOfWork, state: SeriesState, period: Period) -> list[Gap]:
    """Return the parts of a period that are not covered, oldest first, each with its reason."""
    touching = uow.spans.filter_by_series(state.series).filter_touching(period)
    missing = gaps([Period(span.time_from, span.time_till) async for span in touching], period)
    if not missing:
        return []
    return explained(state, missing, await read_circumstances(uow, state.series, missing))


def explained(state: SeriesState, missing: Sequence[Period], found: Circumstances) -> list[Gap]:
    """Say why each of these periods is missing: at least one, in normal form."""
    calendar = TradingCalendar.of(found.card.engine, found.days)
    outside = list(_outside(state, found.card))
    asked = [*_asked(state), _refused(state, found.refused), *_unsettled(state, missing[-1], found)]
    return [gap for part in missing for gap in _explained(part, [*outside, _closed(part, state, calendar), *asked])]


def widened(missing: Sequence[Gap], timeframe: Timeframe) -> list[Gap]:
    """Widen gaps to whole bars, in normal form; a bar in which two gaps meet counts to the later one.

    But one in which something is missing counts to that.
    """
    found: list[Gap] = []
    for gap in missing:
        period = Period(timeframe.floor(gap.period.time_from), timeframe.ceil(gap.period.time_till))
        if gap.is_empty and found and not found[-1].is_empty:
            period = Period(max(period.time_from, found[-1].period.time_till), period.time_till)
            if not period:
                continue
        while found and found[-1].period.time_till > period.time_from:
            last = found.pop()
            if rest := Period(last.period.time_from, period.time_from):
                found.append(replace(last, period=rest))
        adjoins = found and found[-1].period.time_till == period.time_from
        if adjoins and replace(gap, period=found[-1].period) == found[-1]:
            period = Period(found.pop().period.time_from, period.time_till)
        found.append(replace(gap, period=period))
    return found


def _outside(state: SeriesState, card: SecurityCard) -> Iterator[_Known]:
    """Tell where the exchange has no candles of the security at all."""
    if state.first_candle:
        yield _Known(GapReason.BEFORE_LISTING, [Period(_BEGINNING, state.first_candle)], is_empty=True)
    if card.end:
        yield _Known(GapReason.CLOSED, [Period(card.end, _END)], is_empty=True)


def _closed(gap: Period, state: SeriesState, calendar: TradingCalendar) -> _Known:
    """Tell with what closed time a gap begins and ends; the nights in between would only split it."""
    timeframe = state.series.timeframe
    opens = timeframe.floor(calendar.closed_until(gap.time_from))
    closes = timeframe.ceil(calendar.closed_since(gap.time_till))
    is_recent = state.watermark is not None and gap.time_from >= state.watermark - SETTLE
    return _Known(GapReason.CLOSED, [Period(gap.time_from, opens), Period(closes, gap.time_till)], is_empty=is_recent)


def _asked(state: SeriesState) -> Iterator[_Known]:
    """Tell what came of asking: all is read again since a split, it failed the last time, the answer went so far."""
    if state.stale_before and state.followed_from:
        yield _Known(GapReason.IN_PROGRESS, [Period(state.followed_from, state.stale_before)])
    if state.failed_at:
        yield _Known(GapReason.SOURCE_ERROR, [Period(_BEGINNING, state.failed_at)])
    if state.watermark:
        yield _Known(GapReason.IN_PROGRESS, [Period(state.watermark, _END)])


def _refused(state: SeriesState, begins: Sequence[Timestamp]) -> _Known:
    """Tell the slots whose rows failed their checks."""
    slots = [Period(begin, state.series.timeframe.after(begin)) for begin in begins]
    return _Known(GapReason.SOURCE_ERROR, slots)


def _unsettled(state: SeriesState, last: Period, found: Circumstances) -> Sequence[_Known]:
    """Tell of the end of what was answered: its newest bar still forms, and behind it nothing came yet."""
    watermark = state.watermark
    if watermark is None or last.time_from < state.series.timeframe.floor(watermark - SETTLE - SILENCE):
        return []
    if found.goes_on:
        return []
    formed = last.time_from if found.newest is None else state.series.timeframe.after(found.newest)
    return [
        _Known(GapReason.IN_PROGRESS, [Period(last.time_from, formed)]),
        _Known(GapReason.NO_TRADES, [Period(formed, watermark)]),
    ]


def _explained(gap: Period, known: Sequence[_Known]) -> list[Gap]:
    """Cut a gap by reason: what is known first wins, and the rest was not loaded yet."""
    rest, found = [gap], []
    for each in known:
        parts = [part for period in merge(each.periods) for left in rest if (part := left & period)]
        found += [Gap(part, each.reason, each.is_empty) for part in parts]
        rest = subtract(rest, parts)
    found += [Gap(part, GapReason.NOT_LOADED) for part in rest]
    return sorted(found, key=lambda each: each.period)
