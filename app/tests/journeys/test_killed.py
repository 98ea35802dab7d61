"""D4: the user's own command is killed at any moment, not only where a step ends."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.bench.killed import KILLS, load_killed
from app.bench.loads import Load
from app.bench.measuring import server
from app.simulator.servers import FaultProxy

LOAD = Load(securities=4, days=90, at_once=2, source="")


@pytest.fixture
async def source() -> AsyncIterator[str]:
    """The address of a quick exchange, asked through this process: while it stands still, no load ends."""
    with server("app.bench.source", "--days", LOAD.days) as address:
        behind = urlsplit(address)
        async with FaultProxy(str(behind.hostname), behind.port or 0) as proxy:
            yield f"http://127.0.0.1:{proxy.port}"


async def test_d4_a_load_of_200_000_rows_killed_twice_ends_as_one_that_was_not(
    database_url: str, empty_sqlite_url: str, source: str, tmp_path: Path
) -> None:
    unharmed = await load_killed(replace(LOAD, source=source, database=empty_sqlite_url), (), tmp_path)

    harmed = await load_killed(replace(LOAD, source=source, database=database_url), KILLS, tmp_path)

    assert harmed.rows > 190_000
    assert len(harmed.killed_at) == len(KILLS)
    assert all(kill <= at < 1 for kill, at in zip(KILLS, harmed.killed_at, strict=True))
    assert harmed.contents == unharmed.contents
