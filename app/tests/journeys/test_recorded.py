"""Recorded candles of the real exchange come out of the store as the doubles they were."""

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.bootstrap import bootstrap
from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Security, Series
from app.simulator.clock import SimulatedClock
from app.simulator.replay import ReplayTape
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents, settings_of
from app.tests.journeys.test_update import update
from app.use_cases.create_security import create_security

RECORDED = Path(__file__).parents[1] / "recorded"
GAZP = Security("GAZP", "TQBR")
ODD = """begin,end,open,high,low,close,volume,value
2022-08-01 00:00:00,2022-08-01 23:59:58,69.02000000000001,70,69,69.5,10,599770205.4000001
2022-08-01 00:00:00,2022-08-01 23:59:58,69.02000000000001,70,69,69.5,10,599770205.4000001
2022-08-02 00:00:00,2022-08-02 20:00:16,69.5,69.5,5e-324,3,0,0
"""


@pytest.fixture(params=["recorded", "odd"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "recorded":
        return RECORDED
    (tmp_path / "TQBR" / "GAZP").mkdir(parents=True)
    (tmp_path / "TQBR" / "GAZP" / "24.csv").write_text(ODD)
    return tmp_path


@pytest.fixture
async def replay(folder: Path) -> AsyncIterator[Simulator]:
    tape = ReplayTape(folder)
    assert tape.start is not None
    clock = SimulatedClock(Timestamp.from_moscow(tape.start), stopped=True)
    async with Simulator(tape, clock=clock).serve() as running:
        yield running


async def test_a_recorded_folder_replays_into_the_store_bit_for_bit(
    replay: Simulator, folder: Path, database_url: str
) -> None:
    [file] = (folder / "TQBR" / "GAZP").glob("*.csv")
    timeframe = next(timeframe for timeframe in SOURCED if timeframe.interval == int(file.stem))
    names = ("open", "high", "low", "close", "volume", "value")
    with file.open() as lines:
        rows = {row["begin"]: tuple(float(row[name]) for name in names) for row in csv.DictReader(lines)}

    async with bootstrap(settings_of(replay, database_url)) as service:
        await create_security(service.storage, service.adapter, GAZP, since={timeframe: "all"})
        outcome = await update(service)
        page, _, _ = (await contents(service.storage))[Series(GAZP, timeframe)]

    assert outcome.failures == {}
    stored = {
        f"{Timestamp.from_unix(begin).moscow:%Y-%m-%d %H:%M:%S}": values
        for begin, *values in zip(page.begins, *page.prices, strict=True)
    }
    assert {begin: tuple(values) for begin, values in stored.items()} == rows
    assert all(page.finals)
