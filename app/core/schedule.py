"""When a series is to be asked about: what became final since the last time, what is missing, what failed. Pure.

Bars become final when they have ended and the source's delay and the margin have passed (I4). Minutes are asked about
as soon as the source shows them; that they are final the next minute tells, and after the last one another look. While
the exchange is closed nothing ends but what ended last; after days away one update makes up for all of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from app.core.batches import Rules
from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import SecurityCard, Series, SeriesState, Timeframe

NIGHT = time(4)
"""From this hour in Moscow on yesterday is closed and settled on the exchange, and its last days are compared."""

_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(hours=1)
_MOST_DOUBLINGS = 6
_NIGHT_RETRY = timedelta(hours=1)
"""An answer without candles compares nothing."""
SILENT_RETRY = timedelta(hours=1)
"""A series of which the exchange has nothing is asked about so often."""
_STALE_RETRY = timedelta(minutes=10)
_A_DAY = timedelta(days=1)
_EVIDENCE = timedelta(minutes=45)
"""So long after the end of closed time the next day has bars, which show that those of the days before were whole."""
_FORMING = timedelta(minutes=10)
_ASKED_LATELY = timedelta(days=1)
_PAGE = 500
_OPEN = 0.4
"""The part of all time in which the exchange trades: to tell roughly how much a series is."""


@dataclass(frozen=True, slots=True)
class Due:
    """A series to update. `since`: since when it could have been; `is_missing`: it was never loaded whole.

    `requests`: how many that takes, roughly. `is_wanted`: somebody asked for its candles lately.
    """

    series: Series
    since: Timestamp
    requests: int = 1
    is_missing: bool = False
    is_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Decides for one moment. `holes`: when slots in quarantine are to be asked about again, by series."""

    rules: Rules
    now: Timestamp
    holes: Mapping[Series, Collection[Timestamp]]

    def due(self, state: SeriesState, card: SecurityCard, calendar: TradingCalendar) -> Due | None:
        """Tell whether a followed series is due, and since when."""
        resumes = retried_at(state)
        if resumes is not None and self.now < resumes:
            return None
        is_wanted = self._is_wanted(state)
        if state.checked_at is None:
            since = resumes or self.now
            return Due(state.series, since, self._requests(state, card), is_missing=True, is_wanted=is_wanted)
        reasons = [resumes, *self._reasons(state, state.checked_at, card, calendar)]
        moments = [moment for moment in reasons if moment is not None and moment <= self.now]
        return Due(state.series, min(moments), is_wanted=is_wanted) if moments else None

    def _reasons(
        self, state: SeriesState, checked_at: Timestamp, card: SecurityCard, calendar: TradingCalendar
    ) -> Iterable[Timestamp | None]:
        """Return the moments, past or to come, at which there is something to ask that was not asked yet."""
        if state.as_of is None:  # the exchange answers, but has nothing: all of it would be asked for each time
            yield checked_at + SILENT_RETRY
            return
        yield self._next_bar(state.series, checked_at, card, calendar)
        yield self._last_minute(state.series, checked_at, calendar)
        yield self._evidence(state.series, checked_at, card, calendar)
        night = last_night(self.now)
        is_compared = state.reread_at is not None and state.reread_at >= night
        yield None if is_compared else max(night, checked_at + _NIGHT_RETRY)
        yield min((hole for hole in self.holes.get(state.series, ()) if hole > checked_at), default=None)
        yield self._forming(state, checked_at, calendar)
        yield checked_at + _STALE_RETRY if state.stale_before is not None else None

    def _next_bar(
        self, series: Series, checked_at: Timestamp, card: SecurityCard, calendar: TradingCalendar
    ) -> Timestamp | None:
        """Return when the first bar is there that was not when we asked last; None if no other will come."""
        late = self.rules.delay if series.timeframe is Timeframe.M1 else self.rules.delay + self.rules.margin
        begin = calendar.closed_until(series.timeframe.floor(checked_at - late))
        if card.end is not None and begin >= card.end:
            return None
        return series.timeframe.after(series.timeframe.floor(begin)) + late

    def _last_minute(self, series: Series, checked_at: Timestamp, calendar: TradingCalendar) -> Timestamp | None:
        """Return when the last minute before closed time became final: no other one follows that would tell."""
        final = calendar.closed_since(self.now - self.rules.delay) + self.rules.delay + self.rules.margin
        return final if series.timeframe is Timeframe.M1 and checked_at < final else None

    def _evidence(
        self, series: Series, checked_at: Timestamp, card: SecurityCard, calendar: TradingCalendar
    ) -> Timestamp | None:
        """Return when the next day shows that the last bar was whole: of long bars only the next one tells that."""
        late = self.rules.delay + self.rules.margin
        end = series.timeframe.floor(self.now - late)
        if series.timeframe.after(end) - end < _A_DAY or (card.end is not None and end >= card.end):
            return None
        shown = calendar.closed_until(end) + _EVIDENCE + late
        return shown if checked_at < shown else None

    def _forming(self, state: SeriesState, checked_at: Timestamp, calendar: TradingCalendar) -> Timestamp | None:
        """Return when a bar that still forms is read again: somebody looks at it, and it will not end soon."""
        is_long = state.series.timeframe.after(end := state.series.timeframe.floor(self.now)) - end > _FORMING
        is_open = calendar.closed_until(self.now) == self.now
        return checked_at + _FORMING if is_long and is_open and self._is_wanted(state) else None

    def _is_wanted(self, state: SeriesState) -> bool:
        return state.asked_at is not None and self.now - state.asked_at < _ASKED_LATELY

    def _requests(self, state: SeriesState, card: SecurityCard) -> int:
        begin = max(state.followed_from or self.now, state.first_candle or Timestamp.from_unix(0))
        end = min(self.now, card.end or self.now)
        step = state.series.timeframe.after(begin) - begin
        share = _OPEN if step < _A_DAY else 1
        return 1 + max(0, int((end - begin) / step * share / _PAGE))


def retried_at(state: SeriesState) -> Timestamp | None:
    """Return when a series that fails is asked about again: later and later; None for one that does not."""
    if state.failed_at is None or not state.failures:
        return None
    pause: timedelta = _FIRST_RETRY * 2 ** min(state.failures - 1, _MOST_DOUBLINGS)
    return state.failed_at + min(pause, _LAST_RETRY)


def last_night(now: Timestamp) -> Timestamp:
    """Return the last moment at which a night began in Moscow."""
    night = Timestamp.from_moscow(datetime.combine(now.moscow.date(), NIGHT))
    return night if night <= now else Timestamp.from_moscow(datetime.combine(now.moscow.date() - _A_DAY, NIGHT))


def chosen(due: Collection[Due], requests: float) -> Sequence[Due]:
    """Choose what to do now, the first first, with about so many requests.

    Those that were loaded whole come first, the wanted and then the most stale of them. Of what was never loaded the
    small ones come first, and no more than requests are left for, but at least one: it cannot wait for ever.
    """
    current = sorted((one for one in due if not one.is_missing), key=lambda one: (not one.is_wanted, one.since))
    missing = sorted((one for one in due if one.is_missing), key=lambda one: (not one.is_wanted, one.requests))
    kept, left = [], requests
    for one in current:
        if left > 0:
            kept.append(one)
            left -= one.requests
    for number, one in enumerate(missing):
        if number and one.requests > left:
            break
        kept.append(one)
        left -= one.requests
    return kept
