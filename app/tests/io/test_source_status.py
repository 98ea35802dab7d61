"""What people see when the exchange is left alone, or does not let us in: on the command line and over REST."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.core.date_time import Timestamp
from app.core.errors import SourcePausedError, SourceSignInError
from app.core.market_data import SourceStatus
from app.io.cli import app
from app.repository.memory import MemoryStorage
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import Status
from app.simulator.server import Simulator
from app.tests.io.in_thread import serving_apart
from app.tests.io.rest_client import FakeAdapter, a_client

NEW = {"ticker": "SBER", "board": "TQBR"}
OPEN = SourceStatus("open", Timestamp.from_unix(1_700_000_000), "answered 429", is_shared=True)


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    clock = SimulatedClock(read_moment("2024-05-15T14:48:20"), stopped=True)
    with serving_apart(Simulator(clock=clock)) as running:
        yield running


@pytest.fixture
def environment(
    exchange: Simulator, sqlite_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    monkeypatch.setattr("app.bootstrap._REDIS_PATIENCE", 60)  # it is well, however busy the machine is
    service = {"DATABASE_URL": sqlite_url, "ISS_URL": exchange.url, "ISS_RATE": "off", "REDIS_URL": redis_url}
    return {**service, "ISS_ATTEMPTS": "1", "ISS_BREAK_AFTER": "2"}


def candles(environment: Mapping[str, str], *arguments: str, **more: str) -> Result:
    return CliRunner().invoke(app, arguments, env={**environment, **more}, catch_exceptions=False)


def test_s1_an_exchange_left_alone_is_told_with_when_it_is_tried_again(
    exchange: Simulator, environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exchange.faults.add(Status(code=503, times=None))
    for _ in range(2):
        assert candles(environment, "create-security", "TQBR:SBER").exit_code == 4

    refused = candles(environment, "create-security", "TQBR:SBER")
    status = candles(environment, "status", "--json")
    shown = candles(environment, "status")

    assert refused.exit_code == 4
    assert "is left alone until" in refused.stderr
    assert "Moscow time" in refused.stderr
    assert len(exchange.requests) == 2
    [told] = json.loads(status.stdout)
    assert (told["state"], told["shared"]) == ("open", True)
    assert told["until"]
    assert shown.stdout.splitlines()[1].startswith("open\t")


def test_with_nothing_wrong_the_status_says_so(
    environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert candles(environment, "status").stdout.splitlines()[1] == "ok\t\t"


def test_a_refused_sign_in_ends_the_command_with_a_sentence_and_no_secret(
    exchange: Simulator, environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    account = {"ISS_LOGIN": "user", "ISS_PASSWORD": "p4ssw0rd", "ISS_PASSPORT_URL": f"{exchange.url}/authenticate"}

    result = candles(environment, "create-security", "TQBR:SBER", **account)

    assert result.exit_code == 4
    assert "check ISS_LOGIN and ISS_PASSWORD" in result.stderr
    assert "p4ssw0rd" not in result.output


def test_a_rate_the_exchange_would_punish_is_wrong_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    result = candles({}, "securities", ISS_URL="https://iss.moex.com", ISS_RATE="off")

    assert result.exit_code == 2
    assert "ISS_RATE: the exchange's own hosts" in result.stderr


async def test_health_tells_how_we_stand_with_the_exchange_and_readiness_does_not_care() -> None:
    client = a_client(MemoryStorage())

    async def status() -> SourceStatus:
        return OPEN

    well = await client.get("/health/source")
    client.app.state.service = replace(client.app.state.service, source_status=status)
    told, ready = await client.get("/health/source"), await client.get("/health/ready")

    assert well.json == {"state": "ok", "until": None, "reason": None, "shared": False}
    assert told.json == {"state": "open", "until": "2023-11-14T22:13:20Z", "reason": "answered 429", "shared": True}
    assert ready.status == 200


@pytest.mark.parametrize(
    ("error", "status", "slug", "patience"),
    [
        (SourcePausedError("left alone: answered 429", 12.3), 503, "source-paused", "13"),
        (SourceSignInError("check ISS_LOGIN"), 502, "source-sign-in", None),
    ],
)
async def test_a_source_that_is_not_asked_is_a_problem(
    error: Exception, status: int, slug: str, patience: str | None
) -> None:
    answer = await a_client(MemoryStorage(), adapter=FakeAdapter(error)).post("/v1/securities", NEW)

    assert answer.status == status
    assert answer.json["type"].endswith(slug)
    assert answer.headers.get("retry-after") == patience
    assert b"ISS_LOGIN" not in answer.body
