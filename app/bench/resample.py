"""Minutes to longer bars: `python -m app.bench.resample`. A million minutes in memory, the best of five rounds."""

from time import perf_counter

from rich.console import Console
from rich.table import Table

from app.core.entities import Security, Series, Timeframe
from app.core.pages import CandlePage
from app.core.resampling import roll_up

ROWS = 1_000_000
ROUNDS = 5

_START = 1_704_265_200  # 2024-01-03 10:00 in Moscow
_LONGER = (Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H2, Timeframe.H4, Timeframe.D1)


def main() -> None:
    """Measure every length and print million minutes a second."""
    series = Series(Security("SIM000", "TQBR"), Timeframe.M1)
    rows = ((_START + 60 * n, 1.5, 2.0, 1.0, 1.75, float(n % 997), n / 7, 1) for n in range(ROWS))
    minutes = CandlePage.from_rows(series, rows)
    table = Table("to", "million minutes/s", box=None)
    for timeframe in _LONGER:
        table.add_row(timeframe, f"{ROWS / min(_seconds(minutes, timeframe) for _ in range(ROUNDS)) / 1e6:.1f}")
    Console().print(table)


def _seconds(minutes: CandlePage, timeframe: Timeframe) -> float:
    start = perf_counter()
    rolled = roll_up(minutes, timeframe)
    passed = perf_counter() - start
    assert sum(rolled.volumes) == sum(minutes.volumes)
    return passed


if __name__ == "__main__":
    main()
