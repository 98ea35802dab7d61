"""Arguments and options that several commands share."""

from typing import Annotated

import typer

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.io.parameters import parse_moment, parse_security, parse_timeframe

_MOMENT = "A date, a time (Moscow's unless it has an offset), or unix seconds"


def _from(text: str) -> Timestamp:
    return parse_moment(text, "from")


def _till(text: str) -> Timestamp:
    return parse_moment(text, "till", is_end=True)


def _security(text: str) -> Security:
    return parse_security(text)


def _timeframe(text: str) -> Timeframe:
    return parse_timeframe(text)


Ticker = Annotated[
    str, typer.Argument(metavar="TICKER", help="What is traded: SBER, or with its board in one word: TQBR:SBER.")
]
Board = Annotated[
    str | None, typer.Argument(metavar="BOARD", help="Where: TQBR for shares, TQOB for federal bonds, ...")
]
OptionalTicker = Annotated[
    str | None,
    typer.Argument(
        metavar="TICKER",
        help="What is traded: SBER means its primary board, TQBR:SBER that one. Not with --all.",
        show_default=False,
    ),
]
OnBoard = Annotated[str | None, typer.Option("--board", metavar="BOARD", help="The board, named as an option.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the plan; needed where nobody can be asked.")]
Securities = Annotated[
    list[Security] | None,
    typer.Option(
        "--security", "-s", parser=_security, metavar="BOARD:TICKER", help="Only this one, as in TQBR:SBER. Repeatable."
    ),
]
SomeSecurities = Annotated[
    list[Security],
    typer.Argument(parser=_security, metavar="BOARD:TICKER", help="One or many, as in TQBR:SBER TQBR:GAZP."),
]
Timeframes = Annotated[
    list[Timeframe] | None,
    typer.Option(
        "--timeframe",
        "-t",
        parser=_timeframe,
        metavar="TIMEFRAME",
        help=f"One of {', '.join(Timeframe)}; also 1min, 10min, 1h, 1d, 1w, 1M. Repeatable.",
    ),
]
OneTimeframe = Annotated[
    Timeframe | None,
    typer.Option("--timeframe", "-t", parser=_timeframe, metavar="TIMEFRAME", help=f"One of {', '.join(Timeframe)}."),
]
From = Annotated[
    Timestamp | None,
    typer.Option("--from", parser=_from, metavar="MOMENT", help=f"{_MOMENT}; the period begins there."),
]
Till = Annotated[
    Timestamp | None,
    typer.Option(
        "--till",
        parser=_till,
        metavar="MOMENT",
        help=f"{_MOMENT}; the period ends before it. A bare date means through that day.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="A JSON array for scripts, times in UTC.")]
Utc = Annotated[bool, typer.Option("--utc", help="Show times in UTC, not in Moscow's.")]
