"""Lists of securities as people keep them: CSV with a header, or plain lines."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.core.entities import Security, Timeframe
from app.core.errors import InputError
from app.io.parameters import parse_since, parse_timeframe, parse_wanted
from app.use_cases.create_security import Since

COLUMNS = ("ticker", "board", "timeframes", "since")

_BETWEEN = re.compile(r"[\s,;|]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that names a security; what it leaves open is empty."""

    line: int
    security: Security | str
    timeframes: Sequence[Timeframe] = ()
    since: Since | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that makes no sense, and why."""

    line: int
    error: InputError


def read_entries(text: str) -> list[Entry | BadLine]:
    """Read every line that is not empty and no `# comment`. InputError when a CSV header has an unknown column.

    A first line that names a column `ticker` makes it CSV, with commas, semicolons or tabs.
    """
    lines = [
        (number, line)
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        return []
    delimiter = next((mark for mark in ";\t" if mark in lines[0][1]), ",")
    header = [name.strip().lower() for name in lines[0][1].split(delimiter)]
    if "ticker" not in header:
        return [_checked(number, _plain(line)) for number, line in lines]
    if unknown := [name for name in header if name not in COLUMNS]:
        raise InputError("file", f"line {lines[0][0]}: no such column {', '.join(unknown)}: write {', '.join(COLUMNS)}")
    return list(_csv(lines[1:], header, delimiter))


def _csv(lines: Iterable[tuple[int, str]], header: Sequence[str], delimiter: str) -> Iterator[Entry | BadLine]:
    for number, line in lines:
        [cells] = csv.reader([line], delimiter=delimiter)
        if len(cells) > len(header):
            wrong = f'{len(cells)} cells under {len(header)} columns: quote a list, as in "H1,D1"'
            yield BadLine(number, InputError("file", wrong))
        else:
            yield _checked(number, dict(zip(header, map(str.strip, cells), strict=False)))


def _plain(line: str) -> dict[str, str]:
    ticker, board, *rest = [*_BETWEEN.split(line.strip()), ""]
    return {"ticker": ticker, "board": board, "rest": " ".join(rest).strip()}


def _checked(number: int, cells: Mapping[str, str]) -> Entry | BadLine:
    try:
        return _entry(number, cells)
    except InputError as error:
        return BadLine(number, error)


def _entry(number: int, cells: Mapping[str, str]) -> Entry:
    if cells.get("rest"):
        raise InputError("line", "write TICKER BOARD, BOARD:TICKER or TICKER; or CSV with a header")
    names = [name for name in _BETWEEN.split(cells.get("timeframes", "")) if name]
    since = cells.get("since")
    return Entry(
        number,
        parse_wanted(cells.get("ticker", ""), cells.get("board") or None, field="ticker"),
        [parse_timeframe(name, "timeframes") for name in names],
        parse_since(since) if since else None,
    )
