"""When the exchange trades."""

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.calendar import Session, TradingDay
from app.io.cli import output
from app.io.cli.options import AsJson
from app.io.cli.running import run
from app.io.parameters import parse_day
from app.use_cases import get_calendar as calendars
from app.use_cases import refresh_calendar as refreshing

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service

_IS_TRADED = {True: "yes", False: "no", None: "unknown"}


def _from(text: str) -> date:
    return parse_day(text, "from")


def _till(text: str) -> date:
    return parse_day(text, "till")


def calendar(
    market: Annotated[
        str,
        typer.Option(
            "--market", "-m", metavar="NAME", help="stock, futures, currency, or a market: shares, bonds, forts, ..."
        ),
    ] = "stock",
    first: Annotated[
        date | None,
        typer.Option("--from", parser=_from, metavar="DATE", help="The first day. By default this week's Monday."),
    ] = None,
    last: Annotated[
        date | None,
        typer.Option("--till", parser=_till, metavar="DATE", help="The last day, included. By default two weeks."),
    ] = None,
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the exchange first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which days are traded, why, and when.

    A running worker asks the exchange once a day about what is followed; what nobody asked about is taken from the
    history of the exchange. Sessions are in Moscow time; not every security takes part in all.
    """

    async def ask(service: "Service") -> calendars.EngineDays:
        if refresh:
            engine = await calendars.find_engine(service.storage, market)
            await refreshing.refresh_engine(service.storage, service.calendar, service.clock, engine)
        return await calendars.get_calendar(service.storage, service.clock, market, first=first, last=last)

    found = run(ask)
    if as_json:
        output.show_json(map(_object, found.days))
        return
    columns = ("day", "", "traded", "reason", "trade date", "sessions")
    output.show_rows(columns, map(_row, found.days))
    if any(day.is_traded is None for day in found.days):
        output.say(f"unknown: only the exchange can tell, and has not{'' if refresh else '; --refresh asks it'}")


def _row(day: TradingDay) -> tuple[str, ...]:
    trade_date = "" if day.trade_date == day.day else f"{day.trade_date}"
    sessions = ", ".join(f"{each.kind} {_clock(each)}" for each in day.sessions)
    return f"{day.day}", f"{day.day:%a}", _IS_TRADED[day.is_traded], day.reason, trade_date, sessions


def _clock(session: Session) -> str:
    return f"{session.period.time_from.moscow:%H:%M}-{session.period.time_till.moscow:%H:%M}"


def _object(day: TradingDay) -> dict[str, object]:
    return {
        "day": day.day.isoformat(),
        "is_traded": day.is_traded,
        "reason": day.reason,
        "trade_date": day.trade_date.isoformat(),
        "sessions": [
            {"kind": each.kind, "from": f"{each.period.time_from}", "till": f"{each.period.time_till}"}
            for each in day.sessions
        ],
    }
