"""How what is missing is cut into windows: so that many are read at once, each worth a transaction. Pure."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.core.market_data import Wish
from app.core.spans import Period

FEWEST_BARS, MOST_BARS = 5_000, 20_000
"""How many bars a window can have: ten to forty pages, of one transaction. Windows are read concurrently."""

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)
_OPEN_SHARE = 0.5  # of all time, roughly
_TURNS = 2  # windows a lane, so that none waits long for the last


def window_bars(missing: Iterable[Wish], lanes: int) -> int:
    """Return how many bars a window should have: few enough that all lanes have some, else enough for a transaction."""
    steps = sum(
        (wish.period.time_till - wish.period.time_from) / (wish.series.timeframe.step or _YEAR) for wish in missing
    )
    return min(max(int(steps * _OPEN_SHARE / lanes / _TURNS), FEWEST_BARS), MOST_BARS)


def first_bars(bars: int, lanes: int) -> list[int]:
    """Return how many bars the first window of each lane should have: rising, so that lanes do not end together.

    The more there is to do the smaller the least: all lanes are asked in turn, so until it ends nobody writes.
    """
    least = FEWEST_BARS * FEWEST_BARS // bars
    return [max(bars * lane // lanes, least) for lane in range(1, lanes + 1)]


def cut(
    period: Period,
    timeframe: Timeframe,
    settled: Timestamp,
    calendar: TradingCalendar,
    bars: int = FEWEST_BARS,
    *,
    first: int | None = None,
) -> Iterator[Period]:
    """Cut a period into windows of some days each, at midnights, of at least so many bars; the first one of `first`.

    Never where silence is not believed yet, so that cutting does not change coverage. As lazy as can be: of many
    series the days of many years would take the event loop seconds.
    """
    begin, minutes, least = period.time_from, 0, first or bars
    if timeframe.step is not None:
        for day, midnight in _days(begin, min(period.time_till, settled)):
            minutes += calendar.minutes(day)
            if minutes * _MINUTE >= least * timeframe.step:
                yield Period(begin, midnight)
                begin, minutes, least = midnight, 0, bars
    yield Period(begin, period.time_till)


def _days(begin: Timestamp, end: Timestamp) -> Iterator[tuple[date, Timestamp]]:
    """Count the days that end between two moments, each with the midnight behind it."""
    day = begin.moscow.date()
    while (midnight := Timestamp.midnight(day + _DAY)) < end:
        yield day, midnight
        day += _DAY
