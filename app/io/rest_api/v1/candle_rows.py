"""The candles of an answer as bytes: cut from blocks that are kept, or read and written for this answer alone."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache

from app.core.date_time import MOSCOW, Timestamp
from app.core.entities import Series, Timeframe
from app.core.pages import CandlePage
from app.core.repository import IStorage
from app.core.spans import Period
from app.io.rest_api.blocks import Block, Blocks
from app.io.rest_api.writing import Writing
from app.use_cases.look_at_candles import Look, read_covered, read_shown

_MOST_ROWS = 10_000
"""Read and written at a time: after so many the event loop should do something else."""
_MINUTES_A_DAY = 800  # about as many as the longest sessions of an instrument have
_LONG = {Timeframe.D1: 250, Timeframe.W1: 52, Timeframe.MN1: 12, Timeframe.Q1: 4}
"""Timeframes kept by years, and about how many bars a year has."""
_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Candles as they are written, in parts none of which is empty.

    `edge`: the beginning (unix seconds) of the candle behind which the next page goes on, None without candles.
    `has_more`: the limit left some out.
    """

    parts: Sequence[bytes | memoryview]
    count: int
    edge: int | None
    has_more: bool

    @classmethod
    def of(cls, page: CandlePage, writing: Writing, *, newest_first: bool, has_more: bool) -> "Rows":
        """Write an ascending page."""
        edge = page.begins[0 if newest_first else -1] if page else None
        return cls(writing.parts(page), len(page), edge, has_more)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which candles: those that begin in `window`, at most `limit` of them, the oldest or the newest."""

    window: Period
    limit: int
    newest_first: bool
    writing: Writing

    def rows(self, page: CandlePage) -> Rows:
        """Write what was read of the window with a limit of one more."""
        has_more = len(page) > self.limit
        if has_more:
            page = page[-self.limit :] if self.newest_first else page[: self.limit]
        return Rows.of(page, self.writing, newest_first=self.newest_first, has_more=has_more)


def is_wanted(blocks: Blocks, series: Series, cut: Cut) -> bool:
    """Tell whether blocks are worth making: where this begins somebody began before. Remembers that it was asked."""
    first = cut.window.time_till - _SECOND if cut.newest_first else cut.window.time_from
    return blocks.is_wanted(((str(series), cut.writing.key), _number(series.timeframe, first)))


async def open_rows(storage: IStorage, look: Look, cut: Cut) -> Rows | None:
    """Return candles of a window that is not covered; SeriesChangedError as `covered_rows`. None if it takes more."""
    page = await read_shown(storage, look, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first)
    return None if page is None else cut.rows(page)


async def covered_rows(storage: IStorage, blocks: Blocks, look: Look, cut: Cut) -> Rows | None:
    """Return candles of a covered window; SeriesChangedError if they changed since they were looked at.

    None for derived bars that nobody asked for before: they take more than one read.
    """
    series = look.series
    if series.timeframe.is_derived:
        cut = replace(cut, window=_whole_bars(cut.window, series.timeframe))
    if not cut.window:
        return Rows([], 0, None, has_more=False)
    if is_wanted(blocks, series, cut):
        return await _cut(_Walk(storage, blocks, look, cut), cut)
    if series.timeframe.is_derived:
        return None
    page = await read_covered(storage, look, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first)
    return cut.rows(page)


async def _cut(walk: "_Walk", cut: Cut) -> Rows:
    parts: list[memoryview] = []
    edge, missing = None, cut.limit
    first, last = _seconds(cut.window.time_from), _seconds(cut.window.time_till)
    async for block in walk.blocks():
        begin, end = block.find(first), block.find(last)
        if begin < end and not missing:
            return Rows(_in_order(parts, cut), cut.limit, edge, has_more=True)
        has_more = end - begin > missing
        if has_more:
            begin, end = (end - missing, end) if cut.newest_first else (begin, begin + missing)
        if begin < end:
            parts.append(block.cut(begin, end))
            edge = block.begins[begin if cut.newest_first else end - 1]
            missing -= end - begin
        if has_more:
            return Rows(_in_order(parts, cut), cut.limit, edge, has_more=True)
    return Rows(_in_order(parts, cut), cut.limit - missing, edge, has_more=False)


def _in_order(parts: list[memoryview], cut: Cut) -> list[memoryview]:
    """Turn them round where the newest were found first, but the oldest are written first."""
    return parts[::-1] if cut.newest_first and not cut.writing.is_descending else parts


class _Walk:
    """The blocks of a window from its beginning or its end on; those that are not kept are made as the walk goes.

    A stretch of the calendar that is not covered as a whole is read as far as the window goes, and not kept.
    """

    def __init__(self, storage: IStorage, blocks: Blocks, look: Look, cut: Cut) -> None:
        self._storage, self._blocks, self._look, self._window = storage, blocks, look, cut.window
        timeframe = look.series.timeframe
        self._timeframe, self._writing, self._covering = timeframe, cut.writing, look.covering
        self._owner = (str(look.series), look.coverage.version, cut.writing.key)
        span = range(_number(timeframe, cut.window.time_from), _number(timeframe, cut.window.time_till - _SECOND) + 1)
        self._numbers = span[::-1] if cut.newest_first else span
        self._limit = cut.limit

    async def blocks(self) -> AsyncIterator[Block]:
        """Give one block after the other."""
        at, run = 0, 0
        while at < len(self._numbers):
            block = self._blocks.find((self._owner, self._numbers[at]))
            if block is not None:
                yield block
                at += 1
                continue
            run = self._next_run(run)
            for block in await self._make(self._numbers[at : at + run]):
                yield block
                at += 1

    def _next_run(self, run: int) -> int:
        """Return how many blocks to read at once: as many as the limit needs, and more where they were empty."""
        most = max(1, _MOST_ROWS // _usual_rows(self._timeframe.base))
        return min(most, 2 * run or self._limit // _usual_rows(self._timeframe) + 1)

    async def _make(self, numbers: range) -> list[Block]:
        """Make the blocks of a run, unless somebody just made its first one."""
        async with self._blocks.turn(self._owner):
            if (block := self._blocks.find((self._owner, numbers[0]))) is not None:
                return [block]
            stretches = [self._stretch(number) for number in numbers]
            ends = [end for stretch in stretches if stretch for end in (stretch.time_from, stretch.time_till)]
            read = Period(min(ends), max(ends)) if ends else Period(self._window.time_from, self._window.time_from)
            page = await read_covered(self._storage, self._look, read)
            made = [Block.of(page.between(each.time_from, each.time_till), self._writing) for each in stretches]
            for number, block in zip(numbers, made, strict=True):
                if self._is_whole(number):
                    self._blocks.keep((self._owner, number), block)
            return made

    def _is_whole(self, number: int) -> bool:
        stretch = _stretch(self._timeframe, number)
        return self._covering.time_from <= stretch.time_from and stretch.time_till <= self._covering.time_till

    def _stretch(self, number: int) -> Period:
        """Return what is read of a stretch: all of it, or what is covered for certain."""
        stretch = _stretch(self._timeframe, number)
        return stretch if self._is_whole(number) else stretch & self._window


def _whole_bars(window: Period, timeframe: Timeframe) -> Period:
    """Begin and end with a bar, where a cursor points behind one."""
    return Period(timeframe.ceil(window.time_from), timeframe.ceil(window.time_till))


def _number(timeframe: Timeframe, moment: Timestamp) -> int:
    """Return which block holds a bar: Moscow days of intraday bars, years of longer ones."""
    day = moment.utc.astimezone(MOSCOW)
    return day.year if timeframe in _LONG else day.toordinal()


@lru_cache(10_000)
def _stretch(timeframe: Timeframe, number: int) -> Period:
    """Return the period in which all bars of a block begin."""
    if timeframe in _LONG:
        days = (date(number, 1, 1), date(number + 1, 1, 1))
    else:
        days = (date.fromordinal(number), date.fromordinal(number + 1))
    return Period(*(timeframe.ceil(Timestamp.midnight(day)) for day in days))


def _usual_rows(timeframe: Timeframe) -> int:
    """Return about how many bars a block has."""
    if timeframe in _LONG:
        return _LONG[timeframe]
    return max(1, _MINUTES_A_DAY // ((timeframe.usual_length or _DAY) // _MINUTE))


def _seconds(moment: Timestamp) -> int:
    """Return whole seconds since 1970, rounded up."""
    return -(-moment.microseconds // 1_000_000)
