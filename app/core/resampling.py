"""Short bars rolled up into longer ones: pure, page by page, without an object for each row."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import fsum

from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period

_Slot = tuple[int, int]
"""Beginning and end of a bar in unix seconds."""


class Rollup:
    """Rolls up pages that follow each other; the bar that may go on in the next page waits for it.

    Pages come oldest first, or with `newest_first` the newest page first; each is ascending inside either way, and so
    is each page that is given. Pages put together equal `roll_up` of all at once.
    """

    def __init__(self, series: Series, covered: Sequence[Period] = (), *, newest_first: bool = False) -> None:
        """Take the longer series, and where the base is covered."""
        self._series = series
        self._covered = covered
        self._newest_first = newest_first
        self._rest: CandlePage | None = None

    def feed(self, page: CandlePage) -> CandlePage:
        """Return the bars that are whole now."""
        known = page if self._rest is None else self._joined(self._rest, page)
        if not known:
            return self._rolled(known)
        begin, end = _slots(self._series.timeframe)(known.begins[0 if self._newest_first else -1])
        edge = bisect_left(known.begins, end if self._newest_first else begin)
        older, newer = known[:edge], known[edge:]
        self._rest, whole = (older, newer) if self._newest_first else (newer, older)
        return self._rolled(whole)

    def end(self) -> CandlePage:
        """Return the bar that waited, if any: no page follows."""
        rest, self._rest = self._rest, None
        return CandlePage.from_rows(self._series, ()) if rest is None else self._rolled(rest)

    def _joined(self, rest: CandlePage, page: CandlePage) -> CandlePage:
        return CandlePage.join(page.series, (page, rest) if self._newest_first else (rest, page))

    def _rolled(self, page: CandlePage) -> CandlePage:
        return roll_up(page, self._series.timeframe, self._covered)


def roll_up(base: CandlePage, timeframe: Timeframe, covered: Sequence[Period] = ()) -> CandlePage:
    """Fold the bars of each longer bar: the first open, the highest, the lowest, the last close, the sums.

    A bar without any is not there. It is final only where one of the `covered` periods of the base, in normal form,
    holds all of it (I11). Sums are rounded once, so that it does not matter in how many steps a bar is made.
    """
    firsts, slots = _cut(base.begins, timeframe)
    parts = list(pairwise([*firsts, len(base)]))
    return CandlePage(
        Series(base.series.security, timeframe),
        array("q", [begin for begin, _ in slots]),
        array("d", [base.opens[i] for i in firsts]),
        array("d", [max(base.highs[i:j]) for i, j in parts]),
        array("d", [min(base.lows[i:j]) for i, j in parts]),
        array("d", [base.closes[j - 1] for _, j in parts]),
        array("d", [fsum(base.volumes[i:j]) for i, j in parts]),
        array("d", [fsum(base.values[i:j]) for i, j in parts]),
        bytes(_finals(slots, covered)),
    )


def _cut(begins: "array[int]", timeframe: Timeframe) -> tuple[list[int], list[_Slot]]:
    """Return at which row each longer bar begins, and its slot."""
    slot_of = _slots(timeframe)
    firsts, slots = [], []
    index = 0
    while index < len(begins):
        begin, end = slot_of(begins[index])
        firsts.append(index)
        slots.append((begin, end))
        most = index + (end - begin) // 60  # no bar is shorter than a minute
        index = bisect_left(begins, end, index + 1, max(min(most, len(begins)), index + 1))
    return firsts, slots


def _slots(timeframe: Timeframe) -> Callable[[int], _Slot]:
    """Return what finds the slot that holds a moment (unix seconds)."""
    if timeframe.step is not None:  # Moscow was always whole hours from UTC since the exchange opened
        seconds = int(timeframe.step.total_seconds())
        return lambda moment: (moment - moment % seconds, moment - moment % seconds + seconds)

    def slot_of(moment: int) -> _Slot:
        begin = timeframe.floor(Timestamp.from_unix(moment))
        return begin.unix, timeframe.after(begin).unix

    return slot_of


def _finals(slots: Iterable[_Slot], covered: Sequence[Period]) -> list[bool]:
    begins = [period.time_from.unix for period in covered]
    ends = [0, *(period.time_till.unix for period in covered)]
    return [end <= ends[bisect_right(begins, begin)] for begin, end in slots]
