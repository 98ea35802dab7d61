"""Bars as columns, and their folding into longer ones.

Only one-minute bars are ever made; everything longer adds up exactly by construction: M10 is folded from M1, H1 from
M10, D1 from H1, and W1, MN1, Q1 from D1. The value of a bar is the sum of its parts' values in time order, added one
after another as doubles; volumes are whole numbers.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Self

Row = tuple[int, int, int, int, int, float, int]
"""minute, open, high, low, close, value, volume; prices in ticks, minutes from midnight."""

Ints = Iterable[int]

_COLUMNS = 7
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one day in time order, by their beginnings in minutes from midnight; prices in ticks."""

    minutes: "array[int]"
    opens: "array[int]"
    highs: "array[int]"
    lows: "array[int]"
    closes: "array[int]"
    values: "array[float]"
    volumes: "array[int]"

    @classmethod
    def of_columns(
        cls, minutes: Ints, opens: Ints, highs: Ints, lows: Ints, closes: Ints, values: Iterable[float], volumes: Ints
    ) -> Self:
        first, opened, high, low, close, traded = (
            array("q", column) for column in (minutes, opens, highs, lows, closes, volumes)
        )
        return cls(first, opened, high, low, close, array("d", values), traded)

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Self:
        columns: list[tuple[int, ...]] = list(zip(*rows, strict=True)) or [()] * _COLUMNS
        return cls.of_columns(*columns)

    @property
    def rows(self) -> Iterator[Row]:
        return zip(self.minutes, self.opens, self.highs, self.lows, self.closes, self.values, self.volumes, strict=True)

    def __len__(self) -> int:
        return len(self.minutes)

    def fold(self, step: int) -> "Bars":
        """Put the bars of each slot of so many minutes together."""
        slots = [minute // step for minute in self.minutes]
        starts = [n for n, slot in enumerate(slots) if not n or slot != slots[n - 1]]
        return Bars.of_rows(
            (
                slots[i] * step,
                self.opens[i],
                max(self.highs[i:j]),
                min(self.lows[i:j]),
                self.closes[j - 1],
                reduce(add, self.values[i:j]),
                sum(self.volumes[i:j]),
            )
            for i, j in pairwise([*starts, len(self)])
        )

    def until(self, second: int, lot: int) -> "Bars":
        """Return what is known so many seconds after midnight; of the minute that then passes, a part."""
        rows = [row for row in self.rows if row[0] * _SECONDS < second]
        if rows and (passed := second - rows[-1][0] * _SECONDS) < _SECONDS:
            rows[-1] = _part(rows[-1], passed, lot)
        return Bars.of_rows(rows)


def join(days: Iterable[Bars]) -> Bars:
    """Fold the bars of several days into one; none into none."""
    return Bars.of_rows((0, *row[1:]) for day in days for row in day.rows).fold(1)


def _part(row: Row, passed: int, lot: int) -> Row:
    minute, opened, high, low, close, value, volume = row
    now = opened + (close - opened) * passed // _SECONDS
    highest, lowest = (high, low) if passed * 2 >= _SECONDS else (max(opened, now), min(opened, now))
    traded = max(volume * passed // _SECONDS // lot, 1) * lot if volume else 0
    return minute, opened, highest, lowest, now, value * passed / _SECONDS, traded
