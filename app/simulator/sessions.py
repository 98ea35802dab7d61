"""When the generated market trades, on the Moscow wall clock. Minutes count from midnight."""

from datetime import date, timedelta
from functools import lru_cache

from app.simulator.listings import FUTURES, SELT, Engine, Market

HOLIDAYS = {(1, 1), (1, 2), (1, 7), (2, 23), (3, 8), (5, 1), (5, 9), (6, 12), (11, 4), (12, 31)}
WORKING_SATURDAYS = {date(2024, 4, 27), date(2024, 11, 2), date(2024, 12, 28), date(2025, 11, 1)}
_SATURDAY = 5
_EVENINGS_FROM = date(2020, 6, 22)
_STOCK_CLOSED = (date(2022, 2, 28), date(2022, 3, 23))
_STOCK_NO_EVENINGS = (date(2022, 2, 28), date(2022, 9, 11))
_STOCK_SHORT_DAYS = (date(2022, 3, 24), date(2022, 3, 30))


def _minutes(*sessions: tuple[int, int]) -> tuple[int, ...]:
    return tuple(minute for opens, closes in sessions for minute in range(opens, closes))


_MAIN, _EVENING = (10 * 60, 18 * 60 + 40), (19 * 60 + 5, 23 * 60 + 50)
_STOCK_DAY, _STOCK_LONG_DAY = _minutes(_MAIN), _minutes(_MAIN, _EVENING)
_STOCK_SHORT_DAY = _minutes((10 * 60, 14 * 60))
_PAIRS_DAY = _minutes((10 * 60, 19 * 60))
_FUTURES_DAY = _minutes((10 * 60, 14 * 60), (14 * 60 + 5, 18 * 60 + 45), _EVENING)


@lru_cache(maxsize=65_536)
def minutes(market: Market, day: date) -> tuple[int, ...]:
    """Return every minute of the day in which the market may trade; none on a day it is closed."""
    if not is_open(market.engine, day):
        return ()
    if market.engine is FUTURES:
        return _FUTURES_DAY
    if market is SELT:
        return _PAIRS_DAY
    if _within(day, _STOCK_SHORT_DAYS):
        return _STOCK_SHORT_DAY
    has_evening = day >= _EVENINGS_FROM and not _within(day, _STOCK_NO_EVENINGS) and day.weekday() < _SATURDAY
    return _STOCK_LONG_DAY if has_evening else _STOCK_DAY


def is_open(engine: Engine, day: date) -> bool:
    """Tell whether the engine works on this day."""
    if day.weekday() >= _SATURDAY:
        return day in WORKING_SATURDAYS
    return (day.month, day.day) not in HOLIDAYS and not (engine.name == "stock" and _within(day, _STOCK_CLOSED))


def exceptions(engine: Engine, first: date, last: date) -> list[tuple[date, bool]]:
    """Return the days in `[first, last]` that differ from their day of the week, and whether they are working days."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [(day, is_open(engine, day)) for day in days if is_open(engine, day) != (day.weekday() < _SATURDAY)]


def _within(day: date, period: tuple[date, date]) -> bool:
    return period[0] <= day <= period[1]
