"""The way through the blocks of a window."""

from collections.abc import AsyncIterator, Sequence
from operator import itemgetter

from app.answers.blocks import Block
from app.answers.kept import Kept
from app.answers.rows import Cut
from app.answers.stretches import numbers_of, stretch, usual_rows, whole_bars
from app.core.spans import Period, gaps
from app.core.storage import IStorage
from app.use_cases.look_at_candles import Look, read_covered, read_shown

_MOST_ROWS = 10_000
"""Read and written at a time: after so many the event loop should do something else."""
_MOST_GAPS = 2


class Walk:
    """The blocks of a window from its beginning or its end on; those that are not kept are made as the walk goes.

    A block holds a stretch of the calendar, or as much of one as a span covers. Such a part is kept on the shelf: when
    more of the stretch is covered, another takes its place. What no span covers is read on each walk.
    """

    def __init__(self, storage: IStorage, kept: Kept, look: Look, cut: Cut) -> None:
        """Take what was looked at, and what is to be cut."""
        self._storage, self._kept, self._look, self._cut = storage, kept, look, cut
        self._timeframe = look.series.timeframe
        self._owner = (str(look.series), look.view.state.history_version, cut.writing.key)
        self._covered, self._open = _pieces(look, cut.window)

    @property
    def is_worth_it(self) -> bool:
        """Tell whether it leads through something that is covered, and through few gaps."""
        return bool(self._covered) and len(self._open) <= _MOST_GAPS

    async def is_shared(self) -> bool:
        """Tell whether the first block that is covered is at hand; bring it and the next ones if others made them."""
        if not self._kept.shared.is_there:
            return False
        window, span = self._covered[-1 if self._cut.newest_first else 0]
        numbers = self._numbers(window)[: self._next_run(0)]
        return self._find(numbers[0], span) is not None or bool(await self._bring(numbers, span))

    def blocks(self) -> AsyncIterator[Block]:
        """Give one block after the other."""
        if self._open or len(self._covered) > 1:
            return self._piece_by_piece()
        window, span = self._covered[0]
        return self._through(self._numbers(window), span)

    async def _piece_by_piece(self) -> AsyncIterator[Block]:
        pieces: list[tuple[Period, Period | None]] = [*self._covered, *self._open]
        for window, span in sorted(pieces, key=itemgetter(0), reverse=self._cut.newest_first):
            if span is None:
                yield await self._uncovered(window)
                continue
            async for block in self._through(self._numbers(window), span):
                yield block

    async def _through(self, numbers: range, span: Period) -> AsyncIterator[Block]:
        at, run = 0, 0
        while at < len(numbers):
            block = self._find(numbers[at], span)
            if block is not None:
                yield block
                at += 1
                continue
            run = self._next_run(run)
            for block in await self._make(numbers[at : at + run], span):
                yield block
                at += 1

    def _numbers(self, window: Period) -> range:
        numbers = numbers_of(self._timeframe, window)
        return numbers[::-1] if self._cut.newest_first else numbers

    def _next_run(self, run: int) -> int:
        """Return how many blocks to read at once: as many as the limit needs, and more where they were empty."""
        most = max(1, _MOST_ROWS // usual_rows(self._timeframe.base))
        return min(most, 2 * run or self._cut.limit // usual_rows(self._timeframe) + 1)

    async def _uncovered(self, window: Period) -> Block:
        """Read what there is where nothing is covered, as far as it can be needed."""
        cut = self._cut
        page = await read_shown(self._storage, self._look, window, limit=cut.limit + 1, newest_first=cut.newest_first)
        return Block.of(page, cut.writing)

    async def _make(self, numbers: range, span: Period) -> list[Block]:
        """Make the blocks of a run, unless somebody just made its first one."""
        async with self._kept.blocks.turn(self._owner):
            if (block := self._find(numbers[0], span)) is not None:
                return [block]
            return await self._bring(numbers, span) or await self._read(numbers, span)

    async def _bring(self, numbers: range, span: Period) -> list[Block]:
        """Take what other processes made of a run, as far as it goes without a break."""
        keys = [self._key(self._part(number, span)) for number in numbers]
        found = await self._kept.shared.blocks(keys, self._cut.writing)
        brought: list[Block] = []
        for number, block in zip(numbers, found, strict=True):
            if block is None:
                break
            self._keep(number, span, block)
            brought.append(block)
        return brought

    async def _read(self, numbers: range, span: Period) -> list[Block]:
        parts = [self._part(number, span) for number in numbers]
        ends = [end for part in parts if part for end in (part.time_from, part.time_till)]
        read = Period(min(ends), max(ends)) if ends else Period(span.time_from, span.time_from)
        page = await read_covered(self._storage, self._look, read)
        made = [Block.of(page.between(part.time_from, part.time_till), self._cut.writing) for part in parts]
        for number, block in zip(numbers, made, strict=True):
            self._keep(number, span, block)
        await self._kept.shared.keep_blocks(dict(zip(map(self._key, parts), made, strict=True)))
        return made

    def _find(self, number: int, span: Period) -> Block | None:
        block = self._kept.blocks.find((self._owner, number))
        if block is not None:
            return block
        part = self._part(number, span)
        is_whole = part == stretch(self._timeframe, number)
        return None if is_whole else self._kept.shelf.find(self._key(part), Block)

    def _keep(self, number: int, span: Period, block: Block) -> None:
        part = self._part(number, span)
        if part == stretch(self._timeframe, number):
            self._kept.blocks.keep((self._owner, number), block)
        else:
            self._kept.shelf.keep(self._key(part), block)

    def _part(self, number: int, span: Period) -> Period:
        """Return what is covered of a stretch."""
        part = stretch(self._timeframe, number) & span
        return whole_bars(part, self._timeframe) if self._timeframe.is_derived else part

    def _key(self, part: Period) -> str:
        series, version, (form, zone, is_descending) = self._owner
        ends = f"{part.time_from.microseconds}-{part.time_till.microseconds}"
        return f"block:{series}:{version}:{form}:{zone}:{'desc' if is_descending else 'asc'}:{ends}"


def _pieces(look: Look, window: Period) -> tuple[Sequence[tuple[Period, Period]], Sequence[tuple[Period, None]]]:
    """Return the parts of a window that are covered, each with its span, and those that are not."""
    if look.coverage.is_covered:
        return [(window, look.covering)], []
    parts = [(window & span, span) for span in look.view.covered]
    return [(part, span) for part, span in parts if part], [(part, None) for part in gaps(look.view.covered, window)]
