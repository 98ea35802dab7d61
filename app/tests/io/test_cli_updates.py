"""Plans and progress at the command line."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from app.bootstrap import Service, bootstrap
from app.core.entities import Series, Timeframe
from app.settings import Settings
from app.simulator.fault_kinds import Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.builders import SBER
from app.tests.io.conftest import Candles
from app.tests.io.terminals import run_at_terminal
from app.use_cases.ask_for_candles import ask_for_candles
from app.use_cases.backfill_series import backfill_series

Result = TypeVar("Result")
SBER_H1 = Series(SBER, Timeframe.H1)


def with_service(environment: Mapping[str, str], work: Callable[[Service], Awaitable[Result]]) -> Result:
    """Do what an API or a worker does, in a loop of its own."""

    async def use() -> Result:
        settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
        async with bootstrap(settings) as service:
            return await work(service)

    return asyncio.run(use())


async def ask(service: Service) -> str:
    return (await ask_for_candles(service.storage, service.clock)).id


async def backfill(service: Service) -> None:
    await backfill_series(service.storage, service.loader, service.clock, SBER_H1)


def test_a_plan_names_what_is_missing_and_what_it_takes(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "SBER", "TQBR", "-t", "H1", "-t", "D1")

    plain, as_json = candles("plan", ISS_RATE="5"), candles("plan", "--json", ISS_RATE="5")

    assert not [request for request in exchange.requests if "candles.json" in request.path]
    header, h1, d1 = (line.split("\t") for line in plain.stdout.splitlines())
    assert header == ["security", "timeframe", "from", "till", "requests", "candles"]
    assert (h1[:4], d1[1]) == (["TQBR:SBER", "H1", "2024-04-25 14:00", "2024-05-15 15:00"], "D1")
    planned = json.loads(as_json.stdout)
    assert [(each["requests"], each["rows"]) for each in planned] == [
        (int(h1[4]), int(h1[5])),
        (int(d1[4]), int(d1[5])),
    ]
    requests = int(h1[4]) + int(d1[4])
    assert re.search(
        rf"about {requests} requests and \d+ candles: \d\.\d minutes at the rate of ISS_RATE", plain.stderr
    )


def test_without_a_limit_a_plan_names_no_minutes_and_nothing_is_missing_at_the_end(loaded: Candles) -> None:
    whole = loaded("plan", "--again", "--from", "2024-05-01")
    nothing = loaded("plan", "--till", "2024-05-10")

    assert "no limit of requests a second" in whole.stderr
    assert (nothing.stdout, nothing.stderr.strip()) == ("", "nothing is missing")


def test_updates_are_told_before_and_after_they_are_loaded(candles: Candles, environment: Mapping[str, str]) -> None:
    assert "nobody asked for anything lately" in candles("updates").stderr
    candles("create-security", "SBER", "TQBR", "-t", "H1")
    update = with_service(environment, ask)

    before = candles("updates").stdout.splitlines()[1].split("\t")
    parts = [line.split("\t") for line in candles("updates", update).stdout.splitlines()]
    with_service(environment, backfill)
    after = candles("updates").stdout.splitlines()[1].split("\t")
    [told] = json.loads(candles("updates", update, "--json").stdout)

    assert before == [update, "2024-05-15 14:48:20", "waiting", "0%", "0", ""]
    assert parts[1] == ["TQBR:SBER", "H1", "2024-04-25 14:00", "2024-05-15 15:00", "waiting", "0%", "0", ""]
    assert after[2:4] == ["done", "100%"]
    assert (told["state"], told["covered"], told["rows"]) == ("done", told["requested"], int(after[4]))
    assert told["parts"][0]["timeframe"] == "H1"


def test_what_could_not_be_loaded_is_named_and_ends_the_command_with_1(
    candles: Candles, exchange: Simulator, environment: Mapping[str, str]
) -> None:
    candles("create-security", "SBER", "TQBR", "-t", "H1")
    update = with_service(environment, ask)
    exchange.faults.add(Status(match=Match(path="candles.json"), code=404, times=None))
    with_service(environment, backfill)

    told = candles("updates", update)

    assert told.exit_code == 1
    assert "failed" in told.stdout
    assert "answered 404 Not Found" in told.stdout


def test_an_unknown_update_is_not_found(candles: Candles) -> None:
    told = candles("updates", "0")

    assert (told.exit_code, "there is no update 0" in told.stderr) == (3, True)


def test_at_a_terminal_a_bar_is_drawn_until_it_is_over(
    candles: Candles, environment: Mapping[str, str], tmp_path: Path
) -> None:
    candles("create-security", "SBER", "TQBR", "-t", "H1")
    update = with_service(environment, ask)
    with ThreadPoolExecutor() as threads:
        watched = threads.submit(run_at_terminal, "updates", update, folder=tmp_path, environment=environment)
        with_service(environment, backfill)
        code, shown = watched.result()

    assert code == 0
    assert "100%" in shown
    assert "candles" in shown
