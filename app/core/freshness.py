"""How current a series is: what it owes by the calendar, since when, and what that says of the service. Pure.

A series owes every bar that can be final and was not asked about. Closed time is never owed. What was asked about in
vain is not owed either: many a security has no trades for hours, and only time tells that from a source that is late.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import accumulate
from typing import Self

from app.core.batches import Rules
from app.core.calendar import DayReason, TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import SecurityCard, SeriesState, Timeframe
from app.core.market_data import SourceStatus
from app.core.schedule import SILENT_RETRY, retried_at

LOOKS_BACK = timedelta(days=366)
"""A lag is counted no further: of a series that was never loaded it says a year, not its whole history."""

TICKS = 2
"""So many due ticks a bar may be owed."""

_LONGEST_TICK = timedelta(hours=1)
_A_DAY = timedelta(days=1)
_VERSIONS_ARE_TIMES_FROM = 10**12
_DAYS_OFF = {DayReason.WEEKEND, DayReason.HOLIDAY}


class Verdict(StrEnum):
    """What is to be thought of a series, the best first."""

    FRESH = "fresh"
    PAUSED = "paused"
    SOURCE_DOWN = "source_down"
    BEHIND = "behind"


_BLAMED = {
    "ok": Verdict.BEHIND,
    "paused": Verdict.PAUSED,
    "open": Verdict.SOURCE_DOWN,
    "half_open": Verdict.SOURCE_DOWN,
}
"""What a series that owes bars for too long is called, by how we stand with the exchange."""


@dataclass(frozen=True, slots=True)
class OpenTime:
    """The sessions of an engine in order, as unix seconds, and how many of them all before each lasted."""

    begins: Sequence[int]
    ends: Sequence[int]
    before: Sequence[int]

    @classmethod
    def of(cls, calendar: TradingCalendar, first: date, last: date) -> Self:
        """Count the days `[first, last]`, both included; a day off of which nobody knows is closed."""
        days = (calendar.on(first + number * _A_DAY) for number in range((last - first).days + 1))
        known = (day for day in days if day.is_traded or (day.is_traded is None and day.reason not in _DAYS_OFF))
        periods = [session.period for day in known for session in day.sessions]
        begins = [period.time_from.unix for period in periods]
        ends = [period.time_till.unix for period in periods]
        lengths = (end - begin for begin, end in zip(begins, ends, strict=True))
        return cls(begins, ends, list(accumulate(lengths, initial=0)))

    def between(self, time_from: Timestamp, time_till: Timestamp) -> timedelta:
        """Return how much of `[time_from, time_till)` was open; none if it is empty."""
        return timedelta(seconds=max(self._until(time_till.unix) - self._until(time_from.unix), 0))

    def next(self, moment: Timestamp) -> Timestamp | None:
        """Return the moment itself if it is open, else when it opens next; None if it does not."""
        unix = moment.unix
        index = bisect_right(self.ends, unix)
        return Timestamp.from_unix(max(unix, self.begins[index])) if index < len(self.begins) else None

    def _until(self, unix: int) -> int:
        index = bisect_right(self.ends, unix)
        begun = unix - self.begins[index] if index < len(self.begins) else 0
        return self.before[index] + max(begun, 0)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How current a followed series is.

    `current_till`: up to here its newest part holds all that the exchange had; None when nothing of it is stored.
    `changed_at`: when the answer was given that changed it last; None if none ever did. `lag`: the open time that is
    owed. `owed_since`: when the first owed bar became final; None when no bar is owed.
    """

    state: SeriesState
    current_till: Timestamp | None
    changed_at: Timestamp | None
    lag: timedelta
    owed_since: Timestamp | None
    verdict: Verdict

    @property
    def retry_at(self) -> Timestamp | None:
        """Until when it is left alone because it failed; None for one that did not."""
        return retried_at(self.state)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges as of one moment. `tick`: how often is looked what is due."""

    rules: Rules
    now: Timestamp
    tick: timedelta
    source: SourceStatus

    def current_till(self, state: SeriesState, covered_till: Timestamp | None) -> Timestamp | None:
        """Return the end of its coverage, or what could be final when it was last asked about, if that is later."""
        asked_till = state.checked_at and self.rules.watermark(state.series, state.checked_at)
        return max((moment for moment in (covered_till, asked_till) if moment), default=None)

    def judge(
        self, state: SeriesState, card: SecurityCard, open_time: OpenTime, covered_till: Timestamp | None
    ) -> Freshness:
        """Judge a followed series whose last span ends at `covered_till`."""
        timeframe, current_till = state.series.timeframe, self.current_till(state, covered_till)
        begin = max(moment for moment in (current_till, state.followed_from, state.first_candle) if moment)
        end = self.rules.watermark(state.series, self.now)
        end = end if card.end is None else min(end, timeframe.ceil(card.end))
        opens = open_time.next(begin)
        lag, owed_since = timedelta(), None
        is_silent = state.as_of is None and state.checked_at is not None and self.now - state.checked_at < SILENT_RETRY
        if opens is not None and opens < end and not is_silent:
            lag = open_time.between(begin, end)
            owed_since = timeframe.after(timeframe.floor(opens)) + self.rules.delay + self.rules.margin
        return Freshness(state, current_till, _changed_at(state), lag, owed_since, self._verdict(timeframe, owed_since))

    def _verdict(self, timeframe: Timeframe, owed_since: Timestamp | None) -> Verdict:
        if owed_since is None or self.now - owed_since <= TICKS * due_tick(timeframe, self.tick):
            return Verdict.FRESH
        return _BLAMED[self.source.state]


@dataclass(frozen=True, slots=True)
class Outlook:
    """How current all that was looked at is, the worst first, and how we stood with the exchange."""

    at: Timestamp
    source: SourceStatus
    series: Sequence[Freshness]

    @property
    def verdict(self) -> Verdict:
        """The verdict of the worst; of nothing it is fresh."""
        return self.series[0].verdict if self.series else Verdict.FRESH

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many series have each verdict, none left out."""
        found = Counter(each.verdict for each in self.series)
        return {verdict: found[verdict] for verdict in Verdict}


def worst_first(found: Sequence[Freshness]) -> Sequence[Freshness]:
    """Sort: those with a bad verdict first, then by how much is owed."""
    order = {verdict: number for number, verdict in enumerate(Verdict)}
    return sorted(found, key=lambda each: (-order[each.verdict], -each.lag, each.state.series))


def due_tick(timeframe: Timeframe, tick: timedelta) -> timedelta:
    """Return how often a series is due while the exchange trades: with each bar, but at least once an hour.

    A bar of a day or longer is due once, and should be there about as soon as that of an hour.
    """
    return max(min(timeframe.step or _LONGEST_TICK, _LONGEST_TICK), tick)


def _changed_at(state: SeriesState) -> Timestamp | None:
    """Read the time out of the version: it is the milliseconds of the answer that raised it, or one more than before.

    So it may be ahead by a millisecond for each batch of one answer, but never by more than that answer.
    """
    if state.version < _VERSIONS_ARE_TIMES_FROM:
        return None
    told = Timestamp.from_microseconds(state.version * 1_000)
    return told if state.as_of is None else min(told, state.as_of)
