"""Answers to one wish for candles: found, or written from what is stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.answers.cutting import covered_rows, is_wanted, open_rows
from app.answers.flights import Flight
from app.answers.kept import Kept
from app.answers.rows import Cut, Rows
from app.answers.written import Written
from app.core.spans import Period
from app.core.storage import IStorage
from app.io.rest_api import caching, coding
from app.io.rest_api.coding import Coding
from app.io.rest_api.v1 import candle_answer
from app.io.rest_api.v1.candle_wish import CandleWish
from app.use_cases.explain_gaps import Gap
from app.use_cases.get_candles import Coverage, aligned, get_candles
from app.use_cases.look_at_candles import Look, read_at_once

_TAGS = 1024
_AT_ONCE = 1 << 17
"""Bytes up to which a body is compressed without leaving the event loop."""


@dataclass(frozen=True, slots=True)
class CandleWriter:
    """Writes what is wished in the coding that was chosen, and keeps what is worth it.

    Kept as a whole is what would have to be read or compressed again. What is cut from blocks costs little: it is kept
    when it is asked for again, and never shared.
    """

    storage: IStorage
    kept: Kept
    wish: CandleWish
    coding: Coding

    def tag(self, coverage: Coverage) -> str:
        """Tag the answer without writing it. The gaps are part of it: they narrow while the counters rest (I16)."""
        told = self.wish.told(coverage)
        return _tag(self.wish, self.coding, told.period, tuple(told.gaps), told.version)

    async def at_first_sight(self) -> Written | None:
        """Write with one question where both ends are known and nothing is kept; None where that is not enough."""
        wish = self.wish
        if wish.time_from is None or wish.time_till is None or wish.series.timeframe.is_derived:
            return None
        period = aligned(wish.series.timeframe, wish.time_from, wish.time_till)
        cut = self._cut(period)
        if not cut.window or self.kept.shared.is_there or is_wanted(self.kept.blocks, wish.series, cut):
            return None
        return await self.kept.reading.run(self._identity, lambda: self._read_at_once(period, cut))

    @property
    def ahead(self) -> Flight[Written | None] | None:
        """What somebody who asks for the same is reading at first sight."""
        return self.kept.reading.under_way(self._identity)

    async def written(self, look: Look, tag: str, ahead: Flight[Written | None] | None) -> Written:
        """Return the answer that has this tag, or a newer one; SeriesChangedError if that takes another look.

        `ahead`: what somebody was reading when this began.
        """
        if (found := self.kept.shelf.find(tag, Written)) is not None:
            return found
        for first in [] if ahead is None else await self.kept.reading.outcome(ahead):
            if first is not None and first.tag == tag:
                return first
        return await self.kept.writing.run(tag, lambda: self._find_or_write(look, tag))

    async def all_at_once(self, look: Look) -> Written:
        """Write from coverage and candles that are read in one transaction."""
        wish, period = self.wish, look.coverage.period
        answer = await get_candles(
            self.storage,
            wish.series,
            time_from=period.time_from,
            time_till=period.time_till,
            limit=wish.limit,
            newest_first=wish.is_newest_first,
            part=wish.part,
        )
        newest_first, has_more = wish.is_newest_first, answer.has_more
        rows = Rows.of(answer.page, wish.writing, newest_first=newest_first, has_more=has_more)
        return await self._write(answer, rows, self.tag(answer))

    @property
    def _identity(self) -> tuple[CandleWish, Coding]:
        """What makes two requests ask for the same, whatever is stored."""
        return (self.wish, self.coding)

    async def _read_at_once(self, period: Period, cut: Cut) -> Written | None:
        found = await read_at_once(
            self.storage, self.wish.series, period, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first
        )
        if found is None:
            return None
        look, page = found
        written = await self._write(look.coverage, cut.rows(page), self.tag(look.coverage))
        if self._is_kept(look):
            self.kept.shelf.keep(written.tag, written)
        return written

    async def _find_or_write(self, look: Look, tag: str) -> Written:
        is_kept = self._is_kept(look)
        if is_kept and (found := await self.kept.shared.answer(tag)) is not None:
            self.kept.shelf.keep(tag, found)
            return found
        rows = await self._rows(look)
        written = await (self.all_at_once(look) if rows is None else self._write(look.coverage, rows, tag))
        if is_kept or self.kept.blocks.is_wanted((tag, 0)):
            self.kept.shelf.keep(written.tag, written)
        if is_kept:
            await self.kept.shared.keep_answer(written)
        return written

    def _is_kept(self, look: Look) -> bool:
        return self.coding is not Coding.IDENTITY or not look.coverage.is_covered

    async def _rows(self, look: Look) -> Rows | None:
        """Return candles that belong to what was looked at; None if there are none to be had without a transaction."""
        rows = covered_rows if look.coverage.is_covered else open_rows
        return await rows(self.storage, self.kept, look, self._cut(look.coverage.period))

    def _cut(self, period: Period) -> Cut:
        wish = self.wish
        window = period if wish.part is None else period & wish.part
        return Cut(window, wish.limit, wish.is_newest_first, wish.writing, goes_on=wish.part is not None)

    async def _write(self, coverage: Coverage, rows: Rows, tag: str) -> Written:
        wish, next_cursor = self.wish, None
        coverage = wish.told(coverage)
        if rows.has_more and rows.edge is not None and not wish.is_last:
            next_cursor = wish.cursor(coverage.period, rows.edge)
        body = candle_answer.body(wish, coverage, rows, next_cursor)
        is_packed = self.coding.packs(len(body))
        if is_packed:
            body = await asyncio.to_thread(coding.gzip, body) if len(body) > _AT_ONCE else coding.gzip(body)
        return Written(tag, coverage.is_covered, coverage.is_complete, next_cursor, is_packed, body)


@lru_cache(_TAGS)
def _tag(wish: CandleWish, coding: Coding, period: Period, gaps: Sequence[Gap], version: int) -> str:
    """Tag all that an answer depends on; also the ends as they were asked for, with which a cursor is sealed."""
    return caching.strong_etag(
        str(wish.series),
        wish.order,
        wish.limit,
        wish.is_last,
        wish.writing.key,
        coding.value,
        [end and end.microseconds for end in wish.asked],
        period.time_from.unix,
        period.time_till.unix,
        wish.part and (wish.part.time_from.unix, wish.part.time_till.unix),
        [*gaps],
        version,
    )
