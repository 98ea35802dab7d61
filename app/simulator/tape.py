"""The tape: what the simulated exchange has in store, row by row, as known at a moment.

A row is kept as the text of its values in the order of ISS: `open, close, high, low, value, volume, "begin", "end"`;
so pages are joined, not rendered again. Moments are naive Moscow wall time, as ISS writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from app.core.entities import Timeframe
from app.simulator.listings import Listing

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Window:
    """Texts `YYYY-MM-DD HH:MM:SS`; as in ISS both ends belong to it: `low <= begin <= high`."""

    low: str = "0001-01-01 00:00:00"
    high: str = "9999-12-31 23:59:59"

    @property
    def first_day(self) -> date:
        return date.fromisoformat(self.low[:10])

    @property
    def last_day(self) -> date:
        return date.fromisoformat(self.high[:10])

    def cut(self, rows: Sequence[str]) -> Sequence[str]:
        """Return those of the rows that begin in the window."""
        return [row for row in rows if self.low <= begin_of(row) <= self.high]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow each other in time: how many, and a way to get them."""

    count: int
    rows: Callable[[], Sequence[str]]


class Tape(Protocol):
    """What a server of ISS answers from."""

    @property
    def listings(self) -> Sequence[Listing]:
        """What a search finds; `find` may know more."""

    @property
    def start(self) -> datetime | None:
        """The wall time at which its clock should start, or None for the present."""

    def find(self, ticker: str) -> Sequence[Listing]:
        """Return the listings of a ticker on all boards; case does not matter."""

    def chunks(
        self, listing: Listing, timeframe: Timeframe, window: Window, known: datetime, *, reverse: bool = False
    ) -> Iterator[Chunk]:
        """Walk over what was known of the window at a wall time, oldest chunk first or, in reverse, newest first."""


def begin_of(row: str) -> str:
    """Return the text of a row's beginning."""
    return row[-43:-24]


def page(chunks: Iterable[Chunk], start: int = 0, size: int = PAGE_ROWS, *, reverse: bool = False) -> list[str]:
    """Return so many rows after the first `start`."""
    taken: list[str] = []
    for chunk in chunks:
        if start >= chunk.count:
            start -= chunk.count
            continue
        rows = chunk.rows()[::-1] if reverse else chunk.rows()
        taken += rows[start : start + size - len(taken)]
        start = 0
        if len(taken) >= size:
            break
    return taken
