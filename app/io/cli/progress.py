"""A load, watched from the terminal."""

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from app.core.entities import Series, Timeframe
from app.core.market_data import LoadStep, Wish
from app.core.spans import Period

_DAYS = {Timeframe.D1: 1, Timeframe.W1: 7, Timeframe.MN1: 30, Timeframe.Q1: 91}


class LoadProgress:
    """A bar over the slots of all missing periods, whatever their timeframe; nothing is drawn in a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        """Take where to draw: stderr, unless told."""
        self.series: list[Series] = []
        self._rows = 0
        self._task: TaskID | None = None
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rows]:,} candles"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

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


def _slots(series: Series, period: Period) -> float:
    step = series.timeframe.step or timedelta(days=_DAYS[series.timeframe])
    return max(period.time_till - period.time_from, timedelta()) / step
