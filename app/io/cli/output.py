"""What a command shows: data to stdout, words to stderr; colour and frames at a terminal, plain lines in a pipe."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.measure import Measurement
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from app.core.date_time import Timestamp
from app.core.entities import Candle

CANDLE_COLUMNS = ("begin", "open", "high", "low", "close", "volume", "value", "final")

_ANY_WIDTH = 10_000

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def say(message: str, style: str = "") -> None:
    """Tell people something; scripts do not see it."""
    _err.print(Text(message, style), soft_wrap=True)


def complain(message: str) -> None:
    """Say in one sentence what went wrong."""
    _err.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Draw how far a loop is, at a terminal; call what it gives once a turn."""
    with Progress(console=_err, disable=not _err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def is_terminal() -> bool:
    """Tell whether people read stdout, and no program."""
    return sys.stdout.isatty()


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()) -> None:
    """Show a table; in a pipe the cells are separated by tabs, the names of the columns come first."""
    if not is_terminal():
        for row in (columns, *rows):
            print("\t".join(row))  # noqa: T201  # data for the next program
        return
    table = Table(header_style="bold", box=None, pad_edge=False)
    right = set(numbers)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    whole = Measurement.get(_out, _out.options.update(width=_ANY_WIDTH), table).maximum
    Console(width=whole).print(table)  # a narrow terminal breaks lines, but no number is cut short


def show_lines(lines: Iterable[Text]) -> None:
    """Show drawn lines whole, however narrow the terminal."""
    for line in lines:
        _out.print(line, no_wrap=True, crop=False)


def show_json(items: Iterable[Mapping[str, object]]) -> None:
    """Write a JSON array, one object on a line."""
    separator = "["
    for item in items:
        text = json.dumps(item, ensure_ascii=False, allow_nan=False)
        sys.stdout.write(f"{separator}\n{text}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def show_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write CSV with a header; truth is `true` or `false`, as in JSON."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "final": str(row["final"]).lower()} for row in rows)


def candle_object(candle: Candle) -> dict[str, object]:
    """Return a candle for machines: its beginning in UTC, numbers that read back equal."""
    return {
        "begin": str(candle.timestamp),
        "open": plain(candle.open),
        "high": plain(candle.high),
        "low": plain(candle.low),
        "close": plain(candle.close),
        "volume": plain(candle.volume),
        "value": plain(candle.value),
        "final": candle.is_final,
    }


def plain(number: float) -> float | int:
    """Return a whole number without its `.0`, where that reads back as the same double."""
    whole = number.is_integer() and abs(number) < 2**53
    return int(number) if whole else number


def when(moment: Timestamp | None, *, utc: bool = False) -> str:
    """Write a moment for people, in Moscow unless asked otherwise; seconds only where there are any."""
    if moment is None:
        return ""
    wall = (moment.utc if utc else moment.moscow).replace(tzinfo=None, microsecond=0)
    text = wall.isoformat(sep=" ")
    return text.removesuffix(":00")


def optional(moment: Timestamp | None) -> str | None:
    """Write a moment for machines."""
    return None if moment is None else str(moment)
