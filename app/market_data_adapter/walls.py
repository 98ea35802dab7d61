"""The wall times of ISS, `YYYY-MM-DD HH:MM:SS` in Moscow, as unix seconds: one by one, or a column at once."""

import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import lt

from app.core.date_time import Timestamp

WALL_LENGTH = len("2024-01-03 10:00:00")
_DAY = 86_400
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SEPARATORS = ((10, b" "), (13, b":"), (16, b":"), (17, b"0"), (18, b"0"))
_DIGITS = ((11, 36_000), (12, 3_600), (14, 600), (15, 60))
"""Where the digits of hours and minutes stand, and how many seconds one of each counts."""
_WIDTH = array("q").itemsize
_LOWEST = 0 if sys.byteorder == "little" else _WIDTH - 1
_ZEROS = sum(ord("0") * seconds for _, seconds in _DIGITS)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)", re.ASCII)


def unix_of(wall: str) -> int:
    """Turn a Moscow wall time `YYYY-MM-DD HH:MM:SS` into unix seconds; ValueError if it is none."""
    midnight = _midnight(wall[:10])
    if wall[10:11] != " ":
        raise ValueError(f"{wall!r} is no YYYY-MM-DD HH:MM:SS")
    if midnight is None:
        return Timestamp.from_moscow(datetime.fromisoformat(wall)).unix
    return midnight + _seconds(wall[11:])


@lru_cache(maxsize=16_384)
def _midnight(day: str) -> int | None:
    """Return the beginning of a Moscow day; None for a day on which the clocks were changed."""
    first = Timestamp.midnight(date.fromisoformat(day))
    next_day = Timestamp.midnight(date.fromisoformat(day) + timedelta(days=1))
    return first.unix if next_day - first == timedelta(days=1) else None


@lru_cache(maxsize=_DAY)
def _seconds(clock: str) -> int:
    if not (match := _CLOCK.fullmatch(clock)):
        raise ValueError(f"{clock!r} is no HH:MM:SS")
    hours, minutes, seconds = (int(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def unix_column(walls: Sequence[str]) -> "array[int] | None":
    """Turn a column of them, each `WALL_LENGTH` long; None unless they ascend, all whole minutes since 1970.

    What ascends as text and begins and ends with one day is of that day. Days are found by halving.
    """
    midnights = array("q")
    if not all(map(lt, walls, walls[1:])):
        return None
    try:
        while len(midnights) < len(walls):
            day = walls[len(midnights)][:10]
            same = bisect_right(walls, f"{day} 23:59:00") - len(midnights)
            midnights += array("q", [_day(day if same else "") - _ZEROS]) * same
        return _with_clocks(midnights, "".join(walls).encode("ascii"))
    except ValueError:
        return None


def _with_clocks(midnights: "array[int]", walls: bytes) -> "array[int]":
    """Add to each midnight what its wall time says of hours and minutes; ValueError if one is no whole minute.

    A column of digits is one long number, 64 bits a row: so all rows are added up at once.
    """
    count = len(midnights)
    columns = [walls[at::WALL_LENGTH] for at, _ in _DIGITS]
    are_separated = all(walls[at::WALL_LENGTH] == each * count for at, each in _SEPARATORS)
    if not (are_separated and b"".join(columns).isdigit()) or columns[2].translate(None, b"012345"):
        raise ValueError("not all are whole minutes")
    total = int.from_bytes(midnights, sys.byteorder)
    for column, (_, seconds) in zip(columns, _DIGITS, strict=True):
        wide = bytearray(_WIDTH * count)
        wide[_LOWEST::_WIDTH] = column
        total += int.from_bytes(wide, sys.byteorder) * seconds
    return array("q", total.to_bytes(_WIDTH * count, sys.byteorder))


def _day(text: str) -> int:
    """Return where a day begins; ValueError for what is no day of 24 hours since 1970."""
    midnight = _midnight(text) if _DATE.fullmatch(text) else None
    if midnight is None or midnight < 0:
        raise ValueError(f"{text!r} is no day of 24 hours")
    return midnight
