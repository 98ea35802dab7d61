"""What engines and calendars tell of days, over HTTP, in 2024 or at the moment a test names."""

import pytest

from app.simulator.fault_kinds import Html, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Answer, Client, opened

ALL, STOCK = "/iss/calendars.json", "/iss/calendars/stock.json"
CALENDARS = Match(path="^/iss/calendars")
GOLDEN = """{
"off_days": {
	"columns": ["tradedate", "is_traded", "trade_session_date", "reason", "updatetime"], 
	"data": [
		["2026-01-16", 1, null, "N", "2024-12-01 12:00:00"],
		["2026-01-17", 1, "2026-01-19", "W", "2024-12-01 12:00:00"],
		["2026-01-18", 1, "2026-01-19", "W", "2024-12-01 12:00:00"],
		["2026-01-19", 1, null, "N", "2024-12-01 12:00:00"]
	]
}}
"""  # noqa: W291  # so it is written


def days(answer: Answer, block: str = "off_days") -> list[list[str | float | None]]:
    return [list(row.values()) for row in answer.block(block)]


async def test_an_engine_tells_its_week_and_the_days_that_differ(client: Client) -> None:
    answer = await client.get("/iss/engines/stock.json")

    week = [list(row.values()) for row in answer.block("timetable")]
    exceptions = {row["date"]: row["is_work_day"] for row in answer.block("dailytable")}
    assert week == [[n, int(n < 6), "09:50:00", "23:50:00"] for n in range(1, 8)]
    assert (exceptions["2024-04-27"], exceptions["2024-05-09"], "2024-05-10" in exceptions) == (1, 0, False)
    assert [day for day, works in exceptions.items() if works and str(day) > "2025"] == ["2025-11-01"]


async def test_since_weekends_have_sessions_the_timetable_marks_all_seven_days() -> None:
    async with opened("2025-06-04T12:00:00") as (client, _):
        answer = await client.get("/iss/engines/stock.json")

    exceptions = {row["date"]: row["is_work_day"] for row in answer.block("dailytable")}
    assert days(answer, "timetable")[4:] == [
        [5, 1, "06:50:00", "23:50:00"],
        [6, 1, "09:50:00", "19:00:00"],
        [7, 1, "09:50:00", "19:00:00"],
    ]
    assert (exceptions["2025-03-15"], exceptions["2025-03-16"], "2025-03-01" in exceptions) == (0, 0, False)
    assert "2025-02-22" not in exceptions  # the week had five days then


async def test_a_calendar_tells_why_days_are_worked_and_where_weekends_belong() -> None:
    async with opened("2026-01-15T12:00:00") as (client, _):
        answer = await client.get(STOCK, from_="2026-01-16", till="2026-01-19", show_all_days=1, iss__meta="off")

    assert answer.text == GOLDEN


async def test_a_calendar_lists_only_special_days_if_not_asked_for_all() -> None:
    async with opened("2025-06-04T12:00:00") as (client, _):
        answer = await client.get(STOCK, from_="2025-10-24", till="2025-11-09", iss__meta="off")

    assert [row[:4] for row in days(answer)] == [
        ["2025-10-25", 1, "2025-10-27", "W"],
        ["2025-10-26", 1, "2025-10-27", "W"],
        ["2025-11-01", 1, None, "T"],
        ["2025-11-04", 0, None, "H"],
        ["2025-11-08", 1, "2025-11-10", "W"],
        ["2025-11-09", 1, "2025-11-10", "W"],
    ]


async def test_the_calendar_of_all_has_the_engines_side_by_side() -> None:
    async with opened("2025-06-04T12:00:00") as (client, _):
        answer = await client.get(ALL, from_="2025-03-01", till="2025-03-03", show_all_days=1)

    assert answer.block("off_days")[0] == {
        "tradedate": "2025-03-01",
        "currency_workday": 0,
        "currency_trade_session_date": None,
        "currency_reason": "N",
        "futures_workday": 0,
        "futures_trade_session_date": None,
        "futures_reason": "N",
        "stock_workday": 1,
        "stock_trade_session_date": "2025-03-03",
        "stock_reason": "W",
    }
    assert answer.column("futures_workday", "off_days") == [0, 0, 1]


async def test_engines_may_differ() -> None:
    async with opened("2025-06-04T12:00:00") as (client, _):
        paths = [f"/iss/calendars/{engine}.json" for engine in ("stock", "futures", "currency")]
        march = [await client.get(path, from_="2022-03-01", till="2022-03-01", show_all_days=1) for path in paths]

    assert [days(answer)[0][1] for answer in march] == [0, 1, 1]


async def test_a_calendar_keeps_to_the_year_of_its_first_day(client: Client) -> None:
    usual = await client.get(STOCK, show_all_days=1)
    other = await client.get(STOCK, from_="2023-12-30", till="2024-06-01", show_all_days=1)
    part = await client.get(STOCK, from_="2023-12-25", till="2023-12-31", show_all_days=1, start=5)

    assert [usual.column("tradedate", "off_days")[n] for n in (0, -1)] == ["2024-01-01", "2024-12-31"]
    assert other.column("tradedate", "off_days") == ["2023-12-30", "2023-12-31"]
    assert part.column("tradedate", "off_days") == ["2023-12-30", "2023-12-31"]


@pytest.mark.parametrize(
    "query", [{"from_": "soon"}, {"from_": "2026-01-01"}, {"from_": "2024-02-02", "till": "2024-02-01"}]
)
async def test_what_is_not_announced_or_makes_no_sense_is_empty(client: Client, query: dict[str, str | int]) -> None:
    answer = await client.get(STOCK, show_all_days=1, **query)

    assert (answer.status, days(answer)) == (200, [])


async def test_calendars_may_be_closed_to_who_has_no_token(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Html(match=CALENDARS, times=None))
    page = await client.get(STOCK)
    exchange.faults.clear()
    exchange.faults.add(Status(403, match=CALENDARS, times=None))
    refusal, engine, candles = [await client.get(path) for path in (ALL, "/iss/engines/stock.json", SBER)]

    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.text.startswith("<!DOCTYPE html>")
    assert (refusal.status, engine.status, candles.status) == (403, 200, 200)


async def test_weekend_candles_have_their_own_dates() -> None:
    async with opened("2025-03-10T12:00:00") as (client, _):
        query: dict[str, str | int] = {"from_": "2025-02-28", "till": "2025-03-03"}
        daily = await client.get(interval=24, **query)
        hourly = await client.get(interval=60, **query)
        bond = await client.get(
            SBER.replace("shares/boards/TQBR/securities/SBER", "bonds/boards/TQOB/securities/SU26238RMFS4"),
            interval=24,
            **query,
        )
        [week] = (await client.get(interval=7, from_="2025-02-24", till="2025-02-24")).block()

    dates = ["2025-02-28", "2025-03-01", "2025-03-02", "2025-03-03"]
    assert [str(begin)[:10] for begin in daily.column("begin")] == dates
    assert [str(begin)[:10] for begin in bond.column("begin")] == dates[::3]
    assert [str(begin)[11:13] for begin in hourly.column("begin") if "03-01" in str(begin)] == [
        f"{hour:02}" for hour in range(9, 19)
    ]
    assert week["end"] == "2025-03-02 00:00:00"
    assert week["close"] == daily.block()[2]["close"]
