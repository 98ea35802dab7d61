"""How what is missing is cut into windows: so that many are read at once, each worth a transaction. Pure."""

from collections.abc import Callable, Iterable, Iterator
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
_SHARE = 1.5  # of what each lane has left: the last windows are no larger, so that lanes end together
_LEFT_OVER = 0.5  # of a window: less is not worth one of its own


class Sizes:
    """How many bars the next window should have, by what is left to do.

    Few enough that all lanes have some, else enough for a transaction. The first ones rise, so that writing begins
    early; the last ones fall to what each lane's share is, so that none works long while others have nothing left.
    """

    def __init__(self, missing: Iterable[Wish], lanes: int) -> None:
        """Take what is missing of all series, and by how many it is read at once."""
        self._left = sum(bars_of(wish.period, wish.series.timeframe) for wish in missing)
        self._lanes = lanes
        self._most = min(max(int(self._left / lanes / _TURNS), FEWEST_BARS), MOST_BARS)
        self._firsts = iter(first_bars(self._most, lanes))

    def next(self) -> int:
        """Return the size of the next window."""
        return next(self._firsts, None) or min(max(int(self._left / self._lanes * _SHARE), FEWEST_BARS), self._most)

    def took(self, period: Period, timeframe: Timeframe) -> None:
        """Note what became a window."""
        self._left -= bars_of(period, timeframe)


def bars_of(period: Period, timeframe: Timeframe) -> float:
    """Return how many bars a period can have, roughly."""
    return (period.time_till - period.time_from) / (timeframe.step or _YEAR) * _OPEN_SHARE


def first_bars(bars: int, lanes: int) -> list[int]:
    """Return how many bars the first window of each lane should have: rising to so many, from fewer where that is more.

    All lanes are asked in turn, so until the smallest of them ends nobody writes.
    """
    least = FEWEST_BARS * FEWEST_BARS // bars
    return [max(bars * lane // lanes, least) for lane in range(1, lanes + 1)]


def cut(
    period: Period, timeframe: Timeframe, settled: Timestamp, calendar: TradingCalendar, size: Callable[[], int]
) -> Iterator[Period]:
    """Cut a period into windows of some days each, at midnights, each of at least so many bars as `size` says then.

    Never where silence is not believed yet, so that cutting does not change coverage. As lazy as can be: of many
    series the days of many years would take the event loop seconds.
    """
    begin, minutes, least = period.time_from, 0, size()
    if timeframe.step is not None:
        for day, midnight in _days(begin, min(period.time_till, settled)):
            minutes += calendar.minutes(day)
            is_enough = minutes * _MINUTE >= least * timeframe.step
            if is_enough and bars_of(Period(midnight, period.time_till), timeframe) > _LEFT_OVER * least:
                yield Period(begin, midnight)
                begin, minutes, least = midnight, 0, size()
    yield Period(begin, period.time_till)


def _days(begin: Timestamp, end: Timestamp) -> Iterator[tuple[date, Timestamp]]:
    """Count the days that end between two moments, each with the midnight behind it."""
    day = begin.moscow.date()
    while (midnight := Timestamp.midnight(day + _DAY)) < end:
        yield day, midnight
        day += _DAY
