"""The commands against a simulated exchange, whose clock stands still on Wednesday 2024-05-15 at 14:48:20."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.core.entities import Security, Series, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period
from app.io.cli import app
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator
from app.tests.io.in_thread import serving_apart

SBER = Security("SBER", "TQBR")
Candles = Callable[..., Result]


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    clock = SimulatedClock(read_moment("2024-05-15T14:48:20"), stopped=True)
    with serving_apart(Simulator(clock=clock)) as running:
        yield running


@pytest.fixture
def environment(exchange: Simulator, sqlite_url: str) -> Mapping[str, str]:
    return {
        "DATABASE_URL": sqlite_url,
        "ISS_URL": exchange.url,
        "ISS_RATE": "off",
        "ISS_ATTEMPTS": "1",
        "CLOCK": "source",
        "DEFAULT_SINCE_DAYS": "20",
        "DEFAULT_SINCE_DAYS_M1": "3",
    }


@pytest.fixture
def candles(environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candles:
    """Run a command in a folder without .env."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.bootstrap._CLOCK_PATIENCE", 60)  # the exchange is well, however busy the machine is

    def run(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**environment, **more}, catch_exceptions=False)

    return run


@pytest.fixture
def loaded(candles: Candles) -> Candles:
    """The commands over a store that holds some days of H1 and D1."""
    candles("create-security", "SBER", "TQBR", "-t", "H1", "-t", "D1")
    assert candles("update-candles").exit_code == 0
    return candles


def truth(exchange: Simulator, timeframe: Timeframe, time_from: str, time_till: str) -> CandlePage:
    period = Period(read_moment(time_from), read_moment(time_till))
    return exchange.truth(Series(SBER, timeframe), period)
