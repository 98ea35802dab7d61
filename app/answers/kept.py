"""All that a process has at hand to answer with."""

from dataclasses import dataclass
from typing import Self

from app.answers.blocks import Blocks
from app.answers.flights import Flights
from app.answers.shared import Shared
from app.answers.shelf import Shelf
from app.answers.written import Written
from app.core.cache import ICache


@dataclass(frozen=True, slots=True)
class Kept:
    """Blocks of whole stretches of the calendar, which stay true for good; on the shelf what something newer follows.

    On their way are answers by their tags (`writing`), and by what is asked for where nobody looked yet (`reading`).
    """

    blocks: Blocks
    shelf: Shelf
    writing: Flights[Written]
    reading: Flights[Written | None]
    shared: Shared

    @classmethod
    def within(cls, capacity: int, lifetime: float, cache: ICache | None) -> Self:
        """Begin with nothing: so many bytes at most, a quarter of them for what stands no longer than `lifetime`."""
        return cls(
            Blocks(capacity - capacity // 4), Shelf(capacity // 4, lifetime), Flights(), Flights(), Shared(cache)
        )
