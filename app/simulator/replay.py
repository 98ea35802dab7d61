"""The replayed tape: rows read from recorded files `FOLDER/BOARD/TICKER/INTERVAL.csv`.

INTERVAL is the number of ISS; the files are UTF-8 with commas and a header row that names the columns of ISS in any
order. Numbers are kept as doubles; rows are put in the order of time and otherwise left as they are, repeats included.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import isfinite
from pathlib import Path

from app.core.entities import Timeframe
from app.simulator import slots
from app.simulator.iss import row_text
from app.simulator.listings import BOARDS, LISTINGS, SHARES, TQBR, Board, Listing
from app.simulator.tape import Chunk, Window, begin_of

COLUMNS = ("open", "close", "high", "low", "value", "volume", "begin", "end")
_MOMENTS = ("begin", "end")
_NO_ID = 0
_SAMPLE = 1_000
_MOST_DECIMALS = 6
_DAY = timedelta(days=1)
_WITHIN_A_DAY = {*slots.MINUTES, Timeframe.D1}

Rows = Mapping[Timeframe, Sequence[str]]


class TapeError(Exception):
    """A folder or a file that is no tape: names the file, the line or the column, and what was expected."""


class ReplayTape:
    """What a folder holds. A bar becomes visible when its slot has passed."""

    def __init__(self, folder: Path) -> None:
        """Read the whole folder; TapeError if it is no tape."""
        self._rows: dict[tuple[str, str], Rows] = {}
        listings: list[Listing] = []
        for place in sorted(path for path in folder.glob("*/*") if path.is_dir()):
            if rows := {_timeframe(path): read_rows(path) for path in sorted(place.glob("*.csv"))}:
                listings.append(_listing(place, rows))
                self._rows[_key(listings[-1])] = rows
        if not self._rows:
            raise TapeError(f"{folder}: no file BOARD/TICKER/INTERVAL.csv in it")
        self.listings: Sequence[Listing] = listings
        ends = [_end(timeframe, rows[-1]) for each in self._rows.values() for timeframe, rows in each.items() if rows]
        self.start: datetime | None = max(ends) + _DAY if ends else None

    def find(self, ticker: str) -> Sequence[Listing]:
        return [listing for listing in self.listings if listing.ticker.lower() == ticker.lower()]

    def chunks(
        self, listing: Listing, timeframe: Timeframe, window: Window, known: datetime, *, reverse: bool = False
    ) -> Iterator[Chunk]:
        del reverse  # one chunk has no order
        rows = self._rows[_key(listing)].get(timeframe, ())
        if listing.halts and timeframe in _WITHIN_A_DAY:
            rows = [row for row in rows if not listing.is_halted(date.fromisoformat(begin_of(row)[:10]))]
        closed = slots.floor(timeframe, known).isoformat(sep=" ")
        low = bisect_left(rows, window.low, key=begin_of)
        high = min(bisect_left(rows, text, key=begin_of) for text in (window.high + "~", closed))
        if low < high:
            yield Chunk(high - low, lambda: rows[low:high])


def _key(listing: Listing) -> tuple[str, str]:
    return listing.board.code, listing.ticker


def _end(timeframe: Timeframe, row: str) -> datetime:
    return slots.after(timeframe, datetime.fromisoformat(begin_of(row)))


def read_rows(path: Path) -> list[str]:
    """Read a file; TapeError names the file and the line or column that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise TapeError(f"{path}: no column {', '.join(missing)} in its header row")
            rows = [_row(path, reader.line_num, cells) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TapeError(f"{path}: no UTF-8 text with commas: {error}") from error
    return sorted(rows, key=begin_of)


def _row(path: Path, line: int, cells: Mapping[str, str | None]) -> str:
    values: list[str | float] = []
    for name in COLUMNS:
        text = (cells[name] or "").strip()
        try:
            values.append(_moment(text) if name in _MOMENTS else _number(text))
        except ValueError as error:
            kind = "moment" if name in _MOMENTS else "number"
            raise TapeError(f"{path}, line {line}, column {name}: {text!r} is no {kind}") from error
    return row_text(values)


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _number(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _timeframe(path: Path) -> Timeframe:
    timeframe = slots.BY_INTERVAL.get(int(path.stem)) if path.stem.isdecimal() else None
    if timeframe is None:
        numbers = ", ".join(map(str, sorted(slots.BY_INTERVAL)))
        raise TapeError(f"{path}: a file is named for an interval of ISS: {numbers}")
    return timeframe


def _listing(place: Path, rows: Rows) -> Listing:
    """Describe a security by what is known of its namesake, and by its rows."""
    ticker, code = place.name, place.parent.name
    board = BOARDS.get(code.upper()) or Board(_NO_ID, code, code, TQBR.group, SHARES)
    namesakes = [each for each in LISTINGS if each.ticker == ticker and each.board is board]
    sample = [row for some in rows.values() for row in some[:_SAMPLE]]
    known = namesakes[0] if namesakes else Listing(ticker, board, ticker, ticker, decimals=_decimals(sample))
    first = min((begin_of(some[0]) for some in rows.values() if some), default=f"{known.listed_from}")
    return replace(known, listed_from=date.fromisoformat(first[:10]), listed_till=None)


def _decimals(rows: Sequence[str]) -> int:
    """Count the digits after the point; longer numbers than any price has are the noise of doubles."""
    counts = (len(price.partition(".")[2]) for row in rows for price in row.split(", ")[:4])
    return max((count for count in counts if count <= _MOST_DECIMALS), default=2)
