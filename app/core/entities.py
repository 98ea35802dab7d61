"""Immutable facts about the market, each known by its natural key."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from app.core.date_time import MOSCOW, Timestamp


class Timeframe(StrEnum):
    """The length of a bar. Intraday bars follow the Moscow wall clock; longer ones begin at Moscow midnight.

    Seven come from the source (`SOURCED`); the others are made of minutes and never stored.
    """

    M1 = "M1"
    M5 = "M5"
    M10 = "M10"
    M15 = "M15"
    M30 = "M30"
    H1 = "H1"
    H2 = "H2"
    H4 = "H4"
    D1 = "D1"
    W1 = "W1"
    MN1 = "MN1"
    Q1 = "Q1"

    @property
    def interval(self) -> int:
        """The number by which ISS knows it; of a derived one, which ISS does not know, its minutes."""
        return _INTERVALS[self]

    @property
    def is_derived(self) -> bool:
        """Tell whether its bars are made of those of `base` and not asked of the source."""
        return self not in SOURCED

    @property
    def base(self) -> "Timeframe":
        """The timeframe that is stored for it: M1 for a derived one, else itself."""
        return Timeframe.M1 if self.is_derived else self

    @property
    def usual_length(self) -> timedelta | None:
        """The length of an intraday bar in a day of 24 hours; None for a day and longer."""
        hours = _WALL_HOURS.get(self)
        return timedelta(hours=hours) if hours else self.step

    @property
    def step(self) -> timedelta | None:
        """The constant length of an intraday bar; None where the calendar or a change of the clocks decides."""
        return _STEPS.get(self)

    def floor(self, moment: Timestamp) -> Timestamp:
        """Return the beginning of the bar that holds the moment."""
        if seconds := _SECONDS.get(self):  # Moscow was always whole hours from UTC since the exchange opened
            unix = moment.unix
            return Timestamp.from_unix(unix - unix % seconds)
        wall = moment.moscow
        if hours := _WALL_HOURS.get(self):
            return _at_hour(wall, wall.hour // hours * hours)
        return Timestamp.midnight(self._first_day(wall.date()))

    def ceil(self, moment: Timestamp) -> Timestamp:
        """Return the moment if a bar begins there, else the beginning of the next bar."""
        if (seconds := _SECONDS.get(self)) and not moment.microseconds % (seconds * 1_000_000):
            return moment
        floor = self.floor(moment)
        return floor if floor == moment else self.after(floor)

    def after(self, begin: Timestamp) -> Timestamp:
        """Return the end of the bar that begins here, which is the beginning of the next slot."""
        if step := self.step:
            return begin + step
        if hours := _WALL_HOURS.get(self):
            wall = begin.moscow
            return _at_hour(wall, wall.hour // hours * hours + hours)
        day = begin.moscow.date() + _LONGER_THAN[self]
        return Timestamp.midnight(self._first_day(day))

    def _first_day(self, day: date) -> date:
        match self:
            case Timeframe.W1:
                return day - timedelta(days=day.weekday())
            case Timeframe.MN1:
                return day.replace(day=1)
            case Timeframe.Q1:
                return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
            case _:
                return day


def _at_hour(wall: datetime, hour: int) -> Timestamp:
    """Return when an hour of this Moscow day begins, the 24th being midnight.

    Of an hour that happens twice it is the first time; an hour that the clocks skip begins where they are changed.
    """
    day = wall.date() + timedelta(days=hour // 24)
    return Timestamp(datetime.combine(day, time(hour % 24), MOSCOW))


SOURCED = (
    Timeframe.M1,
    Timeframe.M10,
    Timeframe.H1,
    Timeframe.D1,
    Timeframe.W1,
    Timeframe.MN1,
    Timeframe.Q1,
)
"""What the source has, shortest first. Only these are asked for, followed and stored."""

_INTERVALS = {
    Timeframe.M1: 1,
    Timeframe.M5: 5,
    Timeframe.M10: 10,
    Timeframe.M15: 15,
    Timeframe.M30: 30,
    Timeframe.H1: 60,
    Timeframe.H2: 120,
    Timeframe.H4: 240,
    Timeframe.D1: 24,
    Timeframe.W1: 7,
    Timeframe.MN1: 31,
    Timeframe.Q1: 4,
}
_STEPS = {
    Timeframe.M1: timedelta(minutes=1),
    Timeframe.M5: timedelta(minutes=5),
    Timeframe.M10: timedelta(minutes=10),
    Timeframe.M15: timedelta(minutes=15),
    Timeframe.M30: timedelta(minutes=30),
    Timeframe.H1: timedelta(hours=1),
}
_SECONDS = {timeframe: step // timedelta(seconds=1) for timeframe, step in _STEPS.items()}
_WALL_HOURS = {Timeframe.H2: 2, Timeframe.H4: 4}  # the clocks were changed inside such bars until 2014
_LONGER_THAN = {  # from the first day of a bar, so many days later lies in the next bar
    Timeframe.D1: timedelta(days=1),
    Timeframe.W1: timedelta(days=7),
    Timeframe.MN1: timedelta(days=31),
    Timeframe.Q1: timedelta(days=92),
}


@dataclass(frozen=True, slots=True, order=True)
class Security:
    """A security on a board of the exchange."""

    ticker: str
    board: str

    def __str__(self) -> str:
        """Write it as people ask for it: `TQBR:SBER`."""
        return f"{self.board}:{self.ticker}"


@dataclass(frozen=True, slots=True)
class SecurityCard:
    """What the exchange says of a security; it travels beside the identity and is no part of it.

    `secid` is the ticker as the exchange spells it (`SiZ6`; ours is `SIZ6`). `lot` counts units; `expires` is the last
    day of trading of a contract, or the day a bond is repaid. Listed and history periods include both their days.
    """

    security: Security
    engine: str
    market: str
    name: str = ""
    short_name: str = ""
    isin: str | None = None
    kind: str | None = None
    decimals: int | None = None
    is_traded: bool = True
    is_primary: bool = False
    listed_from: date | None = None
    listed_till: date | None = None
    secid: str = ""
    latin_name: str = ""
    lot: int | None = None
    currency: str | None = None
    primary_board: str | None = None
    history_from: date | None = None
    history_till: date | None = None
    expires: date | None = None

    @property
    def is_share(self) -> bool:
        """Tell whether it is a share or a fund: what may be split."""
        return (self.engine, self.market) == ("stock", "shares")

    @property
    def last_day(self) -> date | None:
        """The last Moscow day that can have candles; None while nothing says that trading ended or will end."""
        ends = [] if self.expires is None else [self.expires]
        periods = [day for day in (self.listed_till, self.history_till) if day is not None]
        if periods and not self.is_traded:
            ends.append(max(periods) + DELISTED_MARGIN)
        return min(ends, default=None)

    @property
    def end(self) -> Timestamp | None:
        """The end of that day: no candle begins at it or after."""
        return None if self.last_day is None else Timestamp.midnight(self.last_day + timedelta(days=1))


DELISTED_MARGIN = timedelta(days=7)
"""For so long after its last day a security that is not traded any more is still asked for."""


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """The candles of one security in one timeframe."""

    security: Security
    timeframe: Timeframe

    def __str__(self) -> str:
        return f"{self.security} {self.timeframe}"


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar. `timestamp` is its beginning; prices are doubles exactly as ISS sends them.

    Volume is in units (shares, bonds, contracts), value in the quote currency. A bar that still forms is not final.
    """

    security: Security
    timeframe: Timeframe
    timestamp: Timestamp
    open: float
    high: float
    low: float
    close: float
    volume: float
    value: float
    is_final: bool = True

    @property
    def series(self) -> Series:
        return Series(self.security, self.timeframe)


@dataclass(frozen=True, slots=True, order=True)
class CandleSpan:
    """A half-open period `[time_from, time_till)` for which every candle of the exchange is stored."""

    security: Security
    timeframe: Timeframe
    time_from: Timestamp
    time_till: Timestamp

    @property
    def series(self) -> Series:
        return Series(self.security, self.timeframe)


@dataclass(frozen=True, slots=True)
class CandleRevision:
    """The values of a final candle before the exchange changed them; `revision` counts from 1 for each candle."""

    candle: Candle
    revision: int
    reason: str
    superseded_at: Timestamp


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row of an answer that failed its checks. `begin` is the slot it claims, which stays uncovered."""

    series: Series
    begin: Timestamp
    raw: str
    reason: str
    seen_at: Timestamp
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class SeriesState:
    """What the store knows about a series besides its candles and spans.

    `followed_from`: what should be stored begins here; None when nobody follows the series any more.
    `watermark`: bars that end at or before it can be final. `as_of`: when the freshest committed answer was given.
    `version` rises with any change, `history_version` when covered candles change or lose their coverage.
    `first_candle`: the exchange has none before it; None as long as it has none at all, or was not asked.
    `failed_at`, `failure`: when the last load ended early and why; None since one went well.
    `reread_at`: when the last days were last read again although they were covered.
    `stale_before`: final candles that begin before it and are not covered have the prices of before a split, and are
    not shown; None when there are none.
    `checked_at`: when the last load of all that is followed began that failed nowhere; None when something is missing
    for certain. `failures`: how many loads in a row failed since. `asked_at`: when somebody last asked for candles, to
    the hour. `is_grown`: followed because somebody asked for candles, not because somebody said so.
    """

    series: Series
    followed_from: Timestamp | None = None
    watermark: Timestamp | None = None
    as_of: Timestamp | None = None
    version: int = 0
    history_version: int = 0
    first_candle: Timestamp | None = None
    failed_at: Timestamp | None = None
    failure: str | None = None
    reread_at: Timestamp | None = None
    stale_before: Timestamp | None = None
    checked_at: Timestamp | None = None
    failures: int = 0
    asked_at: Timestamp | None = None
    is_grown: bool = False
