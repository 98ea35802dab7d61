"""Where the CPU of a load goes, by what it is spent on."""

import cProfile
import pstats
import re
import time
from collections.abc import Mapping

from app.bench.downloads import Measured
from app.bench.loads import Load
from app.bench.stores import stored

PARTS = {
    "HTTP": r"/(aiohttp|yarl|multidict|stamina|tenacity)/|market_data_adapter/(iss|budget|ledgers|sign_in|breaker)",
    "decoding and checking": r"market_data_adapter/|core/pages|/json/",
    "packing for the database": r"repository/sql/columns",
    "talking to the database": r"/(sqlalchemy|asyncpg|aiosqlite|sqlite3)/|app/repository/",
    "deciding what to store": r"app/(core|market_data_|use_cases)",
    "waking up": r"/(asyncio|uvloop)/|lib/python3",
}
"""The first pattern that is found in the path of a function names what it is for."""

REST = "the rest"


async def profiled(load: Load) -> Measured:
    """Load into an empty store; return the share of the CPU of each part, and of all that is in none."""
    profile = cProfile.Profile(time.process_time)
    found = await stored(load, profile)
    spent = _spent(profile)
    whole = sum(spent.values())
    return {"rows": found["rows"]} | {part: spent[part] / whole for part in (*PARTS, REST)}


def _spent(profile: cProfile.Profile) -> Mapping[str, float]:
    """Add seconds up; what is written in C counts for the function that called it."""
    spent: dict[str, float] = dict.fromkeys((*PARTS, REST), 0.0)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # it is there, though not told
    for (file, _, _), (_, _, seconds, _, callers) in stats.items():
        if file != "~":
            spent[_part(file)] += seconds
            continue
        for (caller, _, _), (_, _, own, _) in callers.items():
            spent[_part(caller)] += own
    return spent


def _part(file: str) -> str:
    return next((part for part, pattern in PARTS.items() if re.search(pattern, file)), REST)
