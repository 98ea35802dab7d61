"""Candles cut from blocks that are kept, or read and written for one answer alone."""

from dataclasses import replace
from datetime import timedelta

from app.answers.blocks import Blocks
from app.answers.kept import Kept
from app.answers.rows import Cut, Rows
from app.answers.stretches import number_of
from app.answers.walk import Walk
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.spans import Period
from app.core.storage import IStorage
from app.use_cases.look_at_candles import Look, read_covered, read_shown

_SECOND = timedelta(seconds=1)


def is_wanted(blocks: Blocks, series: Series, cut: Cut) -> bool:
    """Tell whether blocks are worth making: where this begins somebody began before. Remembers that it was asked."""
    first = cut.window.time_till - _SECOND if cut.newest_first else cut.window.time_from
    return blocks.is_wanted(((str(series), cut.writing.key), number_of(series.timeframe, first)))


async def open_rows(storage: IStorage, kept: Kept, look: Look, cut: Cut) -> Rows | None:
    """Return candles of a window that is not covered as a whole; SeriesChangedError as `covered_rows`.

    None if it takes more: for derived bars, and while a series is read again since a split.
    """
    if not look.is_plain:
        return None
    walk = Walk(storage, kept, look, cut)
    is_worth_it = walk.is_worth_it and not cut.goes_on
    if is_worth_it and (is_wanted(kept.blocks, look.series, cut) or await walk.is_shared()):
        return await cut_rows(walk, cut)
    return cut.rows(await read_shown(storage, look, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first))


async def covered_rows(storage: IStorage, kept: Kept, look: Look, cut: Cut) -> Rows | None:
    """Return candles of a covered window; SeriesChangedError if they changed since they were looked at.

    None for derived bars that nobody asked for before: they take more than one read.
    """
    series = look.series
    if series.timeframe.is_derived:
        cut = replace(cut, window=_next_bars(cut.window, series.timeframe))
    if not cut.window:
        return Rows([], 0, None, has_more=False)
    walk = Walk(storage, kept, look, cut)
    if is_wanted(kept.blocks, series, cut) or await walk.is_shared():
        return await cut_rows(walk, cut)
    if series.timeframe.is_derived:
        return None
    page = await read_covered(storage, look, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first)
    return cut.rows(page)


async def cut_rows(walk: Walk, cut: Cut) -> Rows:
    """Walk as far as the limit goes, and one candle further."""
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


def _next_bars(window: Period, timeframe: Timeframe) -> Period:
    """Begin and end with a bar, where a cursor points behind one."""
    return Period(timeframe.ceil(window.time_from), timeframe.ceil(window.time_till))


def _seconds(moment: Timestamp) -> int:
    """Return whole seconds since 1970, rounded up."""
    return -(-moment.microseconds // 1_000_000)
