"""The whole week, in which more goes wrong: `make soak` runs it, for some minutes."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.core.entities import Security, Timeframe
from app.simulator.clock import read_moment as at
from app.tests.week.script import Form, a_seed
from app.tests.week.week import live_through

WEEK = Form(
    begin=at("2026-04-28 12:00"),
    end=at("2026-05-05 12:00"),
    securities=(
        Security("SBER", "TQBR"),  # trades on weekends
        Security("LKOH", "TQBR"),
        Security("GMKN", "TQBR"),  # does not
        Security("SU26238RMFS4", "TQOB"),  # nor mornings, and then two minutes in three without a trade
        Security("IMOEX", "SNDX"),
        Security("SiZ6", "RFUD"),
    ),
    timeframes=(Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1, Timeframe.W1, Timeframe.MN1),
    schedulers=2,
    workers=4,
    away=timedelta(days=2),
    down=timedelta(hours=1),
    losses=2,
    killed_workers=12,
    killed_schedulers=4,
)
"""From a Tuesday to the next: a holiday on the Friday, sessions on the weekend, the end of a week and of a month."""


@pytest.mark.timeout(1200)
async def test_a_week_of_misfortunes_ends_as_if_nothing_had_happened(postgresql_url: str, tmp_path: Path) -> None:
    await live_through(WEEK, a_seed(), postgresql_url, tmp_path)
