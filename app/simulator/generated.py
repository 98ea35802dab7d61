"""The generated tape: the same market for the same seed, made day by day when asked for."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache, partial, reduce

from app.core.entities import Timeframe
from app.simulator import slots
from app.simulator.bars import Bars, join
from app.simulator.iss import number
from app.simulator.listings import LISTINGS, LOAD_TICKER, Listing, load_listing
from app.simulator.market import make_day, noise, trading_minutes
from app.simulator.tape import Chunk, Window

_FOLDS = {Timeframe.M1: (), Timeframe.M10: (10,), Timeframe.H1: (10, 60)}
_DAY_FOLDS = (10, 60, 1440)
_BEGINS = [f"{minute // 60:02}:{minute % 60:02}:00" for minute in range(1440)]
_ENDS = {timeframe: [begin[:5] + ":59" for begin in _BEGINS[step - 1 :]] for timeframe, step in slots.MINUTES.items()}
_KEPT_DAYS = 1_024


class GeneratedTape:
    """The generated market, whole years of it, with the latest days kept in memory."""

    def __init__(self, seed: int = 0, listings: Sequence[Listing] = LISTINGS) -> None:
        """Make the market of `listings`, and of any ticker SIM000 to SIM999 on TQBR, for a seed."""
        self.seed = seed
        self.listings = listings
        self.start: datetime | None = None
        self._load_listing = lru_cache(maxsize=None)(load_listing)
        self._minutes = lru_cache(maxsize=_KEPT_DAYS)(partial(make_day, seed=seed))
        self._day = lru_cache(maxsize=64 * _KEPT_DAYS)(self._make_day)
        self._count = lru_cache(maxsize=None)(self._count_rows)
        self._kept_rows = lru_cache(maxsize=_KEPT_DAYS)(self._closed_rows)

    def find(self, ticker: str) -> Sequence[Listing]:
        name = ticker.upper()
        if LOAD_TICKER.fullmatch(name):
            return [self._load_listing(name)]
        return [listing for listing in self.listings if listing.ticker.upper() == name]

    def chunks(
        self, listing: Listing, timeframe: Timeframe, window: Window, known: datetime, *, reverse: bool = False
    ) -> Iterator[Chunk]:
        first = max(listing.listed_from, window.first_day)
        last = min(listing.listed_till or date.max, window.last_day, known.date())
        if first <= last:
            for day in slots.days(timeframe, first, last, reverse=reverse):
                if count := self._count(listing, timeframe, day):
                    yield self._chunk(listing, timeframe, day, count, window, known)

    def _chunk(
        self, listing: Listing, timeframe: Timeframe, first: date, count: int, window: Window, known: datetime
    ) -> Chunk:
        is_intraday = timeframe in slots.MINUTES
        if slots.next_day(timeframe, first) > known.date():
            rows = window.cut(self._forming_rows(listing, timeframe, first, known))
            return Chunk(len(rows), lambda: rows)
        closed = partial(self._kept_rows if is_intraday else self._closed_rows, listing, timeframe, first)
        latest = f"{first} 23:59:59" if is_intraday else f"{first} 00:00:00"
        if window.low <= f"{first} 00:00:00" and latest <= window.high:
            return Chunk(count, closed)
        rows = window.cut(closed())
        return Chunk(len(rows), lambda: rows)

    def _count_rows(self, listing: Listing, timeframe: Timeframe, first: date) -> int:
        if step := slots.MINUTES.get(timeframe):
            return len({minute // step for minute in trading_minutes(listing, first, self.seed)})
        return int(any(self._count(listing, Timeframe.M1, day) for day in _days_of(timeframe, first)))

    def _make_day(self, listing: Listing, day: date) -> Bars:
        return reduce(Bars.fold, _DAY_FOLDS, self._minutes(listing, day))

    def _closed_rows(self, listing: Listing, timeframe: Timeframe, first: date) -> Sequence[str]:
        if timeframe not in slots.MINUTES:
            days = [(day, self._day(listing, day)) for day in _days_of(timeframe, first)]
            return self._long_row(listing, timeframe, first, days)
        minutes = self._minutes(listing, first)
        bars = reduce(Bars.fold, _FOLDS[timeframe], minutes)
        ends = _ends(timeframe, first, bars)
        if timeframe is Timeframe.H1 and (odd := self._odd_end(listing, first, minutes)):
            ends[-1:] = [odd]
        return _render(listing, first, bars, ends)

    def _forming_rows(self, listing: Listing, timeframe: Timeframe, first: date, known: datetime) -> Sequence[str]:
        today = known.date()
        seconds = (known - datetime.combine(today, time())).seconds
        minutes = self._minutes(listing, today).until(seconds, listing.lot)
        now = f"{known:%Y-%m-%d %H:%M:%S}"
        if timeframe in slots.MINUTES:
            bars = reduce(Bars.fold, _FOLDS[timeframe], minutes)
            return _render(listing, today, bars, [min(end, now) for end in _ends(timeframe, today, bars)])
        days = [(day, self._day(listing, day)) for day in _days_of(timeframe, first) if day < today]
        days.append((today, reduce(Bars.fold, _DAY_FOLDS, minutes)))
        rows = self._long_row(listing, timeframe, first, days)
        return [f'{row[:-21]}"{now}"' for row in rows] if timeframe is Timeframe.D1 else rows

    def _long_row(
        self, listing: Listing, timeframe: Timeframe, first: date, days: Sequence[tuple[date, Bars]]
    ) -> Sequence[str]:
        """Fold days into one row, whose end is the last trading date; or the end of the day, or a second earlier."""
        traded = [day for day, bars in days if bars]
        if not traded:
            return []
        end = f"{traded[-1]} 00:00:00"
        if timeframe is Timeframe.D1:
            is_odd = noise(1, self.seed, listing.ticker, "day's end", first)[0] < 8  # noqa: PLR2004  # one day in 32
            end = f"{first} 23:59:{58 if is_odd else 59}"
        return _render(listing, first, join(bars for _, bars in days), [end])

    def _odd_end(self, listing: Listing, day: date, minutes: Bars) -> str | None:
        """Let the last hour of one day in four end with its last trade, as old hours of ISS do for ever."""
        chance, second = noise(2, self.seed, listing.ticker, "hour's end", day)
        if chance >= 64 or not minutes:  # noqa: PLR2004  # of 256
            return None
        return f"{day} {_BEGINS[minutes.minutes[-1]][:5]}:{second % 60:02}"


def _days_of(timeframe: Timeframe, first: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((slots.next_day(timeframe, first) - first).days)]


def _ends(timeframe: Timeframe, day: date, bars: Bars) -> list[str]:
    ends = _ENDS[timeframe]
    return [f"{day} {ends[minute]}" for minute in bars.minutes]


def _render(listing: Listing, day: date, bars: Bars, ends: Sequence[str]) -> Sequence[str]:
    scale, price = 10**listing.decimals, _price
    return [
        f"{price(opened, scale)}, {price(close, scale)}, {price(high, scale)}, {price(low, scale)}, {number(value)}, "
        f'{volume}, "{day} {_BEGINS[minute]}", "{end}"'
        for (minute, opened, high, low, close, value, volume), end in zip(bars.rows, ends, strict=True)
    ]


@lru_cache(maxsize=65_536)
def _price(ticks: int, scale: int) -> str:
    return number(ticks / scale)
