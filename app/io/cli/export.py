"""Candles into files of any size: one series a file, or one into a pipe."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.errors import CandleServiceError, InputError, NotFoundError, SeriesChangedError
from app.io.cli import output
from app.io.cli.options import AsJson, From, OneTimeframe, SomeSecurities, Till
from app.io.cli.progress import ExportProgress
from app.io.cli.running import FAILED, run
from app.io.forms import FileForm
from app.io.whole_file import whole_file
from app.use_cases import export_candles as exporting
from app.use_cases.export_candles import CandleExport
from app.use_cases.get_candles import Coverage

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service

_ENDINGS = {
    ".csv": FileForm.CSV,
    ".ndjson": FileForm.NDJSON,
    ".jsonl": FileForm.NDJSON,
    ".arrow": FileForm.ARROW,
    ".arrows": FileForm.ARROW,
    ".parquet": FileForm.PARQUET,
}
_STDOUT = "-"


class IncompleteError(CandleServiceError):
    """Not everything the exchange has of the period is stored and final."""


def export(
    security: SomeSecurities,
    timeframe: OneTimeframe = Timeframe.D1,
    time_from: From = None,
    time_till: Till = None,
    form: Annotated[
        FileForm | None,
        typer.Option("--format", "-f", help="By default what the ending of the output says, else csv."),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A file, a folder for files named for their series, or stdout.",
        ),
    ] = ".",
    *,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Write what there is, although something is missing or not final.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write all candles of a period into files, however many, times in UTC.

    Without --till up to where the series is covered. A file appears under its name when all of it is written. A series
    of which something is missing is not written without --incomplete, and stops nobody else; the exit code is then 1.
    arrow is an Arrow IPC stream; it and parquet need pip install 'moex-candles[arrow]'.
    """
    chosen = form or _ENDINGS.get(Path(target).suffix.lower(), FileForm.CSV)
    order = _Order(time_from, time_till, chosen, Path(target), may_miss=incomplete)
    series = [Series(each, timeframe or Timeframe.D1) for each in dict.fromkeys(security)]
    if target == _STDOUT:
        _check_stdout(series, chosen, as_json=as_json)
    elif len(series) > 1 or target.endswith("/"):
        order = order.into_folder()
    with ExportProgress(len(series)) as progress:
        written = run(lambda service: order.fulfil(service, series, progress))
    _show(written, as_json=as_json, is_stdout=target == _STDOUT)
    if failed := sum(each.error is not None for each in written):
        output.complain(f"{failed} of {len(written)} could not be written")
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True)
class _Order:
    """What every file should hold, and where it should be; open ends are None."""

    time_from: Timestamp | None
    time_till: Timestamp | None
    form: FileForm
    target: Path
    may_miss: bool

    def into_folder(self) -> "_Order":
        """Make the folder if it is not there."""
        try:
            self.target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("output", f"{self.target} is no folder and cannot be made: {error.strerror}") from error
        return self

    async def fulfil(
        self, service: "Service", wanted: Sequence[Series], progress: ExportProgress
    ) -> Sequence["_Written"]:
        """Write one after another; the error of a single one is raised."""
        written = []
        for series in wanted:
            try:
                written.append(await self._write(service, series, progress))
            except (NotFoundError, SeriesChangedError, IncompleteError) as error:
                if len(wanted) == 1:
                    raise
                output.complain(f"{series}: {error}")
                written.append(_Written(series, error=error))
        return written

    async def _write(self, service: "Service", series: Series, progress: ExportProgress) -> "_Written":
        period = await exporting.export_period(
            service.storage, service.clock, series, time_from=self.time_from, time_till=self.time_till
        )
        found = await exporting.export_candles(service.storage, series, period)
        if not (found.coverage.is_complete or self.may_miss):
            raise IncompleteError(f"{_missing(found.coverage)}: --incomplete writes what there is")
        path = self.target / self.form.file_name(series) if self.target.is_dir() else self.target
        with _open(path) as file:
            candles, size = await _fill(file, progress.watch(found), self.form)
        return _Written(series, found.coverage, str(path), candles, size)


@dataclass(frozen=True, slots=True)
class _Written:
    """What became of a series: a file, and what is in it; or the error that left none."""

    series: Series
    coverage: Coverage | None = None
    file: str | None = None
    candles: int = 0
    size: int = 0
    error: CandleServiceError | None = None


async def _fill(file: BinaryIO, found: CandleExport, form: FileForm) -> tuple[int, int]:
    """Return how many candles and how many bytes were written."""
    from app.io.exporting import open_writer, write_out  # noqa: PLC0415  # heavier than `--help` may be

    size = 0

    async def put(data: bytes) -> None:
        nonlocal size
        size += len(data)
        await asyncio.to_thread(file.write, data)

    return await write_out(found, open_writer(form, found, UTC), put), size


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    if str(path) == _STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise InputError("output", f"{path} cannot be written: {error.strerror}") from error


def _check_stdout(series: Sequence[Series], form: FileForm, *, as_json: bool) -> None:
    if len(series) > 1 or as_json:
        raise InputError("output", "stdout takes one series, without --json: name a folder")
    if output.is_terminal() and not form.is_text:
        raise InputError("output", f"{form} is nothing for a terminal: name a file")


def _missing(coverage: Coverage) -> str:
    gaps = [gap for gap in coverage.gaps if not gap.is_empty]
    reasons = ", ".join(sorted({gap.reason for gap in gaps}))
    where = f"{output.when(gaps[0].period.time_from)} to {output.when(gaps[-1].period.time_till)}"
    return f"not all of the period is stored and final ({len(gaps)} gaps, {where}: {reasons})"


def _show(written: Sequence[_Written], *, as_json: bool, is_stdout: bool) -> None:
    for each in written:
        if each.coverage is not None and not each.coverage.is_complete:
            output.say(f"{each.series}: {_missing(each.coverage)}", "yellow")
    if as_json:
        output.show_json(map(_object, written))
    elif not is_stdout:
        numbers = ("candles", "bytes")
        rows = [
            (str(each.series), f"{each.candles}", f"{each.size}", each.file or f"failed: {each.error}")
            for each in written
        ]
        output.show_rows(("series", *numbers, "file"), rows, numbers=numbers)


def _object(written: _Written) -> dict[str, object]:
    coverage = written.coverage
    return {
        "security": str(written.series.security),
        "timeframe": written.series.timeframe,
        "from": None if coverage is None else str(coverage.period.time_from),
        "till": None if coverage is None else str(coverage.period.time_till),
        "complete": coverage is not None and coverage.is_complete,
        "version": None if coverage is None else coverage.version,
        "file": written.file,
        "candles": written.candles,
        "bytes": written.size,
        "error": None if written.error is None else str(written.error),
    }
