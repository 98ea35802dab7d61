"""Candles of whole days as they are written, kept in this process within a bound of bytes.

A block holds what a series has in one stretch of the calendar, at one `history_version`: as long as that is the
series', nothing in the block can have changed (I16). So nobody has to throw a block away; what is not asked for any
more makes room for what is.
"""

import asyncio
import sys
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self
from weakref import WeakValueDictionary

from app.answers.writing import Writing
from app.core.pages import CandlePage

Key = tuple[Hashable, int]

_ENTRY = 400
"""Bytes that a key and a place in the cache take, beside the block."""


@dataclass(frozen=True, slots=True)
class Block:
    """Candles written one after another. `begins` (unix seconds) ascend, `starts` follow the order of writing."""

    begins: "array[int]"
    starts: "array[int]"
    candles: bytes
    writing: Writing

    @classmethod
    def of(cls, page: CandlePage, writing: Writing) -> Self:
        """Write an ascending page."""
        candles = writing.candles(page)
        return cls(page.begins, writing.layout.starts(candles), candles, writing)

    def find(self, begin: int) -> int:
        """Return how many candles begin before this moment."""
        return bisect_left(self.begins, begin)

    def cut(self, first: int, last: int) -> memoryview:
        """Return candles `[first, last)` of the ascending order, as they are written; at least one."""
        count = len(self.begins)
        if self.writing.is_descending:
            first, last = count - last, count - first
        end = self.starts[last] - len(self.writing.layout.separator) if last < count else None
        return memoryview(self.candles)[self.starts[first] : end]

    @property
    def size(self) -> int:
        return sum(map(sys.getsizeof, (self.begins, self.starts, self.candles)))


class Blocks:
    """The least recently used blocks go first. What is asked for once is only noted, what comes again is kept.

    So a walk through years of history, which nobody repeats, does not push out what people look at.
    """

    def __init__(self, capacity: int) -> None:
        """Take the most bytes that all blocks may have together; with 0 none is kept."""
        self._capacity = capacity
        self._blocks: OrderedDict[Key, Block | None] = OrderedDict()
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self.size = 0

    def find(self, key: Key) -> Block | None:
        """Return a block, if it is here."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
        return block

    def is_wanted(self, key: Key) -> bool:
        """Tell whether a block is here or was asked for before, and note that it was."""
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return True
        self._put(key, None)
        return False

    def keep(self, key: Key, block: Block) -> None:
        """Keep a block, if it fits."""
        self._put(key, block)

    def turn(self, owner: Hashable) -> asyncio.Lock:
        """Return a lock: who makes blocks of one owner holds it, so that nobody makes the same ones beside it."""
        return self._turns.setdefault(owner, asyncio.Lock())

    def _put(self, key: Key, block: Block | None) -> None:
        if key in self._blocks:
            self.size -= _size(self._blocks.pop(key))
        if _size(block) > self._capacity:
            return
        self._blocks[key] = block
        self.size += _size(block)
        while self.size > self._capacity:
            self.size -= _size(self._blocks.popitem(last=False)[1])


def _size(block: Block | None) -> int:
    return _ENTRY + (0 if block is None else block.size)
