"""Some hours of the simulated week: `soak.py` has all of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.core.entities import Security, Timeframe
from app.simulator.clock import read_moment as at
from app.tests.week.script import Form, a_seed
from app.tests.week.week import live_through

HOURS = Form(
    begin=at("2026-05-03 18:00"),
    end=at("2026-05-04 14:00"),
    securities=(Security("SBER", "TQBR"), Security("GMKN", "TQBR")),
    timeframes=(Timeframe.M1, Timeframe.H1, Timeframe.D1, Timeframe.W1),
    schedulers=1,
    workers=2,
    away=timedelta(hours=3),
    down=timedelta(hours=1),
    losses=1,
    killed_workers=1,
    killed_schedulers=0,
)
"""From the session of a Sunday, over the end of a week, to the afternoon of a Monday."""


@pytest.mark.timeout(900)
async def test_a_day_of_misfortunes_ends_as_if_nothing_had_happened(postgresql_url: str, tmp_path: Path) -> None:
    await live_through(HOURS, a_seed(), postgresql_url, tmp_path)
