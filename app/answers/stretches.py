"""Stretches of the calendar that a block holds: Moscow days of intraday bars, years of longer ones."""

from datetime import date, timedelta
from functools import lru_cache

from app.core.date_time import MOSCOW, Timestamp
from app.core.entities import Timeframe
from app.core.spans import Period

_MINUTES_A_DAY = 800  # about as many as the longest sessions of an instrument have
_LONG = {Timeframe.D1: 250, Timeframe.W1: 52, Timeframe.MN1: 12, Timeframe.Q1: 4}
"""Timeframes kept by years, and about how many bars a year has."""
_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def number_of(timeframe: Timeframe, moment: Timestamp) -> int:
    """Return in which stretch a bar begins."""
    day = moment.utc.astimezone(MOSCOW)
    return day.year if timeframe in _LONG else day.toordinal()


def numbers_of(timeframe: Timeframe, window: Period) -> range:
    """Return the stretches that a window touches."""
    return range(number_of(timeframe, window.time_from), number_of(timeframe, window.time_till - _SECOND) + 1)


@lru_cache(10_000)
def stretch(timeframe: Timeframe, number: int) -> Period:
    """Return the period in which all bars of a stretch begin."""
    if timeframe in _LONG:
        days = (date(number, 1, 1), date(number + 1, 1, 1))
    else:
        days = (date.fromordinal(number), date.fromordinal(number + 1))
    return Period(*(timeframe.ceil(Timestamp.midnight(day)) for day in days))


def whole_bars(period: Period, timeframe: Timeframe) -> Period:
    """Return the part of a period that holds bars from their beginning to their end."""
    return Period(timeframe.ceil(period.time_from), timeframe.floor(period.time_till))


def usual_rows(timeframe: Timeframe) -> int:
    """Return about how many bars a stretch has."""
    if timeframe in _LONG:
        return _LONG[timeframe]
    return max(1, _MINUTES_A_DAY // ((timeframe.usual_length or _DAY) // _MINUTE))
