"""Slices of lazy collections: how they compose, and what they refuse."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Window:
    """Positions `[start, stop)` of an ordered subset; without `stop` to its end."""

    start: int = 0
    stop: int | None = None

    def narrow(self, by: slice) -> Self:
        """Take a slice of what the window shows, as slicing a sliced list does."""
        if not isinstance(by, slice):
            raise TypeError(f"a collection is sliced, not indexed: [{by!r}:][:1]")
        start, stop = by.start or 0, by.stop
        if by.step not in (None, 1) or start < 0 or (stop is not None and stop < 0):
            raise ValueError(f"a slice goes forward, step by step, from positions that are not negative: {by}")
        low = self.start + start
        ends = [end for end in (self.stop, None if stop is None else self.start + stop) if end is not None]
        return type(self)(low, max(low, min(ends)) if ends else None)

    def require_whole(self) -> None:
        """Refuse to narrow, turn or clear a subset that was sliced already."""
        if self != WHOLE:
            raise TypeError("filter first, slice last")


WHOLE = Window()
