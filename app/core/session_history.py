"""When the exchange traded and trades, as far as it is known without asking it: from 2012 on, by engine.

Hours are those in which candles were seen, or news gave, on the Moscow wall clock. Mornings of futures and pairs moved
often: there the widest hours stand. Where nothing is known, as of holidays and weekends since weekend sessions began,
this says so: only the exchange's own calendar can tell.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum


class SessionKind(StrEnum):
    """The parts of a trading day."""

    MORNING = "morning"
    MAIN = "main"
    EVENING = "evening"
    WEEKEND = "weekend"


@dataclass(frozen=True, slots=True)
class Hours:
    """One session: half-open `[opens, closes)` on the Moscow wall clock."""

    kind: SessionKind
    opens: time
    closes: time

    @property
    def minutes(self) -> int:
        """How long it lasts."""
        return 60 * (self.closes.hour - self.opens.hour) + self.closes.minute - self.opens.minute


WEEKENDS_SINCE = date(2025, 3, 1)
"""Since then there may be sessions on Saturdays, Sundays and holidays, but not on all."""

WEEKEND_SESSION = Hours(SessionKind.WEEKEND, time(9, 50), time(19))
"""The one session of such a day."""

_KNOWN_SINCE = date(2012, 1, 1)
"""Before it, days off are not certain."""

_SATURDAY = 5
_HOLIDAYS = {(1, 1), (1, 2), (1, 7), (2, 23), (3, 8), (5, 1), (5, 9), (6, 12), (11, 4), (12, 31)}
_WORKING_SATURDAYS = {
    date(2018, 4, 28),
    date(2018, 6, 9),
    date(2018, 12, 29),
    date(2024, 4, 27),
    date(2024, 11, 2),
    date(2024, 12, 28),
    date(2025, 11, 1),
}
_PERHAPS_WORKING = {
    date(2012, 3, 11),
    date(2012, 4, 28),
    date(2012, 5, 5),
    date(2012, 5, 12),
    date(2012, 6, 9),
    date(2016, 2, 20),
    date(2021, 2, 20),
    date(2022, 3, 5),
}
"""Working days of the country; whether the exchange took part is not known."""

_BONDS_ALONE = (date(2022, 3, 21), date(2022, 3, 23))
"""Federal bonds were traded again three days before shares."""

_MORNING = Hours(SessionKind.MORNING, time(6, 50), time(9, 50))
_MAIN = Hours(SessionKind.MAIN, time(9, 50), time(18, 50))
_EVENING = Hours(SessionKind.EVENING, time(19), time(23, 50))
_DERIVATIVES = Hours(SessionKind.MAIN, time(10), time(18, 45))

_ERAS: dict[str, tuple[tuple[date, tuple[Hours, ...]], ...]] = {
    "stock": (
        (date.min, (Hours(SessionKind.MAIN, time(10), time(18, 45)),)),
        (date(2015, 6, 1), (_MAIN,)),
        (date(2020, 6, 22), (_MAIN, _EVENING)),
        (date(2021, 12, 6), (_MORNING, _MAIN, _EVENING)),
        (date(2022, 2, 28), ()),
        (date(2022, 3, 21), (_MAIN,)),
        (date(2022, 3, 24), (Hours(SessionKind.MAIN, time(9, 50), time(14)),)),
        (date(2022, 3, 31), (_MAIN,)),
        (date(2022, 9, 12), (_MAIN, _EVENING)),
        (date(2025, 1, 27), (_MORNING, _MAIN, _EVENING)),
    ),
    "futures": (
        (date.min, (_DERIVATIVES, _EVENING)),
        (date(2021, 3, 1), (Hours(SessionKind.MAIN, time(6, 50), time(18, 45)), _EVENING)),
        (date(2026, 3, 23), (Hours(SessionKind.MAIN, time(8, 50), time(18, 45)), _EVENING)),
        (date(2026, 7, 14), (Hours(SessionKind.MAIN, time(6, 50), time(18, 45)), _EVENING)),
    ),
    "currency": (
        (date.min, (Hours(SessionKind.MAIN, time(10), time(23, 50)),)),
        (date(2021, 3, 1), (Hours(SessionKind.MAIN, time(6, 50), time(23, 50)),)),
    ),
}
_ALL_DAY = (Hours(SessionKind.MAIN, time(), time(23, 59)),)
"""Of an engine that nothing is known of."""


def usually_traded(engine: str, day: date) -> bool | None:
    """Tell whether an engine trades on this day; None where that cannot be known beforehand, or differs by market."""
    if engine not in _ERAS:
        return None
    if day in _WORKING_SATURDAYS:
        return True
    if not usual_hours(engine, day):
        return False
    if day.weekday() >= _SATURDAY or is_holiday(day):
        return None if _may_trade_on_day_off(engine, day) else False
    return None if engine == "stock" and _BONDS_ALONE[0] <= day <= _BONDS_ALONE[1] else True


def is_holiday(day: date) -> bool:
    """Tell whether the exchange keeps this day of the year as a holiday, though since 2025 there may be a session."""
    return (day.month, day.day) in _HOLIDAYS


def usual_hours(engine: str, day: date) -> Sequence[Hours]:
    """Return the sessions an engine has on a full day of that time."""
    if engine not in _ERAS:
        return _ALL_DAY
    eras = _ERAS[engine]
    return eras[bisect_right(eras, day, key=lambda era: era[0]) - 1][1]


def _may_trade_on_day_off(engine: str, day: date) -> bool:
    is_known = _KNOWN_SINCE <= day < WEEKENDS_SINCE and day not in _PERHAPS_WORKING
    is_last_of_year = (day.month, day.day) == (12, 31)  # pairs are said to have been traded then
    return not is_known or (engine == "currency" and is_last_of_year)
