"""What somebody would ask who knows the exchange's hours and its tape: the measure of what the service asks.

Made of the simulator alone, of its calendar and of what it trades; nothing of the service's own plan goes in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache
from itertools import pairwise
from math import ceil

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.spans import Period
from app.simulator.listings import BOARDS, Engine
from app.simulator.server import Simulator
from app.tests.week.script import STEP, hours

PAGE_ROWS = 500
LATE = timedelta(minutes=15, seconds=60)
"""A bar is final so long after its end: the exchange's delay, and the margin of the service."""

_NIGHT = time(4)
_A_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Ideal:
    """So many requests: one per series and step at which it is due, the pages of what was missed, and of each night."""

    steps: int = 0
    windows: int = 0
    nights: int = 0

    @property
    def total(self) -> int:
        return self.steps + self.windows + self.nights

    def __add__(self, other: "Ideal") -> "Ideal":
        return Ideal(self.steps + other.steps, self.windows + other.windows, self.nights + other.nights)


def ideal_of(simulator: Simulator, series: Series, since: Timestamp, steps: Sequence[Timestamp], down: Period) -> Ideal:
    """Count what it takes at these steps when everything since a moment is followed, and nobody answers in a period.

    In vain a series is asked for once a step at which it is due; what was missed then is a window, as are the days in
    which nobody asked.
    """
    ideal, seen = Ideal(), since
    for before, now in pairwise([since, *steps]):
        if now in down:
            ideal += Ideal(steps=is_due(series, before, now))
            continue
        if is_due(series, seen, now):
            is_window = now - seen > STEP
            pages = ceil(_rows(simulator, series, seen, now) / PAGE_ROWS)
            ideal += Ideal(windows=pages + 1) if is_window else Ideal(steps=1)
        if seen != since and has_night(seen, now):
            ideal += Ideal(nights=ceil(_compared(simulator, series, since, now) / PAGE_ROWS))
        seen = now
    return ideal


def is_due(series: Series, before: Timestamp, now: Timestamp) -> bool:
    """Tell whether a bar in which the exchange traded has become final in `(before, now]`."""
    timeframe, engine = series.timeframe, engine_of(series)
    end = timeframe.floor(now - LATE)
    while end > before - LATE:
        begin = timeframe.floor(end - _INSTANT)
        if _traded(engine, begin, end):
            return True
        end = begin
    return False


def has_night(before: Timestamp, now: Timestamp) -> bool:
    """Tell whether a night, from four o'clock in Moscow on, has begun in `(before, now]`."""
    night = Timestamp.from_moscow(datetime.combine(now.moscow.date(), _NIGHT))
    return before < (night if night <= now else night - _A_DAY)


def engine_of(series: Series) -> Engine:
    """Return where a series is traded."""
    return BOARDS[series.security.board].market.engine


@cache
def _traded(engine: Engine, begin: Timestamp, end: Timestamp) -> bool:
    days = (end - begin).days + 1
    periods = (hours(engine, begin.moscow.date() + n * _A_DAY) for n in range(days + 1))
    return any(period & Period(begin, end) for period in periods if period is not None)


def _rows(simulator: Simulator, series: Series, before: Timestamp, now: Timestamp) -> int:
    """Return how many bars have become final in `(before, now]`."""
    ends = (series.timeframe.floor(moment - LATE) for moment in (before, now))
    return len(simulator.truth(series, Period(*ends)))


def _compared(simulator: Simulator, series: Series, since: Timestamp, now: Timestamp) -> int:
    """Return how many bars the last two days have that have any and are followed."""
    midnight = Timestamp.midnight(now.moscow.date())
    found: list[int] = []
    while len(found) < 2 and midnight > since - _A_DAY:  # two days
        period = Period(max(midnight, since), min(midnight + _A_DAY, now - LATE))
        found += [len(page)] if period and (page := simulator.truth(series, period)) else []
        midnight -= _A_DAY
    return sum(found)
