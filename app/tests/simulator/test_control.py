"""The control endpoint, the request log and the truth."""

import asyncio

import pytest

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.spans import Period
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import Revise, Status, Withdraw
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.meeting import let_meet
from app.tests.simulator.client import SBER, Client

CLOCK, FAULTS, REQUESTS = "/control/clock", "/control/faults", "/control/requests"
TODAY = Period(read_moment("2024-05-15"), read_moment("2024-05-16"))


def series(timeframe: Timeframe = Timeframe.H1, ticker: str = "SBER") -> Series:
    return Series(Security(ticker, "TQBR"), timeframe)


async def test_the_endpoint_explains_itself(client: Client) -> None:
    answer = await client.get("/control")

    assert "/control/faults" in answer.text


async def test_the_clock_is_shown_and_set(client: Client, exchange: Simulator) -> None:
    shown = await client.get(CLOCK)
    changed = await client.ask("PUT", CLOCK, {"now": "2024-05-16T12:00:00", "speed": 60})

    assert shown.json() == {"now": "2024-05-15T11:48:20Z", "speed": 1.0, "stopped": True}
    assert changed.json() == {"now": "2024-05-16T09:00:00Z", "speed": 60.0, "stopped": True}
    assert exchange.clock.now() == read_moment("2024-05-16T12:00:00+03:00")


@pytest.mark.parametrize("body", [{"now": "soon"}, {"speed": -1}, {"nonsense": 1}, []])
async def test_a_wrong_change_of_the_clock_is_refused_and_named(client: Client, body: object) -> None:
    answer = await client.ask("PUT", CLOCK, body)

    assert answer.status == 400
    assert "error" in answer.json()


def test_a_running_clock_runs_at_its_speed() -> None:
    clock = SimulatedClock(read_moment("2024-05-15"), speed=1_000_000)

    first = clock.now()
    clock.stop()
    second = clock.now()

    assert read_moment("2024-05-15") <= first <= second == clock.now()


async def test_requests_are_logged_with_their_answers(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Status(503))
    await client.get(SBER, interval=24)
    await client.get("/iss/index.json")

    log = (await client.get(REQUESTS, last=1)).json()

    assert (log["count"], len(log["requests"])) == (2, 1)
    assert [(each.path, each.query, each.status) for each in exchange.requests] == [
        (SBER, "interval=24", 503),
        ("/iss/index.json", "", 200),
    ]
    assert log["requests"][0]["simulated"] == "2024-05-15T11:48:20Z"


async def test_the_peak_is_the_most_that_were_answered_at_one_time_since_the_log_was_cleared(
    client: Client, exchange: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_meet(monkeypatch, 3)
    await asyncio.gather(*(client.get(SBER) for _ in range(3)))
    together = exchange.peak_in_flight
    await client.get(SBER)
    later = exchange.peak_in_flight
    exchange.requests.clear()
    cleared = exchange.peak_in_flight
    await client.get(SBER)

    assert (together, later, cleared, exchange.peak_in_flight) == (3, 3, 0, 1)


async def test_the_log_can_be_cleared(client: Client, exchange: Simulator) -> None:
    await client.get(SBER)

    await client.ask("DELETE", REQUESTS)

    assert not exchange.requests


async def test_faults_are_set_shown_and_removed(client: Client) -> None:
    rules = [{"kind": "status", "code": 502, "match": {"ticker": "GAZP"}, "times": None}, {"kind": "empty"}]

    added = (await client.ask("POST", FAULTS, rules)).json()
    await client.ask("DELETE", f"{FAULTS}/{added[1]['id']}")
    struck = await client.get(SBER.replace("SBER", "GAZP"))
    shown = (await client.get(FAULTS)).json()
    cleared = (await client.ask("DELETE", FAULTS)).json()

    assert struck.status == 502
    assert [(rule["fault"]["kind"], rule["seen"], rule["struck"]) for rule in shown] == [("status", 1, 1)]
    assert cleared == []


@pytest.mark.parametrize("rule", [{"kind": "nonsense"}, {"kind": "status", "cod": 1}, {"kind": "revise"}, "status"])
async def test_a_wrong_fault_is_refused_and_named(client: Client, rule: object) -> None:
    answer = await client.ask("POST", FAULTS, rule)

    assert answer.status == 400
    assert "error" in answer.json()


async def test_the_truth_is_what_is_served(client: Client, exchange: Simulator) -> None:
    answer = await client.get(interval=60, from_="2024-05-15")

    truth = exchange.truth(series(), TODAY)

    assert [(c.open, c.high, c.low, c.close, c.volume, c.value) for c in truth] == [
        tuple(row[name] for name in ("open", "high", "low", "close", "volume", "value")) for row in answer.block()
    ]
    assert [str(c.timestamp.moscow)[:19] for c in truth] == answer.column("begin")


async def test_the_truth_tells_what_is_final(exchange: Simulator) -> None:
    truth = exchange.truth(series(), TODAY)

    assert [candle.is_final for candle in truth] == [True] * 4 + [False]


async def test_the_truth_of_another_instant(exchange: Simulator) -> None:
    truth = exchange.truth(series(), TODAY, as_of=Timestamp(read_moment("2024-05-17").utc))

    assert len(truth) == 14
    assert all(candle.is_final for candle in truth)


async def test_the_truth_is_half_open(exchange: Simulator) -> None:
    period = Period(read_moment("2024-05-14T11:00:00"), read_moment("2024-05-14T13:00:00"))

    assert [candle.timestamp.moscow.hour for candle in exchange.truth(series(), period)] == [11, 12]


async def test_the_truth_knows_revisions_but_no_faults(exchange: Simulator) -> None:
    gazp = Match(ticker="GAZP", interval=60)
    exchange.faults.add(Revise(begin="2024-05-15 10:00:00", values={"volume": 10}, match=gazp))
    exchange.faults.add(Withdraw(begin="2024-05-15 11:00:00", match=gazp))
    exchange.faults.add(Status(500, times=None))

    revised, plain = (exchange.truth(series(ticker=ticker), TODAY) for ticker in ("GAZP", "SBER"))

    assert [revised[0].volume, len(revised)] == [10, len(plain) - 1]


async def test_the_truth_of_an_unknown_security_is_an_error(exchange: Simulator) -> None:
    with pytest.raises(LookupError, match="TQBR:NOSUCH"):
        exchange.truth(series(ticker="NOSUCH"), TODAY)
