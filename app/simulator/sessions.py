"""When the generated market trades, on the Moscow wall clock. Minutes count from midnight.

The history of the real sessions, with some liberties: the main session of shares is 10:00-18:40, its mornings are
06:50-09:50 and its evenings 19:05-23:50; two weekends in three have sessions, 09:50-19:00. Weekends, and the mornings
of 2021 and 2022, are for securities with long hours alone. A working Saturday is a day like others, since the mornings
of 2025 with all its sessions, before without the evening.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import count

from app.simulator.listings import FUTURES, SELT, SHARES, STOCK, Engine, Market

HOLIDAYS = {(1, 1), (1, 2), (1, 7), (2, 23), (3, 8), (5, 1), (5, 9), (6, 12), (11, 4), (12, 31)}
WORKING_SATURDAYS = {date(2024, 4, 27), date(2024, 11, 2), date(2024, 12, 28), date(2025, 11, 1)}
MORNINGS_FROM = date(2025, 1, 27)
WEEKENDS_FROM = date(2025, 3, 1)
HOLIDAY, WEEKEND, NORMAL, TRANSFERRED = "HWNT"
"""Why a day is worked or not, as ISS writes it. A normal Saturday or Sunday is a day off."""

_SATURDAY = 5
_TRADED_OF_THREE = (0, 1)
_EVENINGS_FROM = date(2020, 6, 22)
_OLD_MORNINGS = (date(2021, 12, 6), date(2022, 2, 25))
_STOCK_CLOSED = (date(2022, 2, 28), date(2022, 3, 23))
_STOCK_NO_EVENINGS = (date(2022, 2, 28), date(2022, 9, 11))
_STOCK_SHORT_DAYS = (date(2022, 3, 24), date(2022, 3, 30))
_OPENINGS = {
    STOCK: ((MORNINGS_FROM, "06:50:00"),),
    FUTURES: ((date(2026, 3, 23), "08:50:00"), (date(2026, 7, 14), "06:50:00")),
}


@dataclass(frozen=True, slots=True)
class Hours:
    """What a calendar says of a day: whether it is worked, and the hours, which a day off has too."""

    is_open: bool
    opens: str
    closes: str


_WEEKEND_HOURS = Hours(is_open=True, opens="09:50:00", closes="19:00:00")


def _minutes(*sessions: tuple[int, int]) -> tuple[int, ...]:
    return tuple(minute for opens, closes in sessions for minute in range(opens, closes))


_MORNING, _MAIN, _EVENING = (6 * 60 + 50, 9 * 60 + 50), (10 * 60, 18 * 60 + 40), (19 * 60 + 5, 23 * 60 + 50)
_STOCK_DAYS = {
    (has_morning, has_evening): _minutes(*[_MORNING] * has_morning, _MAIN, *[_EVENING] * has_evening)
    for has_morning in (False, True)
    for has_evening in (False, True)
}
_STOCK_SHORT_DAY = _minutes((10 * 60, 14 * 60))
_STOCK_WEEKEND = _minutes((9 * 60 + 50, 19 * 60))
_PAIRS_DAY = _minutes((10 * 60, 19 * 60))
_FUTURES_DAYS = (
    (date(2026, 7, 14), _minutes((6 * 60 + 50, 18 * 60 + 45), _EVENING)),
    (date(2026, 3, 23), _minutes((8 * 60 + 50, 18 * 60 + 45), _EVENING)),
    (date.min, _minutes((10 * 60, 14 * 60), (14 * 60 + 5, 18 * 60 + 45), _EVENING)),
)


@lru_cache(maxsize=65_536)
def minutes(market: Market, day: date, *, long_hours: bool = False) -> tuple[int, ...]:
    """Return every minute of the day in which a security of the market may trade; none on a day it is closed."""
    why = reason(market.engine, day)
    if not _is_worked(why, day) or (why == WEEKEND and not long_hours):
        return ()
    if market.engine is FUTURES:
        return next(session for since, session in _FUTURES_DAYS if since <= day)
    if market is SELT:
        return _PAIRS_DAY
    if why == WEEKEND:
        return _STOCK_WEEKEND
    if _within(day, _STOCK_SHORT_DAYS):
        return _STOCK_SHORT_DAY
    return _STOCK_DAYS[_has_morning(market, day, long_hours=long_hours), _has_evening(day)]


def _has_morning(market: Market, day: date, *, long_hours: bool) -> bool:
    return (market is SHARES and day >= MORNINGS_FROM) or (long_hours and _within(day, _OLD_MORNINGS))


def _has_evening(day: date) -> bool:
    has_any = day >= _EVENINGS_FROM and not _within(day, _STOCK_NO_EVENINGS)
    return has_any and (day.weekday() < _SATURDAY or day >= MORNINGS_FROM)


def reason(engine: Engine, day: date, today: date = date.max) -> str:
    """Tell why the engine works on this day or not, as far as it was announced on another day."""
    if day.weekday() >= _SATURDAY:
        if day in WORKING_SATURDAYS:
            return TRANSFERRED
        return WEEKEND if _has_weekend_session(engine, day) and today >= WEEKENDS_FROM else NORMAL
    is_closed = (day.month, day.day) in HOLIDAYS or (engine is STOCK and _within(day, _STOCK_CLOSED))
    return HOLIDAY if is_closed else NORMAL


def _has_weekend_session(engine: Engine, day: date) -> bool:
    """Let shares trade on two weekends in three, the first one and that of 2026-01-18 among them."""
    week = (day.toordinal() - 1) // 7
    is_chosen = week % 3 in _TRADED_OF_THREE
    return engine is STOCK and day >= WEEKENDS_FROM and is_chosen and (day.month, day.day) not in HOLIDAYS


def _is_worked(why: str, day: date) -> bool:
    return why in {WEEKEND, TRANSFERRED} or (why == NORMAL and day.weekday() < _SATURDAY)


def is_open(engine: Engine, day: date, today: date = date.max) -> bool:
    """Tell whether the engine works on this day, as far as it was announced on another day."""
    return _is_worked(reason(engine, day, today), day)


def session_date(engine: Engine, day: date) -> date:
    """Return the working day to which the weekend session of a day belongs."""
    later = (day + timedelta(days=n) for n in count(1))
    return next(each for each in later if is_open(engine, each) and reason(engine, each) != WEEKEND)


def usual_hours(engine: Engine, weekday: int, today: date) -> Hours:
    """Return what the timetable of a day says of a day of the week, from Monday, 0, to Sunday, 6."""
    if weekday < _SATURDAY:
        return Hours(is_open=True, opens=_opening(engine, today), closes=engine.closes)
    if engine is STOCK and today >= WEEKENDS_FROM:
        return _WEEKEND_HOURS
    return Hours(is_open=False, opens=_opening(engine, today), closes=engine.closes)


@lru_cache(maxsize=64)
def exceptions(engine: Engine, first: date, last: date, today: date) -> tuple[tuple[date, Hours], ...]:
    """Return the days in `[first, last]` that differ from the timetable of their time, as was known on a day."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    found = ((day, _hours(engine, day, today), min(day, today)) for day in days)
    return tuple((day, hours) for day, hours, then in found if hours != usual_hours(engine, day.weekday(), then))


def _hours(engine: Engine, day: date, today: date) -> Hours:
    why = reason(engine, day, today)
    if why == WEEKEND:
        return _WEEKEND_HOURS
    return Hours(_is_worked(why, day), _opening(engine, min(day, today)), engine.closes)


def _opening(engine: Engine, day: date) -> str:
    return next((opens for since, opens in reversed(_OPENINGS.get(engine, ())) if since <= day), engine.opens)


def _within(day: date, period: tuple[date, date]) -> bool:
    return period[0] <= day <= period[1]
