"""What the benchmarks load: minutes of some securities, out of the quick source. Light to import, as are clients."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

from app.bench.source import NOW, begin_of_days
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe

Item = TypeVar("Item")

COLUMNS = "begin,open,high,low,close,volume,value"


@dataclass(frozen=True, slots=True)
class Load:
    """Minutes of so many securities over so many days, so many requests at once.

    `source` is asked for candles, `quick` (or the same) for all that is done before the clock runs; `database` is where
    they go, on the server whose first process is `server`, if it has one, and `copy_of` one that has them already.
    """

    securities: int
    days: int
    at_once: int
    source: str
    quick: str = ""
    database: str = ""
    copy_of: str = ""
    server: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def __str__(self) -> str:
        """Write it as the argument of a child process."""
        return json.dumps(asdict(self))

    @property
    def begin(self) -> Timestamp:
        return begin_of_days(self.days)

    @property
    def all_series(self) -> Sequence[Series]:
        return [Series(Security(f"SIM{n:03}", "TQBR"), Timeframe.M1) for n in range(self.securities)]

    def path(self, series: Series) -> str:
        return f"/iss/engines/stock/markets/shares/boards/TQBR/securities/{series.security.ticker}/candles.json"

    @property
    def query(self) -> dict[str, str | int]:
        """Ask for all of a series, as any client does."""
        return {"interval": 1, "from": _wall(self.begin), "till": _wall(NOW)}


async def in_lanes(items: Iterable[Item], lanes: int, work: Callable[[Item], Awaitable[int]]) -> int:
    """Do the work for each item, so many at once; return the sum."""
    waiting = iter(items)

    async def lane() -> int:
        return sum([await work(item) for item in waiting])

    return sum(await asyncio.gather(*(lane() for _ in range(lanes))))


def _wall(moment: Timestamp) -> str:
    return moment.moscow.strftime("%Y-%m-%d %H:%M:%S")
