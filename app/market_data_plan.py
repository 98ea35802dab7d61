"""What is missing of what is wished for, planned for thousands of series at once; knows only the ports of the core."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, SecurityCard, Series
from app.core.market_data import Wish
from app.core.reconciliation import retry_at
from app.core.spans import Period, gaps, subtract
from app.core.storage import FEW, IUnitOfWork, read_calendar, read_cards

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is missing; the cards of its securities, and the calendars by engine with what was told of its days."""

    missing: Sequence[Wish]
    cards: Mapping[Security, SecurityCard]
    calendars: Mapping[str, TradingCalendar]

    def calendar_of(self, wish: Wish) -> TradingCalendar:
        return self.calendars[self.cards[wish.series.security].engine]


async def plan_load(uow: IUnitOfWork, wishes: Sequence[Wish], now: Timestamp) -> Plan:
    """Plan in a handful of questions, be it for one series or for thousands."""
    missing = await _all_gaps(uow, wishes, now)
    if not missing:
        return Plan([], {}, {})
    cards = await read_cards(uow, {wish.series.security for wish in missing})
    first = min(wish.period.time_from for wish in missing).moscow.date()
    last = max(wish.period.time_till for wish in missing).moscow.date()
    engines = {card.engine for card in cards.values()}
    return Plan(missing, cards, {engine: await read_calendar(uow, engine, first, last) for engine in engines})


def part_of(wish: Wish, period: Period) -> Wish:
    """Wish for a part: only the last one ends where there is coverage, only the first one begins where some ends."""
    is_first, is_last = (getattr(period, end) == getattr(wish.period, end) for end in ("time_from", "time_till"))
    covered_since = wish.covered_since if is_first else None
    return replace(wish, period=period, is_inner=wish.is_inner and is_last, covered_since=covered_since)


async def _all_gaps(uow: IUnitOfWork, wishes: Sequence[Wish], now: Timestamp) -> list[Wish]:
    """Return what is missing of each wish. Of many, all spans are read at once: they are few beside the candles."""
    series = {wish.series for wish in wishes}
    if len(series) <= FEW:
        stored = [(uow.spans.filter_by_series(each), uow.quarantine.filter_by_series(each)) for each in series]
    else:
        stored = [(uow.spans, uow.quarantine)]
    spans_of = by_series([(span.series, period_of(span)) for spans, _ in stored async for span in spans])
    bad_of = by_series([(row.series, row) for _, bad in stored async for row in bad if now < retry_at(row)])
    return [gap for wish in wishes for gap in _gaps(wish, spans_of.get(wish.series, []), bad_of.get(wish.series, []))]


def _gaps(wish: Wish, spans: Sequence[Period], bad: Sequence[QuarantinedRow]) -> list[Wish]:
    """Return what is missing, less the slots of bad rows whose time to be asked again has not come."""
    if wish.again:
        return [replace(wish, is_inner=any(wish.period.time_till in span for span in spans))] if wish.period else []
    missing = gaps(spans, wish.period)
    holes = [Period(row.begin, wish.series.timeframe.after(row.begin)) for row in bad]
    begins = {span.time_from for span in spans}
    covered_since = {span.time_till: span.time_from for span in spans}
    return [
        Wish(wish.series, gap, is_inner=gap.time_till in begins, covered_since=covered_since.get(gap.time_from))
        for gap in subtract(missing, holes)
    ]


def by_series(pairs: Iterable[tuple[Series, Item]]) -> dict[Series, list[Item]]:
    """Put what belongs to each series together, in order."""
    found: dict[Series, list[Item]] = {}
    for series, item in pairs:
        found.setdefault(series, []).append(item)
    return found


def period_of(span: CandleSpan) -> Period:
    """Return what a span covers."""
    return Period(span.time_from, span.time_till)
