"""Interval algebra over half-open periods `[time_from, time_till)`: what is covered and what is missing."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.core.date_time import Timestamp


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open stretch of time; one that ends where it begins or before is empty."""

    time_from: Timestamp
    time_till: Timestamp

    def __bool__(self) -> bool:
        return self.time_from < self.time_till

    def __contains__(self, moment: Timestamp) -> bool:
        return self.time_from <= moment < self.time_till

    def __and__(self, other: "Period") -> "Period":
        """Return what both have in common; empty when nothing."""
        return Period(max(self.time_from, other.time_from), min(self.time_till, other.time_till))

    def __str__(self) -> str:
        return f"[{self.time_from}, {self.time_till})"


def merge(periods: Iterable[Period]) -> list[Period]:
    """Unite periods into their normal form: sorted, disjoint, not adjacent, none empty."""
    united: list[Period] = []
    for period in sorted(p for p in periods if p):
        if united and period.time_from <= united[-1].time_till:
            united[-1] = Period(united[-1].time_from, max(united[-1].time_till, period.time_till))
        else:
            united.append(period)
    return united


def gaps(spans: Iterable[Period], window: Period) -> list[Period]:
    """Return the parts of the window that no span covers, oldest first."""
    missing: list[Period] = []
    cursor = window.time_from
    for span in merge(spans):
        if hole := Period(cursor, span.time_from) & window:
            missing.append(hole)
        cursor = max(cursor, span.time_till)
    if rest := Period(cursor, window.time_till) & window:
        missing.append(rest)
    return missing


def subtract(spans: Iterable[Period], holes: Iterable[Period]) -> list[Period]:
    """Return what the spans cover outside the holes, in normal form."""
    taken = merge(holes)
    return [part for span in merge(spans) for part in gaps(taken, span)]
