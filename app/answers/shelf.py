"""Answers and beginnings of days, kept in this process within a bound of bytes until something newer takes over."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar

_ENTRY = 400
"""Bytes that a key and a place take, beside the value."""


class Sized(Protocol):
    """What knows how many bytes it takes."""

    @property
    def size(self) -> int: ...


Found = TypeVar("Found", bound=Sized)


class Shelf:
    """What was put here stands for `lifetime` seconds; where there is no room, what was used longest ago goes first.

    A key holds the version of the series, so nothing here ever becomes wrong: it is only asked for no more.
    """

    def __init__(self, capacity: int, lifetime: float, *, now: Callable[[], float] = time.monotonic) -> None:
        """Take the most bytes of all together; with 0 nothing is kept."""
        self._capacity = capacity
        self._lifetime = lifetime
        self._now = now
        self._places: OrderedDict[str, tuple[Sized, float]] = OrderedDict()
        self.size = 0

    def find(self, key: str, kind: type[Found]) -> Found | None:
        """Return what stands here under a key, which tells its kind."""
        place = self._places.get(key)
        if place is None:
            return None
        value, end = place
        if self._now() >= end:
            self._remove(key)
            return None
        self._places.move_to_end(key)
        return value if isinstance(value, kind) else None

    def keep(self, key: str, value: Sized) -> None:
        """Put something here, if it fits."""
        if key in self._places:
            self._remove(key)
        if _ENTRY + value.size > self._capacity:
            return
        self._places[key] = (value, self._now() + self._lifetime)
        self.size += _ENTRY + value.size
        while self.size > self._capacity:
            self._remove(next(iter(self._places)))

    def _remove(self, key: str) -> None:
        value, _ = self._places.pop(key)
        self.size -= _ENTRY + value.size
