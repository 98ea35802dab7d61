"""What a process did since it began, for who watches it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from app.core.entities import Timeframe


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers that only rise: who does a thing counts it, who tells of it reads them.

    `requests` to the exchange by how they ended. `rows`: candles that were written, new or changed, by timeframe.
    `tasks` by name and how they ended, `task_seconds` by name.
    """

    requests: Counter[str] = field(default_factory=Counter)
    rows: Counter[Timeframe] = field(default_factory=Counter)
    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    task_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
