"""The calendar at both doors."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.core.calendar import CalendarDay, DayReason
from app.core.markets import Board
from app.core.storage import IStorage
from app.io.cli import app
from app.repository.memory import MemoryStorage
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator
from app.tests.io.in_thread import serving_apart
from app.tests.io.rest_client import Client, FakeClock, a_client

THURSDAY = read_moment("2026-01-15T12:00:00")
SUNDAY = CalendarDay("stock", date(2026, 1, 18), is_traded=True, trade_date=date(2026, 1, 19), reason=DayReason.WEEKEND)


@pytest.fixture
async def storage() -> IStorage:
    storage = MemoryStorage()
    async with storage.begin() as uow:
        await uow.calendar.add([SUNDAY, replace(SUNDAY, day=date(2026, 1, 17), is_traded=False)])
    return storage


@pytest.fixture
def client(storage: IStorage) -> Client:
    return a_client(storage, clock=FakeClock(THURSDAY))


async def test_a_day_is_told_with_its_reason_and_its_sessions_in_utc(client: Client) -> None:
    answer = await client.get("/v1/calendar", {"market": "shares", "from": "2026-01-16", "till": "2026-01-18"})

    friday, saturday, sunday = answer.json["days"]
    assert (answer.status, answer.json["engine"]) == (200, "stock")
    assert (answer.json["from"], answer.json["till"]) == ("2026-01-16", "2026-01-18")
    assert [session["kind"] for session in friday["sessions"]] == ["morning", "main", "evening"]
    assert (saturday["is_traded"], saturday["sessions"]) == (False, [])
    assert sunday == {
        "day": "2026-01-18",
        "is_traded": True,
        "reason": "weekend",
        "trade_date": "2026-01-19",
        "sessions": [{"kind": "weekend", "from": "2026-01-18T06:50:00Z", "till": "2026-01-18T16:00:00Z"}],
    }


async def test_times_are_written_in_the_zone_that_was_asked_for(client: Client) -> None:
    query = {"from": "2026-01-18", "till": "2026-01-18", "tz": "Europe/Moscow"}

    [sunday] = (await client.get("/v1/calendar", query)).json["days"]

    assert sunday["sessions"][0]["from"] == "2026-01-18T09:50:00+03:00"


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, "2026-01-12", "2026-01-25"),
        ({"from": "2026-02-03"}, "2026-02-03", "2026-02-16"),
        ({"till": "2026-02-03"}, "2026-01-21", "2026-02-03"),
        ({"from": "2025-01-01", "till": "2026-02-04"}, "2025-01-01", "2026-02-04"),
    ],
)
async def test_by_default_this_week_and_the_next_are_told(
    client: Client, query: dict[str, str], first: str, last: str
) -> None:
    answer = (await client.get("/v1/calendar", query)).json

    assert (answer["from"], answer["till"]) == (first, last)
    assert (answer["days"][0]["day"], answer["days"][-1]["day"]) == (first, last)


@pytest.mark.parametrize(
    ("market", "engine"),
    [("stock", "stock"), ("Bonds", "stock"), ("index", "stock"), ("forts", "futures"), ("options", "futures"),
     ("selt", "currency"), ("currency", "currency"), ("otc", "agro")],
)  # fmt: skip
async def test_a_market_is_known_by_its_name_or_its_engine(
    client: Client, storage: IStorage, market: str, engine: str
) -> None:
    async with storage.begin() as uow:
        await uow.boards.add([Board("X1", "agro", "otc"), Board("X2", "agro", "shares")])

    answer = await client.get("/v1/calendar", {"market": market})

    assert (answer.status, answer.json["engine"]) == (200, engine)


async def test_what_nobody_told_of_is_null(client: Client) -> None:
    days = (await client.get("/v1/calendar", {"from": "2026-01-23", "till": "2026-01-24"})).json["days"]

    assert [(day["is_traded"], day["trade_date"]) for day in days] == [(True, "2026-01-23"), (None, "2026-01-26")]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"market": "nasdaq"}, "market"),
        ({"from": "soon"}, "from"),
        ({"from": "2026-01-18T10:00"}, "from"),
        ({"till": "2026-02-30"}, "till"),
        ({"till": "9999-12-31"}, "till"),
        ({"from": "2026-01-18", "till": "2026-01-17"}, "till"),
        ({"from": "2025-01-01", "till": "2026-02-05"}, "till"),
        ({"tz": "Moscow"}, "tz"),
        ({"board": "TQBR"}, "board"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(client: Client, query: dict[str, str], parameter: str) -> None:
    answer = await client.get("/v1/calendar", query)

    assert answer.status == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


async def test_an_unknown_market_is_answered_with_the_known_ones(client: Client) -> None:
    answer = await client.get("/v1/calendar", {"market": "nasdaq"})

    assert "choose one of stock, currency, futures, shares" in answer.json["detail"]


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    with serving_apart(Simulator(clock=SimulatedClock(THURSDAY, stopped=True))) as running:
        yield running


def command(exchange: Simulator, url: str, *arguments: str) -> Result:
    environment = {"DATABASE_URL": url, "ISS_URL": exchange.url, "ISS_RATE": "off", "CLOCK": "source"}
    return CliRunner().invoke(app, ["calendar", *arguments], env=environment, catch_exceptions=False)


def test_the_command_lists_days_in_moscow_time(
    exchange: Simulator, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = command(exchange, sqlite_url, "--from", "2026-01-16", "--till", "2026-01-17")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "day\t\ttraded\treason\ttrade date\tsessions",
        "2026-01-16\tFri\tyes\tordinary\t\tmorning 06:50-09:50, main 09:50-18:50, evening 19:00-23:50",
        "2026-01-17\tSat\tunknown\tweekend\t2026-01-19\tweekend 09:50-19:00",
    ]
    assert "--refresh" in result.stderr


def test_refresh_asks_the_exchange_and_json_is_for_scripts(
    exchange: Simulator, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    period = ("--market", "forts", "--from", "2026-01-15", "--till", "2026-01-18", "--json")

    before = json.loads(command(exchange, sqlite_url, *period).stdout)
    after = json.loads(command(exchange, sqlite_url, *period, "--refresh").stdout)

    assert [day["is_traded"] for day in before] == [True, True, None, None]
    assert [day["is_traded"] for day in after] == [True, True, False, False]
    assert after[0]["sessions"][-1] == {
        "kind": "evening", "from": "2026-01-15T16:00:00Z", "till": "2026-01-15T20:50:00Z",
    }  # fmt: skip
    assert exchange.requests


@pytest.mark.parametrize("arguments", [("--market", "nasdaq"), ("--from", "soon")])
def test_a_wrong_argument_ends_with_its_code(
    exchange: Simulator, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert command(exchange, sqlite_url, *arguments).exit_code == 2
