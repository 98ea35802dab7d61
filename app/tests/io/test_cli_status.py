"""What `candles status` tells of a store, while the exchange's clock stands still on 2024-05-15 at 14:48:20."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import Result

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, SeriesState, Timeframe
from app.repository.sql import SqlStorage
from app.simulator.clock import read_moment
from app.tests.builders import a_card
from app.tests.conftest import run_apart

NOW = read_moment("2024-05-15T14:48:20")
BEGIN = read_moment("2024-05-13")
MINUTE = timedelta(minutes=1)
LONG = "the exchange answered 503 Service Unavailable " * 4
Candles = Callable[..., Result]


def checked(ticker: str, minutes_ago: int, **more: Any) -> SeriesState:  # noqa: ANN401  # fields of a state
    series = Series(Security(ticker, "TQBR"), Timeframe.M1)
    moment = NOW - minutes_ago * MINUTE
    return replace(SeriesState(series, BEGIN, as_of=moment, checked_at=moment), **more)


CURRENT = checked("GAZP", 0)
LATE = checked("LKOH", 5)
FAILING = checked("SBER", 70, failures=3, failed_at=NOW - MINUTE, failure=LONG, version=1_715_769_400_000)


def keep(url: str, *states: SeriesState) -> None:
    async def write() -> None:
        storage = SqlStorage.open(url)
        async with storage.begin() as uow:
            await uow.securities.add(a_card(state.series.security) for state in states)
            await uow.series.add(states)
        await storage.close()

    run_apart(write())


def table(result: Result) -> list[dict[str, str]]:
    """Read the table of series, which comes after that of the exchange."""
    _, _, names, *rows = (line.split("\t") for line in result.stdout.splitlines())
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_the_worst_series_come_first_with_what_they_owe_and_why(candles: Candles, sqlite_url: str) -> None:
    keep(sqlite_url, CURRENT, LATE, FAILING)

    result = candles("status")

    rows = table(result)
    assert [(row["series"], row["verdict"], row["lag"]) for row in rows] == [
        ("TQBR:SBER M1", "behind", "1:10"),
        ("TQBR:LKOH M1", "behind", "0:05"),
        ("TQBR:GAZP M1", "fresh", ""),
    ]
    assert rows[0]["last success"] == "2024-05-15 13:38:20"
    assert rows[0]["last change"] == "2024-05-15 13:36:40"
    assert (rows[0]["fails"], rows[0]["next try"]) == ("3", "2024-05-15 14:51:20")
    assert rows[0]["error"] == f"{LONG[:77]}..."
    assert result.stdout.splitlines()[1] == "ok\t\t"
    assert "1 fresh, 2 behind" in result.stderr
    assert result.exit_code == 0


def test_why_a_series_fails_is_told_however_long_the_address_is(candles: Candles, sqlite_url: str) -> None:
    address = "http://iss.moex.com/iss/engines/stock/markets/shares/boards/TQBR/securities/SBER/candles.json?start=0"
    keep(sqlite_url, replace(FAILING, failure=f"{address} answered a web page in place of data"))

    result = candles("status")

    assert table(result)[0]["error"] == "http://iss.moex.com/... answered a web page in place of data"


def test_a_limit_leaves_out_the_better_ones(candles: Candles, sqlite_url: str) -> None:
    keep(sqlite_url, CURRENT, LATE, FAILING)

    assert [row["series"] for row in table(candles("status", "--limit", "1"))] == ["TQBR:SBER M1"]


def test_many_are_cut_for_people_and_whole_for_scripts(candles: Candles, sqlite_url: str) -> None:
    keep(sqlite_url, *(checked(f"T{number}", 0) for number in range(25)))

    assert len(table(candles("status"))) == 20
    [told] = json.loads(candles("status", "--json").stdout)
    assert len(told["series"]) == told["counts"]["fresh"] == 25


def test_scripts_get_an_object_and_an_exit_code(candles: Candles, sqlite_url: str) -> None:
    keep(sqlite_url, LATE)

    result = candles("status", "--json", "--check")

    [told] = json.loads(result.stdout)
    [series] = told.pop("series")
    assert told == {
        "state": "ok",
        "until": None,
        "reason": "",
        "shared": False,
        "verdict": "behind",
        "at": str(NOW),
        "counts": {"fresh": 0, "paused": 0, "source_down": 0, "behind": 1},
    }
    assert series == {
        "security": "TQBR:LKOH",
        "timeframe": "M1",
        "verdict": "behind",
        "lag_seconds": 300,
        "owed_since": _text("2024-05-15T14:44"),
        "current_till": _text("2024-05-15T14:27"),
        "watermark": None,
        "checked_at": str(NOW - 5 * MINUTE),
        "changed_at": None,
        "failed_at": None,
        "failure": None,
        "failures": 0,
        "retry_at": None,
    }
    assert result.exit_code == 1


@pytest.mark.parametrize("states", [(CURRENT,), ()])
def test_a_check_of_what_is_fresh_ends_well(candles: Candles, sqlite_url: str, states: tuple[SeriesState, ...]) -> None:
    keep(sqlite_url, *states)

    assert candles("status", "--check").exit_code == 0


def test_with_nothing_followed_it_says_how_to_begin(candles: Candles, environment: Mapping[str, str]) -> None:
    assert "nothing is followed" in candles("status").stderr


def _text(moment: str) -> str:
    return str(Timestamp(read_moment(moment).utc))
