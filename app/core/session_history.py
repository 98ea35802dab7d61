"""When the exchange traded and trades, as far as it is known without asking it: from 2011 on, by engine.

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

_SATURDAY = 5
_HOLIDAYS = {(1, 1), (1, 2), (1, 7), (2, 23), (3, 8), (5, 1), (5, 9), (6, 12), (11, 4), (12, 31)}
_WORKING_SATURDAYS = {
    date(2018, 12, 29),
    date(2024, 4, 27),
    date(2024, 11, 2),
    date(2024, 12, 28),
    date(2025, 11, 1),
}
_MORNING = Hours(SessionKind.MORNING, time(6, 50), time(9, 50))
_MAIN = Hours(SessionKind.MAIN, time(9, 50), time(18, 50))
_EVENING = Hours(SessionKind.EVENING, time(19), time(23, 50))
_WEEKEND = Hours(SessionKind.WEEKEND, time(9, 50), time(19))
_DERIVATIVES = Hours(SessionKind.MAIN, time(10), time(18, 45))

_ERAS: dict[str, tuple[tuple[date, tuple[Hours, ...]], ...]] = {
    "stock": (
        (date.min, (Hours(SessionKind.MAIN, time(10), time(18, 45)),)),
        (date(2015, 6, 1), (_MAIN,)),
        (date(2020, 6, 22), (_MAIN, _EVENING)),
        (date(2021, 12, 6), (_MORNING, _MAIN, _EVENING)),
        (date(2022, 2, 28), ()),
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
    """Tell whether an engine trades on this day; None where that cannot be known beforehand."""
    if engine not in _ERAS:
        return None
    if day in _WORKING_SATURDAYS:
        return True
    if day.weekday() >= _SATURDAY or (day.month, day.day) in _HOLIDAYS:
        return None if day >= WEEKENDS_SINCE else False
    return bool(_of_era(engine, day))


def usual_hours(engine: str, day: date) -> Sequence[Hours]:
    """Return the sessions an engine has on such a day, if it trades on it."""
    if day >= WEEKENDS_SINCE and day.weekday() >= _SATURDAY and day not in _WORKING_SATURDAYS:
        return (_WEEKEND,)
    return _of_era(engine, day) if engine in _ERAS else _ALL_DAY


def _of_era(engine: str, day: date) -> Sequence[Hours]:
    eras = _ERAS[engine]
    return eras[bisect_right(eras, day, key=lambda era: era[0]) - 1][1]
