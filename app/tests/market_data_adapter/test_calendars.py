"""What the exchange says of its days, put together from its calendar and its tables."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, time, timedelta
from urllib.parse import parse_qsl

import pytest

from app.core.calendar import CalendarDay, DayReason
from app.core.errors import SourceBadAnswerError, SourceError, SourceSchemaError, SourceUnavailableError
from app.market_data_adapter.breaker import Breaking
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.calendars import MoexCalendar
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.parsing_calendar import CalendarRow, WorkHours, parse_calendar, parse_engine
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import Html, Status
from app.simulator.faults import Fault, Match, Reply
from app.simulator.server import Simulator

Row = Sequence[object]

NOW = read_moment("2026-01-15T12:00:00")
"""A Thursday."""
TABLES, CALENDAR = Match(path=r"^/iss/engines/stock\.json"), Match(path=r"^/iss/calendars/")
WEEK = [
    *([n, 1, "06:50:00", "23:59:59"] for n in range(1, 6)),
    [6, 1, "09:50:00", "19:00:00"],
    [7, 0, "09:50:00", "19:00:00"],
]
SINGLE_DAYS = [["2026-01-01", 0, "10:00:00", "18:30:00"], ["2026-01-20", 1, "08:00:00", "14:00:00"]]
PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
_OFF_DAYS = ["tradedate", "is_traded", "trade_session_date", "reason", "updatetime"]
_HOURS = ["is_work_day", "start_time", "stop_time"]


def body(**blocks: tuple[Sequence[str], Iterable[Row]]) -> bytes:
    return json.dumps({n: {"columns": [*c], "data": [*rows]} for n, (c, rows) in blocks.items()}).encode()


def tables(week: Iterable[Row] = WEEK, single_days: Iterable[Row] = SINGLE_DAYS) -> bytes:
    return body(timetable=(["week_day", *_HOURS], week), dailytable=(["date", *_HOURS], single_days))


def off_days(*rows: Row) -> bytes:
    return body(off_days=(_OFF_DAYS, [[*row, "2025-12-01 12:00:00"] for row in rows]))


class Says(Fault, frozen=True, tag="says"):
    """Answer this body with status 200, whatever was asked."""

    text: bytes = b""
    content_type: str = "application/json"

    def on_reply(self, reply: Reply) -> Reply:
        headers = {**reply.headers, "Content-Type": self.content_type}
        return replace(reply, status=200, headers=headers, body=self.text)


@pytest.fixture
async def exchange() -> Iterable[Simulator]:  # type: ignore[misc]  # a generator
    async with Simulator(clock=SimulatedClock(NOW, stopped=True)).serve() as running:
        running.faults.add(Says(match=TABLES, times=None, text=tables()))
        yield running


@pytest.fixture
def calendar(exchange: Simulator, open_client: Callable[..., IssClient]) -> MoexCalendar:
    return MoexCalendar(open_client(exchange.url))


async def told(calendar: MoexCalendar, first: str, last: str) -> Mapping[str, CalendarDay]:
    days = await calendar.days("stock", date.fromisoformat(first), date.fromisoformat(last))
    return {day.day.isoformat(): day for day in days}


def asked(exchange: Simulator) -> list[str]:
    return [request.path for request in exchange.requests]


async def test_the_calendar_comes_before_single_days_and_those_before_the_week(
    exchange: Simulator, calendar: MoexCalendar
) -> None:
    rows: list[Row] = [
        ["2026-01-01", 1, "2026-01-05", "W"],
        ["2026-01-18", 1, "2026-01-19", "W"],
        ["2026-01-19", 0, None, "H"],
        ["2026-01-21", None, None, "N"],
    ]
    exchange.faults.add(Says(match=CALENDAR, times=None, text=off_days(*rows)))

    days = await told(calendar, "2026-01-01", "2026-01-21")

    first, sunday = days["2026-01-01"], days["2026-01-18"]
    assert (first.is_traded, first.trade_date, first.reason) == (True, date(2026, 1, 5), DayReason.WEEKEND)
    assert (first.opens, first.closes) == (None, None)  # the hours of a day that was told to be off
    assert (sunday.is_traded, sunday.trade_date) == (True, date(2026, 1, 19))
    assert days["2026-01-19"] == CalendarDay("stock", date(2026, 1, 19), is_traded=False, reason=DayReason.HOLIDAY)
    assert days["2026-01-20"] == CalendarDay("stock", date(2026, 1, 20), is_traded=True, opens=time(8), closes=time(14))
    assert days["2026-01-21"] == CalendarDay(
        "stock", date(2026, 1, 21), is_traded=True, opens=time(6, 50), closes=time(23, 59, 59)
    )


async def test_the_week_speaks_of_today_and_two_weeks_and_not_of_days_it_cannot_know(
    exchange: Simulator, calendar: MoexCalendar
) -> None:
    exchange.faults.add(Status(403, match=CALENDAR, times=None))

    days = await told(calendar, "2025-12-20", "2026-03-01")

    assert sorted(days)[:3] == ["2026-01-01", "2026-01-15", "2026-01-16"]  # a single day, then from today on
    assert max(days) == "2026-01-29"
    assert "2026-01-17" not in days  # a Saturday that may be traded
    assert days["2026-01-18"].is_traded is False


async def test_the_calendar_is_asked_year_by_year(exchange: Simulator, calendar: MoexCalendar) -> None:
    exchange.faults.add(Says(match=CALENDAR, times=None, text=off_days(["2025-12-31", 0, None, "H"])))

    await told(calendar, "2025-12-30", "2026-01-02")

    queries = [dict(parse_qsl(each.query)) for each in exchange.requests if "calendars" in each.path]
    assert [(query["from"], query["till"], query["start"]) for query in queries] == [
        ("2025-12-30", "2025-12-31", "0"),
        ("2026-01-01", "2026-01-02", "0"),
        ("2026-01-01", "2026-01-02", "1"),
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        *(Says(match=CALENDAR, times=None, text=PAGE, content_type=kind) for kind in ("text/html", "application/json")),
        *(Status(code, match=CALENDAR, times=None) for code in (401, 403, 404)),
        Says(match=CALENDAR, times=None, text=body(engines=(["id"], []))),
    ],
)
async def test_a_calendar_that_is_closed_to_us_is_no_failure_of_the_exchange(
    exchange: Simulator, open_client: Callable[..., IssClient], refusal: Fault
) -> None:
    exchange.faults.add(refusal)
    budget = Budget(4, None, breaking=Breaking(after=1, rest=600))
    calendar = MoexCalendar(open_client(exchange.url, budget, attempts=3))

    for _ in range(3):
        days = await told(calendar, "2025-12-30", "2026-01-16")

    assert [*days] == ["2026-01-01", "2026-01-15", "2026-01-16"]
    assert (await budget.status()).state == "ok"
    assert asked(exchange) == ["/iss/engines/stock.json", "/iss/calendars/stock.json"] * 3


@pytest.mark.parametrize("match", [TABLES, CALENDAR])
@pytest.mark.parametrize(
    ("fault", "error"),
    [(Status(503), SourceUnavailableError), (Status(429, retry_after="1"), SourceUnavailableError)],
)
async def test_other_failures_are_those_of_the_exchange(
    exchange: Simulator, calendar: MoexCalendar, match: Match, fault: Status, error: type[SourceError]
) -> None:
    exchange.faults.clear()
    exchange.faults.add(Status(fault.code, fault.retry_after, match=match, times=None))

    with pytest.raises(error):
        await told(calendar, "2026-01-15", "2026-01-16")


async def test_tables_that_are_a_page_are_no_answer(exchange: Simulator, calendar: MoexCalendar) -> None:
    exchange.faults.clear()
    exchange.faults.add(Html(match=TABLES, times=None))

    with pytest.raises(SourceBadAnswerError):
        await told(calendar, "2026-01-15", "2026-01-16")


async def test_an_engine_without_a_calendar_has_tables_alone(exchange: Simulator, calendar: MoexCalendar) -> None:
    exchange.faults.add(Says(match=Match(path="/iss/engines/agro.json"), times=None, text=tables()))

    days = await calendar.days("agro", date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=20))

    assert {day.day for day in days if day.is_traded} == {date(2026, 1, 20)}  # of others it is not known
    assert asked(exchange) == ["/iss/engines/agro.json"]


def test_rows_that_cannot_be_read_are_left_out() -> None:
    week: list[Row] = [
        [1, 1, "soon", None],
        [8, 1, None, None],
        ["2", 1, None, None],
        [3, "yes", None, None],
        [4, 2, None, None],
    ]
    days: list[Row] = [
        ["2026-02-30", 1, None, None],
        ["20260227", 1, None, None],
        [None, 1, None, None],
        ["2026-02-27", 1.0, 5, "25:00:00"],
    ]

    found = parse_engine(tables(week, days))

    assert found.week == {1: WorkHours(is_traded=True)}
    assert found.days == {date(2026, 2, 27): WorkHours(is_traded=True)}


def test_a_row_of_the_calendar_keeps_what_can_be_read_of_it() -> None:
    rows = [
        ["2026-01-18", 1, "2026-01-19", "X"],
        ["2026-01-19", 0, "2026-01-18", "N"],
        ["2026-01-24", 0, "2027-01-18", "N"],
        ["2026-01-26", "1", 5, None],
        ["soon", 1, None, "W"],
    ]

    assert parse_calendar(off_days(*rows)) == {
        date(2026, 1, 18): CalendarRow(is_traded=True, trade_date=date(2026, 1, 19), reason=None),
        date(2026, 1, 19): CalendarRow(is_traded=False, trade_date=None, reason=None),
        date(2026, 1, 24): CalendarRow(is_traded=False, trade_date=None, reason=None),
        date(2026, 1, 26): CalendarRow(is_traded=None, trade_date=None, reason=None),
    }


def test_columns_are_read_by_name_and_only_two_are_needed() -> None:
    known = body(off_days=(["new", "is_traded", "tradedate"], [[5, 1, "2026-01-18"]]))

    assert parse_calendar(known)[date(2026, 1, 18)].is_traded is True
    with pytest.raises(SourceSchemaError, match="is_traded"):
        parse_calendar(body(off_days=(["tradedate"], [])))
