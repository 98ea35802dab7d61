"""Loads and exports, watched from the terminal."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from app.core.entities import Series, Timeframe
from app.core.market_data import LoadStep, Wish
from app.core.pages import CandlePage
from app.core.spans import Period
from app.use_cases.export_candles import CandleExport
from app.use_cases.get_update import UpdateProgress

_DAYS = {Timeframe.D1: 1, Timeframe.W1: 7, Timeframe.MN1: 30, Timeframe.Q1: 91}


class LoadProgress:
    """A bar over the slots of all missing periods, whatever their timeframe; nothing is drawn in a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        """Take where to draw: stderr, unless told."""
        self.series: list[Series] = []
        self._rows = 0
        self._task: TaskID | None = None
        self._progress = _bars(console or Console(stderr=True))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None and kind is None:
            total = self._progress.tasks[0].total
            self._progress.update(self._task, completed=total, description="loaded")
        self._progress.stop()

    def begin(self, missing: Sequence[Wish], /) -> None:
        self.series = list(dict.fromkeys(wish.series for wish in missing))
        total = sum(_slots(wish.series, wish.period) for wish in missing)
        self._task = self._progress.add_task("loading", total=total, rows=0)

    def advance(self, step: LoadStep, /) -> None:
        if self._task is not None:
            self._rows += step.rows
            slots = _slots(step.series, step.period)
            self._progress.update(self._task, advance=slots, rows=self._rows, description=str(step.series))


class UpdateWatch:
    """A bar over the open minutes of an update, as a service tells of it; for a terminal."""

    def __init__(self, update_id: str, console: Console | None = None) -> None:
        """Take what to call it, and where to draw: stderr, unless told."""
        self._progress = _bars(console or Console(stderr=True))
        self._task = self._progress.add_task(f"update {update_id}", total=None, rows=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, progress: UpdateProgress) -> None:
        """Draw how far it is now."""
        total = max(progress.requested, 1)
        covered = progress.covered if progress.requested else total
        words = str(progress.state)
        self._progress.update(self._task, total=total, completed=covered, rows=progress.rows, description=words)


class ExportProgress:
    """A bar over the slots of the series that is being written; nothing is drawn in a pipe."""

    def __init__(self, series: int) -> None:
        """Take how many there will be."""
        self._series = series
        self._begun = 0
        self._progress = _bars(Console(stderr=True))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watch(self, export: CandleExport) -> CandleExport:
        """Begin the bar of a series; it follows the pages of what is returned."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._begun += 1
        which = f" ({self._begun} of {self._series})" if self._series > 1 else ""
        total = _slots(export.series, export.coverage.period)
        task = self._progress.add_task(f"{export.series}{which}", total=total, rows=0)
        return replace(export, pages=self._followed(export, task))

    async def _followed(self, export: CandleExport, task: TaskID) -> AsyncIterator[CandlePage]:
        period, rows = export.coverage.period, 0
        async for page in export.pages:
            yield page
            rows += len(page)
            done = _slots(export.series, Period(period.time_from, page[-1].timestamp))
            self._progress.update(task, completed=done, rows=rows)
        self._progress.update(task, completed=self._progress.tasks[0].total)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]:,} candles"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _slots(series: Series, period: Period) -> float:
    step = series.timeframe.step or timedelta(days=_DAYS[series.timeframe])
    return max(period.time_till - period.time_from, timedelta()) / step
