"""Instants, and the Moscow wall clock in which the exchange speaks."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self, overload
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")
"""UTC+3 today, UTC+4 from 2011 to 2014-10-26, with daylight saving before: never a fixed offset."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant. Built from any aware datetime, kept in UTC; a naive datetime raises ValueError."""

    utc: datetime

    def __post_init__(self) -> None:
        if self.utc.tzinfo is UTC:
            return
        if self.utc.tzinfo is None:
            raise ValueError(f"an instant needs a zone: {self.utc.isoformat()} has none")
        object.__setattr__(self, "utc", self.utc.astimezone(UTC))

    @classmethod
    def from_unix(cls, seconds: int) -> Self:
        return cls(_EPOCH + timedelta(seconds=seconds))

    @classmethod
    def from_microseconds(cls, microseconds: int) -> Self:
        return cls(_EPOCH + timedelta(microseconds=microseconds))

    @classmethod
    def from_moscow(cls, wall: datetime) -> Self:
        """Read a naive Moscow wall time.

        Of an hour that happened twice (2014-10-26) the first is meant; one that never happened (the spring gaps
        until 2011) raises ValueError.
        """
        instant = cls(wall.replace(tzinfo=MOSCOW, fold=0))
        if instant.moscow.replace(tzinfo=None) != wall.replace(fold=0):
            raise ValueError(f"{wall.isoformat(sep=' ')} never happened in Moscow: the clocks skipped it")
        return instant

    @classmethod
    def midnight(cls, day: date) -> Self:
        """Return the beginning of a Moscow day."""
        return cls.from_moscow(datetime.combine(day, time()))

    @property
    def moscow(self) -> datetime:
        """The aware Moscow wall time."""
        return self.utc.astimezone(MOSCOW)

    @property
    def unix(self) -> int:
        """Whole seconds since 1970, rounded down."""
        return self.microseconds // 1_000_000

    @property
    def microseconds(self) -> int:
        """Microseconds since 1970."""
        return (self.utc - _EPOCH) // _MICROSECOND

    def __add__(self, delta: timedelta) -> "Timestamp":
        return Timestamp(self.utc + delta)

    @overload
    def __sub__(self, other: timedelta) -> "Timestamp": ...
    @overload
    def __sub__(self, other: "Timestamp") -> timedelta: ...
    def __sub__(self, other: "timedelta | Timestamp") -> "Timestamp | timedelta":
        if isinstance(other, Timestamp):
            return self.utc - other.utc
        return Timestamp(self.utc - other)

    def __str__(self) -> str:
        """Write RFC 3339 in UTC: `2024-01-03T07:00:00Z`."""
        return self.utc.isoformat().replace("+00:00", "Z")
