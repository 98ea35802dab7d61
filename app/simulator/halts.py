"""Halts: days without a trade of a security, of which the exchange then knows nothing else."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import lru_cache

from app.simulator.faults import Asked, Fault, Rule
from app.simulator.listings import Listing


class Halt(Fault, frozen=True, kw_only=True, tag="halt"):
    """Take every trade of the days in `[date_from, date_till)` away: a change of the tape itself.

    All intervals, the borders and the truth follow, before pages are cut: a longer bar is made of the minutes that are
    left. Only weeks, months and quarters of a replayed tape stay as recorded. Of `match`, ticker and board alone count;
    it is in force until it is removed.
    """

    date_from: date
    date_till: date
    times: int | None = None

    def concerns(self, asked: Asked) -> bool:
        return asked.candles is not None and self._is_of(asked.place.security, asked.place.board)

    def stops(self, listing: Listing) -> bool:
        return self._is_of(listing.ticker.lower(), listing.board.code.lower())

    def _is_of(self, security: str, board: str) -> bool:
        ticker, code = self.match.ticker, self.match.board
        return (ticker is None or ticker.lower() == security) and (code is None or code.lower() == board)


def halted(listing: Listing, rules: Iterable[Rule]) -> Listing:
    """Return the listing with the halts in force; the same one every time, so that what is made of it can be kept."""
    faults = (rule.fault for rule in rules)
    halts = tuple((each.date_from, each.date_till) for each in faults if isinstance(each, Halt) and each.stops(listing))
    return _with_halts(listing, halts) if halts else listing


@lru_cache(maxsize=1024)
def _with_halts(listing: Listing, halts: tuple[tuple[date, date], ...]) -> Listing:
    return replace(listing, halts=(*listing.halts, *halts))
