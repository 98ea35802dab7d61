"""Every kind of fault, observed over HTTP."""

import asyncio
import gzip
import math
import time

import aiohttp
import pytest

from app.simulator.fault_kinds import (
    BadRow,
    Beyond,
    Bomb,
    Columns,
    Cut,
    Duplicate,
    Empty,
    Error,
    Html,
    IgnoreStart,
    Late,
    Reset,
    Revise,
    Shift,
    Shuffle,
    Slow,
    Split,
    Stale,
    Status,
    Withdraw,
    WrongDate,
)
from app.simulator.faults import Fault, Match
from app.simulator.iss import Value
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Answer, Client

HOURS: dict[str, str | int] = {"interval": 60, "from_": "2024-05-14", "till": "2024-05-14"}
TEN = "2024-05-14 10:00:00"


async def differing(client: Client, exchange: Simulator, fault: Fault, **query: str | int) -> tuple[Answer, Answer]:
    """Ask before and after the fault is set."""
    query = {**HOURS, **query}
    before = await client.get(**query)
    exchange.faults.add(fault)
    return before, await client.get(**query)


async def test_status_answers_a_page_and_when_to_come_again(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, Status(429, retry_after="7"))

    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_status_may_lead_elsewhere(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, Status(302, location="http://passport.example/login"))

    assert (answer.status, answer.headers["Location"]) == (302, "http://passport.example/login")


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json; charset=utf-8"])
async def test_html_comes_with_200_whatever_it_says_it_is(
    client: Client, exchange: Simulator, content_type: str
) -> None:
    _, answer = await differing(client, exchange, Html(content_type=content_type))

    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_error_stands_in_place_of_the_block(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, Error())

    assert answer.status == 200
    assert '"candles": [\n      {"error": "Error while acquiring data."}\n    ]}' in answer.text


async def collect(response: aiohttp.ClientResponse, received: bytearray) -> None:
    async for bits in response.content.iter_any():
        received += bits


@pytest.mark.parametrize("at", [0, 1, 500])
async def test_cut_closes_the_connection_amid_the_body(client: Client, exchange: Simulator, at: int) -> None:
    exchange.faults.add(Cut(at))

    async with client.session.get(SBER) as response:
        received = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            await collect(response, received)

    assert len(received) == at < int(response.headers["Content-Length"])


async def test_slow_waits_before_the_answer(client: Client, exchange: Simulator) -> None:
    started = time.monotonic()

    before, after = await differing(client, exchange, Slow(0.1))

    assert time.monotonic() - started >= 0.1
    assert after.text == before.text


async def test_slow_may_outlast_patience(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Slow(60))

    with pytest.raises(asyncio.TimeoutError):
        await client.session.get(SBER, timeout=aiohttp.ClientTimeout(0.05))


async def test_slow_may_trickle(client: Client, exchange: Simulator) -> None:
    started = time.monotonic()

    before, after = await differing(client, exchange, Slow(bytes_per_second=10_000))

    assert time.monotonic() - started >= len(before.text) / 10_000 * 0.5
    assert after.text == before.text


async def test_reset_breaks_the_connection(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Reset(times=None))

    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await client.get(**HOURS)

    assert exchange.requests[-1].status is None


async def test_a_bomb_unpacks_to_what_was_ordered(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Bomb(3))

    async with aiohttp.ClientSession(exchange.url, auto_decompress=False) as session, session.get(SBER) as response:
        body = await response.read()

    assert len(body) < 100_000 < len(gzip.decompress(body)) == 3 << 20


async def test_the_date_may_be_wrong_and_the_answer_aged(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, WrongDate(-3600, age=120))

    assert (answer.headers["Date"], answer.headers["Age"]) == ("Wed, 15 May 2024 10:48:20 GMT", "120")


async def test_the_date_may_be_no_date(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, WrongDate(text="soon"))

    assert answer.headers["Date"] == "soon"


async def test_stale_answers_what_was_known_before(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, Stale(3600), from_="2024-05-15", till="")

    assert answer.column("end")[-1] == "2024-05-15 13:33:20"


async def test_late_leaves_the_newest_bars_out(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Late(3600), from_="2024-05-15", till="")

    assert after.column("begin") == before.column("begin")[:-2]


async def test_empty_has_no_rows(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Empty())

    assert (len(before.block()), after.block()) == (14, [])


@pytest.mark.parametrize("shift", [2, -2])
async def test_shift_moves_later_pages_alone(client: Client, exchange: Simulator, shift: int) -> None:
    begins = (await client.get(**HOURS)).column("begin")
    exchange.faults.add(Shift(shift, times=None))

    first, second = [(await client.get(**HOURS, start=start)).column("begin") for start in (0, 4)]

    assert (first, second) == (begins, begins[4 - shift :])


async def test_ignore_start_answers_the_first_page_again(client: Client, exchange: Simulator) -> None:
    before, _ = await differing(client, exchange, IgnoreStart(times=None))

    assert (await client.get(**HOURS, start=500)).text == before.text


async def test_duplicate_repeats_the_last_rows(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Duplicate(2))

    assert after.block() == before.block() + before.block()[-2:]


async def test_a_duplicate_may_differ(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Duplicate(changes={"volume": 1}))

    assert after.block()[-1] == {**before.block()[-1], "volume": 1}


async def test_shuffle_exchanges_first_and_last(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Shuffle())

    assert after.block()[0] == before.block()[-1]
    assert sorted(map(str, after.block())) == sorted(map(str, before.block()))


async def test_beyond_adds_a_row_of_the_future(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Beyond(30))

    assert len(after.block()) == len(before.block()) + 1
    assert str(after.column("begin")[-1]) == "2024-06-13 23:00:00"


@pytest.mark.parametrize(
    "values", [{"high": None}, {"open": "NaN"}, {"high": 1, "low": 2}, {"volume": -1}, {"close": ""}, {"end": None}]
)
async def test_a_bad_row_has_the_values_ordered(client: Client, exchange: Simulator, values: dict[str, Value]) -> None:
    before, after = await differing(client, exchange, BadRow(begin=TEN, values=values))

    assert after.block() == [{**before.block()[0], **values}, *before.block()[1:]]


async def test_a_bad_row_may_be_no_json(client: Client, exchange: Simulator) -> None:
    _, answer = await differing(client, exchange, BadRow(values={"open": "NaN"}, bare=True))

    assert math.isnan(float(answer.column("open")[0] or 0))
    assert "[NaN, " in answer.text


async def test_columns_may_go_come_change_names_and_places(client: Client, exchange: Simulator) -> None:
    fault = Columns(drop=["value"], add={"trades": 7}, rename={"begin": "start"}, order=["start", "open", "trades"])

    before, after = await differing(client, exchange, fault)

    first = before.block()[0]
    assert after.block()[0] == {"start": first["begin"], "open": first["open"], "trades": 7}


async def test_a_revision_stays_until_it_is_taken_away(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Revise(begin=TEN, values={"volume": 10}))

    assert after.column("volume") == [10, *before.column("volume")[1:]]
    assert (await client.get(**HOURS)).text == after.text
    exchange.faults.clear()
    assert (await client.get(**HOURS)).text == before.text


async def test_a_withdrawn_bar_is_gone(client: Client, exchange: Simulator) -> None:
    before, after = await differing(client, exchange, Withdraw(begin=TEN))

    assert after.block() == before.block()[1:]


async def test_a_split_changes_prices_before_its_date_and_nothing_else(client: Client, exchange: Simulator) -> None:
    before, after = await differing(
        client, exchange, Split(date="2024-05-14", factor=0.1), from_="2024-05-13", till="2024-05-14", interval=24
    )

    assert after.column("volume") == before.column("volume")
    assert after.column("open") == [float(before.column("open")[0] or 0) * 0.1, before.column("open")[1]]


async def test_a_fault_strikes_only_what_it_matches(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Status(500, match=Match(ticker="gazp", board="tqbr", interval=60, path="candles"), times=None))

    statuses = [
        (await client.get(SBER.replace("SBER", ticker), interval=n)).status
        for ticker, n in (("GAZP", 60), ("GAZP", 24), ("SBER", 60))
    ]

    assert statuses == [500, 200, 200]


async def test_a_fault_may_match_a_later_page(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Status(500, match=Match(query="start=4"), times=None))

    statuses = [(await client.get(**HOURS, start=start)).status for start in (0, 4)]

    assert statuses == [200, 500]


async def test_a_fault_lets_some_pass_and_strikes_so_often(client: Client, exchange: Simulator) -> None:
    rule = exchange.faults.add(Status(500, after=1, times=2))

    statuses = [(await client.get(**HOURS)).status for _ in range(5)]

    assert statuses == [200, 500, 500, 200, 200]
    assert rule.struck == 2


async def test_chance_is_the_same_in_every_run(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Status(500, probability=0.5, times=None))

    statuses = [(await client.get(**HOURS)).status for _ in range(12)]

    assert statuses == [500, 500, 500, 200, 200, 200, 500, 200, 500, 200, 500, 500]


async def test_faults_add_up(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Duplicate())
    exchange.faults.add(WrongDate(text="never"))

    answer = await client.get(**HOURS)

    assert (len(answer.block()), answer.headers["Date"]) == (15, "never")


async def test_candle_faults_wait_for_candles(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Empty())
    await client.get("/iss/securities/SBER.json")

    answer = await client.get(**HOURS)

    assert answer.block() == []
