"""The generated market: one-minute bars out of (seed, ticker, day) alone.

A day closes at an anchor: the listing's price moved by smooth noise of several scales, so that years look like years.
Between two anchors the minutes walk at random, bent so that they arrive. All noise is SHAKE-128 of the names: the same
in every process and on every machine; no library function of floating point takes part, only the four operations.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from hashlib import shake_128
from itertools import accumulate, compress
from statistics import NormalDist

from app.simulator.bars import Bars
from app.simulator.listings import BONDS, FORTS, INDEX, OPTIONS, Listing
from app.simulator.sessions import minutes

_SCALES = ((512, 0.35), (128, 0.15), (32, 0.06), (8, 0.025), (1, 0.012))
"""Every so many days the mood turns, by at most this part of the price."""

_WALK = [round(NormalDist().inv_cdf((byte + 0.5) / 256), 3) for byte in range(256)]
_REACH = [round(abs(step) * 0.8, 2) if byte % 4 else 0.0 for byte, step in enumerate(_WALK)]
_BUSTLE = [1 + byte**3 // 65_536 for byte in range(256)]  # of 256, about 64 on average
_GAP = [(-2, -1, 0, 1, 2)[byte % 5] if byte >= 170 else 0 for byte in range(256)]  # noqa: PLR2004  # a third
_EPOCH = date(2000, 1, 1)
_PAR = 1000
_DAY = timedelta(days=1)


def trading_minutes(listing: Listing, day: date, seed: int) -> Sequence[int]:
    """Return the minutes of the day in which the security trades."""
    if not listing.is_listed(day) or listing.is_halted(day):
        return ()
    session = minutes(listing.board.market, day, long_hours=listing.has_long_hours(day))
    if not session or (listing.idle_days and noise(1, seed, listing.ticker, "idle", day)[0] < listing.idle_days):
        return ()
    if not listing.silence:
        return session
    hush = noise(len(session), seed, _name(listing), "hush", day)
    return list(compress(session, [byte >= listing.silence for byte in hush]))


def make_day(listing: Listing, day: date, seed: int) -> Bars:
    """Make the one-minute bars of a day."""
    traded = trading_minutes(listing, day, seed)
    count = len(traded)
    if not count:
        return Bars.of_rows([])
    bytes_ = noise(5 * count, seed, _name(listing), "bars", day)
    walk, gaps, ups, downs, bustle = (bytes_[n * count : (n + 1) * count] for n in range(5))
    closes = _closes(listing, day, seed, walk)
    start = _anchor(listing, _previous(day), seed)
    opens = [before + _GAP[gap] for before, gap in zip([start, *closes], gaps, strict=False)]
    reach = [int(far * listing.swing * start + 0.5) for far in _REACH]
    highs = [(o if o > c else c) + reach[up] for o, c, up in zip(opens, closes, ups, strict=True)]  # noqa: FURB136  # twice as fast
    lows = [(o if o < c else c) - reach[down] for o, c, down in zip(opens, closes, downs, strict=True)]  # noqa: FURB136  # the same
    volumes = [lots * listing.lot for lots in _lots(listing, traded, bustle)]
    turnover = _turnover(listing, highs, lows, closes, volumes)
    if sunk := listing.sunk * 10**listing.decimals:
        opens, highs, lows, closes = ([tick - sunk for tick in ticks] for ticks in (opens, highs, lows, closes))
    return Bars.of_columns(traded, opens, highs, lows, closes, *turnover)


def noise(count: int, *names: object) -> bytes:
    """Return so many even bytes that depend on the names alone."""
    return shake_128("/".join(map(str, names)).encode()).digest(count)


def _name(listing: Listing) -> str:
    return f"{listing.board.code}:{listing.ticker}"


def _closes(listing: Listing, day: date, seed: int, walk: bytes) -> list[int]:
    start, end = _anchor(listing, _previous(day), seed), _anchor(listing, day, seed)
    swing = listing.swing * start
    steps = [step * swing for step in _WALK]
    path = list(accumulate([steps[byte] for byte in walk]))
    bend = (end - start - path[-1]) / len(path)
    return [*(int(start + p + n * bend + 0.5) for n, p in enumerate(path[:-1], 1)), end]


def _lots(listing: Listing, traded: Sequence[int], bustle: bytes) -> list[int]:
    opening = traded[0] + 30
    busy = [1 + listing.turnover * lots // 64 for lots in _BUSTLE]
    return [busy[b] * 2 if minute < opening else busy[b] for minute, b in zip(traded, bustle, strict=True)]


def _turnover(
    listing: Listing, highs: list[int], lows: list[int], closes: list[int], volumes: list[int]
) -> tuple[list[float], list[int]]:
    """Return values and volumes: contracts have no value, indices no volume, bonds are quoted in per cent of par."""
    market = listing.board.market
    if market in (FORTS, OPTIONS):
        return [0.0] * len(volumes), volumes
    units = _PAR // 100 if market is BONDS else 1
    scale = 10**listing.decimals
    values = [
        (high + low + close + close) // 4 * volume * units / scale
        for high, low, close, volume in zip(highs, lows, closes, volumes, strict=True)
    ]
    return values, [0] * len(volumes) if market is INDEX else volumes


@lru_cache(maxsize=65_536)
def _anchor(listing: Listing, day: date, seed: int) -> int:
    """Return the close of the day in ticks."""
    price = listing.price
    for scale, depth in _SCALES:
        price *= 1 + depth * _smooth(listing.ticker, scale, (day - _EPOCH).days, seed)
    return max(int(price * 10**listing.decimals + 0.5), 1)


def _smooth(ticker: str, scale: int, day: int, seed: int) -> float:
    """Glide from turn to turn, between -1 and 1."""
    turn, part = divmod(day, scale)
    here, there = (_turn(ticker, scale, n, seed) for n in (turn, turn + 1))
    share = part / scale
    return here + (there - here) * share * share * (3 - 2 * share)


@lru_cache(maxsize=65_536)
def _turn(ticker: str, scale: int, number: int, seed: int) -> float:
    return int.from_bytes(noise(4, seed, ticker, scale, number), "big") / 2**31 - 1


def _previous(day: date) -> date:
    """Return the day before by the calendar: anchors of closed days move too, and make gaps over weekends."""
    return day - _DAY
