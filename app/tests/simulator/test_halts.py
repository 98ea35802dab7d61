"""Days without a trade, over HTTP and in the truth; the exchange stands at Wednesday 2024-05-15 14:48:20 Moscow."""

from datetime import date
from pathlib import Path

import aiohttp
import pytest

from app.core.entities import SOURCED, Security, Series, Timeframe
from app.core.spans import Period
from app.simulator.clock import read_moment
from app.simulator.fault_kinds import Revise, Split, Withdraw
from app.simulator.faults import Match
from app.simulator.halts import Halt
from app.simulator.listings import TQBR, Listing
from app.simulator.replay import ReplayTape
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Client, opened
from app.tests.simulator.test_replay import ROWS, record

APRIL = Halt(date_from=date(2024, 4, 1), date_till=date(2024, 5, 1), match=Match(ticker="SBER", board="TQBR"))
AROUND: dict[str, str | int] = {"from_": "2024-03-29", "till": "2024-05-02"}
NOW = "2024-05-15T14:48:20"


async def dates(client: Client, timeframe: Timeframe, path: str = SBER) -> list[str]:
    """The days with bars from March 29th to May 2nd."""
    begins: list[str] = []
    while page := (await client.get(path, interval=timeframe.interval, start=len(begins), **AROUND)).column("begin"):
        begins += map(str, page)
    return sorted({begin[:10] for begin in begins})


async def served(client: Client, timeframe: Timeframe, first: str, last: str) -> list[tuple[object, ...]]:
    """All the bars of a window, each page from the last row of the one before on."""
    rows: dict[object, tuple[object, ...]] = {}
    while page := (await client.get(interval=timeframe.interval, from_=first, till=last)).block():
        first = str(page[-1]["begin"])
        if first in rows:
            break
        rows |= {
            row["begin"]: tuple(row[n] for n in ("begin", "open", "high", "low", "close", "volume")) for row in page
        }
    return list(rows.values())


def told(exchange: Simulator, timeframe: Timeframe, first: str, after: str) -> list[tuple[object, ...]]:
    """The truth of `[first, after)`, in the same words."""
    series, period = Series(Security("SBER", "TQBR"), timeframe), Period(read_moment(first), read_moment(after))
    candles = exchange.truth(series, period)
    return [(f"{c.timestamp.moscow:%Y-%m-%d %H:%M:%S}", c.open, c.high, c.low, c.close, c.volume) for c in candles]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1])
async def test_a_halted_month_has_no_bars(client: Client, exchange: Simulator, timeframe: Timeframe) -> None:
    exchange.faults.add(APRIL)

    assert await dates(client, timeframe) == ["2024-03-29", "2024-05-02"]
    assert await dates(client, timeframe, SBER.replace("SBER", "GAZP")) > ["2024-03-29", "2024-04-01"]


async def test_longer_bars_are_made_of_what_is_left(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(APRIL)
    days = (await client.get(interval=24, from_="2024-04-01", till="2024-06-30")).block()

    months, quarters, weeks = [
        (await client.get(interval=n, from_="2024-03-25", till="2024-05-06")).block() for n in (31, 4, 7)
    ]

    assert [month["begin"] for month in months] == ["2024-05-01 00:00:00"]
    assert [week["begin"] for week in weeks] == [f"2024-{day} 00:00:00" for day in ("03-25", "04-29", "05-06")]
    assert quarters[0]["volume"] == months[0]["volume"] == sum(float(day["volume"] or 0) for day in days)
    assert (quarters[0]["open"], weeks[1]["open"]) == (days[0]["open"], days[0]["open"])
    assert days[0]["begin"] == "2024-05-02 00:00:00"


async def test_the_borders_know_no_halted_day(client: Client, exchange: Simulator) -> None:
    path = SBER.replace("candles", "candleborders")
    exchange.faults.add(Halt(date_from=date(2011, 1, 1), date_till=date(2024, 4, 1)))
    exchange.faults.add(Halt(date_from=date(2024, 5, 14), date_till=date(2024, 6, 1)))

    borders = {row["interval"]: (row["begin"], row["end"]) for row in (await client.get(path)).block("borders")}

    assert borders[24] == ("2024-04-01 00:00:00", "2024-05-13 00:00:00")
    assert borders[1] == ("2024-04-01 10:00:00", "2024-05-13 23:49:00")
    assert borders[4][0] == "2024-04-01 00:00:00"


@pytest.mark.parametrize("timeframe", SOURCED)
async def test_the_truth_of_a_halt_is_what_is_served(client: Client, exchange: Simulator, timeframe: Timeframe) -> None:
    exchange.faults.add(APRIL)

    answers = await served(client, timeframe, "2024-03-25", "2024-05-06")

    assert told(exchange, timeframe, "2024-03-25", "2024-05-07") == answers != []


async def test_a_day_that_goes_on_may_be_halted(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Halt(date_from=date(2024, 5, 15), date_till=date(2024, 5, 16), match=Match(ticker="sber")))

    assert (await client.get(interval=24, from_="2024-05-14")).column("begin") == ["2024-05-14 00:00:00"]


async def test_a_lifted_halt_leaves_no_trace(client: Client, exchange: Simulator) -> None:
    whole = await dates(client, Timeframe.D1)
    by_market = SBER.replace("/boards/TQBR", "")
    await dates(client, Timeframe.D1, by_market)

    exchange.faults.add(APRIL)
    halted = [await dates(client, Timeframe.D1, path) for path in (SBER, by_market)]
    exchange.faults.clear()

    assert halted == [["2024-03-29", "2024-05-02"]] * 2
    assert await dates(client, Timeframe.D1) == await dates(client, Timeframe.D1, by_market) == whole


async def test_a_halt_may_be_ordered_from_another_process(client: Client) -> None:
    rule = {"kind": "halt", "date_from": "2024-04-01", "date_till": "2024-05-01", "match": {"ticker": "SBER"}}

    added = await client.ask("POST", "/control/faults", rule)

    assert added.status == 201
    assert await dates(client, Timeframe.D1) == ["2024-03-29", "2024-05-02"]


async def test_a_listing_may_be_born_with_halts() -> None:
    quiet = Listing("SBER", TQBR, "Quiet", "Quiet", halts=((date(2024, 4, 1), date(2024, 5, 1)),))

    async with opened(NOW, [quiet]) as (client, exchange):
        exchange.faults.add(Halt(date_from=date(2024, 5, 2), date_till=date(2024, 5, 3)))

        assert await dates(client, Timeframe.D1) == ["2024-03-29"]


async def test_a_replayed_tape_may_be_halted(tmp_path: Path) -> None:
    tape = ReplayTape(record(tmp_path, *ROWS))

    async with Simulator(tape).serve() as exchange, aiohttp.ClientSession(exchange.url) as session:
        exchange.faults.add(Halt(date_from=date(2014, 6, 9), date_till=date(2014, 6, 10)))
        answer = await Client(session).get(interval=60)

    assert answer.column("begin") == ["2014-06-10 10:00:00"]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1])
async def test_after_corrections_the_truth_is_still_what_is_served(
    client: Client, exchange: Simulator, timeframe: Timeframe
) -> None:
    before = told(exchange, timeframe, "2024-05-06", "2024-05-15")
    first, last = before[1][0], before[-2][0]
    sber = Match(ticker="SBER", interval=timeframe.interval)
    exchange.faults.add(Revise(begin=f"{first}", values={"volume": 7}, match=sber))
    exchange.faults.add(Withdraw(begin=f"{last}", match=sber))
    exchange.faults.add(Split(date="2024-05-14", factor=0.1, match=Match(ticker="SBER")))
    exchange.faults.add(Halt(date_from=date(2024, 5, 8), date_till=date(2024, 5, 9), match=Match(ticker="SBER")))

    answers = await served(client, timeframe, "2024-05-06", "2024-05-14")

    after = told(exchange, timeframe, "2024-05-06", "2024-05-15")
    assert answers == after
    assert (after[1][0], after[1][-1]) == (first, 7)
    assert {str(row[0])[:10] for row in before} - {str(row[0])[:10] for row in after} >= {"2024-05-08"}
    assert last not in [row[0] for row in after]
