"""How much of a period is covered, in minutes in which the exchange can have traded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.core.calendar import TradingCalendar
from app.core.entities import Security, Series
from app.core.spans import Period
from app.core.storage import FEW, IUnitOfWork, read_calendar, read_cards
from app.core.updates import open_minutes
from app.market_data_plan import by_series, period_of


@dataclass(frozen=True, slots=True)
class Measured:
    """Open minutes of a period, and how many of them are covered."""

    requested: int
    covered: int


async def measure_coverage(uow: IUnitOfWork, wanted: Sequence[tuple[Series, Period]]) -> list[Measured]:
    """Measure each of these periods of stored series, in a handful of questions however many they are."""
    if not wanted:
        return []
    series = {each for each, _ in wanted}
    stored = [uow.spans.filter_by_series(each) for each in series] if len(series) <= FEW else [uow.spans]
    spans_of = by_series([(span.series, period_of(span)) for spans in stored async for span in spans])
    calendars = await calendars_of(uow, wanted)
    return [_measured(calendars[each.security], period, spans_of.get(each, [])) for each, period in wanted]


async def calendars_of(uow: IUnitOfWork, wanted: Sequence[tuple[Series, Period]]) -> Mapping[Security, TradingCalendar]:
    """Return the calendar by which each of these securities trades, with what was told of these periods."""
    cards = await read_cards(uow, {series.security for series, _ in wanted})
    first = min(period.time_from for _, period in wanted).moscow.date()
    last = max(period.time_till for _, period in wanted).moscow.date()
    engines = {card.engine for card in cards.values()}
    calendars = {engine: await read_calendar(uow, engine, first, last) for engine in engines}
    return {security: calendars[card.engine] for security, card in cards.items()}


def _measured(calendar: TradingCalendar, period: Period, spans: Sequence[Period]) -> Measured:
    return Measured(open_minutes(calendar, [period]), open_minutes(calendar, [span & period for span in spans]))
