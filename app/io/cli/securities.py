"""Which securities are followed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.entities import Security, Timeframe
from app.io.cli import output
from app.io.cli.options import AsJson, Board, Ticker, Timeframes
from app.io.cli.running import run
from app.io.parameters import parse_security, parse_since
from app.use_cases import create_security as creation
from app.use_cases import list_securities
from app.use_cases import remove_security as removal
from app.use_cases.create_security import FollowedSecurity, Since

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service


def create_security(
    ticker: Ticker,
    board: Board = None,
    timeframe: Timeframes = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE|all",
            help="Where the candles should begin; all means from the first one the exchange has, a date "
            "inside a bar means that bar. By default a year ago, for M1 thirty days (DEFAULT_SINCE_DAYS, "
            "DEFAULT_SINCE_DAYS_M1).",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Follow a security that the exchange knows.

    Without --timeframe: M1, M10, H1 and D1 (DEFAULT_TIMEFRAMES). To follow it twice is no error: with an earlier date
    the candles begin earlier, with a later one nothing changes. The candles themselves come with update-candles, or
    with a running worker. M5, M15, M30, H2 and H4 are made of M1: to follow one is to follow M1, and whoever follows M1
    can read them all.
    """
    security = parse_security(ticker, board)
    moment = None if since is None else parse_since(since)
    followed = run(lambda service: _follow(service, security, timeframe or (), moment))
    if as_json:
        output.show_json([{**_object(followed), "is_new": followed.is_new}])
        return
    rows = [(state.series.timeframe, output.when(state.followed_from)) for state in followed.series]
    output.show_rows(("timeframe", "since"), rows)
    output.say(f"{security} {followed.card.name} is {'followed now' if followed.is_new else 'followed already'}")
    if derived := [each for each in timeframe or () if each.is_derived]:
        output.say(f"{', '.join(derived)}: made of M1, which is followed for it")


def securities(*, as_json: AsJson = False) -> None:
    """List what is followed.

    Since when, and until when its candles are final: the earliest and the latest of its timeframes.
    """
    found = run(lambda service: list_securities.list_securities(service.storage))
    if as_json:
        output.show_json(map(_object, found))
        return
    rows = [
        (
            str(each.card.security),
            each.card.short_name,
            " ".join(state.series.timeframe for state in each.series),
            output.when(min((state.followed_from for state in each.series if state.followed_from), default=None)),
            output.when(max((state.watermark for state in each.series if state.watermark), default=None)),
        )
        for each in found
    ]
    output.show_rows(("security", "name", "timeframes", "since", "final until"), rows)
    if not found:
        output.say("nothing is followed: begin with candles create-security SBER TQBR")


def remove_security(
    ticker: Ticker,
    board: Board = None,
    *,
    purge: Annotated[bool, typer.Option("--purge", help="Remove its candles, spans and revisions as well.")] = False,
) -> None:
    """Stop following a security. Its candles stay and can be shown, unless --purge removes them."""
    security = parse_security(ticker, board)
    run(lambda service: removal.remove_security(service.storage, service.clock, security, purge=purge))
    output.say(f"{security} is not followed any more; its candles are {'removed' if purge else 'kept'}")


async def _follow(
    service: "Service", security: Security, timeframes: Sequence[Timeframe], since: Since | None
) -> FollowedSecurity:
    wishes = await service.since(timeframes, since)
    return await creation.create_security(service.storage, service.adapter, security, since=wishes)


def _object(followed: FollowedSecurity) -> dict[str, object]:
    card = followed.card
    return {
        "security": str(card.security),
        "ticker": card.security.ticker,
        "board": card.security.board,
        "engine": card.engine,
        "market": card.market,
        "name": card.name,
        "short_name": card.short_name,
        "isin": card.isin,
        "decimals": card.decimals,
        "series": [
            {
                "timeframe": state.series.timeframe,
                "followed_from": output.optional(state.followed_from),
                "watermark": output.optional(state.watermark),
            }
            for state in followed.series
        ],
    }
