"""Which securities are followed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.errors import InputError, SourceError
from app.io.chains import chain_object, chain_words
from app.io.cli import output
from app.io.cli.many import follow_board
from app.io.cli.options import AsJson, Board, OnBoard, OptionalTicker, Ticker, Timeframes, Yes
from app.io.cli.running import run
from app.io.parameters import parse_code, parse_security, parse_since, parse_wanted
from app.use_cases import create_security as creation
from app.use_cases import find_securities, list_securities
from app.use_cases import remove_security as removal
from app.use_cases.create_security import FollowedSecurity, Since
from app.use_cases.record_renames import record_renames

_DAYS = ("listed_from", "listed_till", "history_from", "history_till", "expires")

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service


def create_security(  # options of a command, not arguments of a call
    ticker: OptionalTicker = None,
    board: Board = None,
    on_board: OnBoard = None,
    timeframe: Timeframes = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE|all",
            help="Where the candles should begin, or with the first one the exchange has, if that is later; all means "
            "from the first one. A date inside a bar means that bar. By default a year ago, for M1 thirty days "
            "(DEFAULT_SINCE_DAYS, DEFAULT_SINCE_DAYS_M1).",
        ),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything that --board lists, after a plan.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Follow a security that the exchange knows, or a whole board.

    Without a board: its primary one. Without --timeframe: M1, M10, H1 and D1 (DEFAULT_TIMEFRAMES). To follow it twice
    is no error: with an earlier date the candles begin earlier, with a later one nothing changes. The candles
    themselves come with update-candles, or with a running worker. M5, M15, M30, H2 and H4 are made of M1: to follow one
    is to follow M1, and whoever follows M1 can read them all.
    """
    if board is not None and on_board is not None:
        raise InputError("board", "the board is named twice")
    where = board or on_board
    moment = None if since is None else parse_since(since)
    if everything:
        code = _whole_board(ticker, where)
        run(lambda service: follow_board(service, code, timeframe or (), moment, yes=yes, as_json=as_json))
        return
    if ticker is None:
        raise InputError("ticker", "name a security, as in TQBR:SBER; or a whole board: --board TQBR --all")
    wanted = parse_wanted(ticker, where)
    followed = run(lambda service: _follow(service, wanted, timeframe or (), moment))
    _show_followed(followed, by_default=isinstance(wanted, str), as_json=as_json)
    if derived := [each for each in timeframe or () if each.is_derived]:
        output.say(f"{', '.join(derived)}: made of M1, which is followed for it")


def find(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Part of a ticker, of a name, or an ISIN.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 100,
    *,
    as_json: AsJson = False,
) -> None:
    """Search the exchange, followed or not."""
    found = run(lambda service: find_securities.find_securities(service.directory, text, limit=limit))
    if as_json:
        output.show_json(map(asdict, found))
        return
    rows = [
        (
            f"{each.primary_board}:{each.ticker}" if each.primary_board else each.ticker,
            each.short_name,
            each.name,
            each.isin or "",
            each.kind or "",
            "" if each.is_traded else "not traded",
        )
        for each in found
    ]
    output.show_rows(("security", "short name", "name", "isin", "kind", ""), rows)
    if not found:
        output.say(f"the exchange finds nothing by {text!r}")


def securities(*, as_json: AsJson = False) -> None:
    """List what is followed.

    Since when, and until when its candles are final: the earliest and the latest of its timeframes. And how else it was
    or is named, and where it traded before: candles of other names and boards are never stitched on.
    """
    found, ends = run(_listed)
    if as_json:
        output.show_json(map(_object, found))
        return
    rows = [
        (
            str(each.card.security),
            each.card.short_name,
            " ".join(state.series.timeframe for state in each.series),
            output.when(min((state.followed_from for state in each.series if state.followed_from), default=None)),
            output.when(max((ends[state.series] for state in each.series if state.series in ends), default=None)),
            "; ".join(chain_words(each)),
        )
        for each in found
    ]
    output.show_rows(("security", "name", "timeframes", "since", "final until", "chain"), rows)
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


async def _listed(service: "Service") -> tuple[Sequence[FollowedSecurity], Mapping[Series, Timestamp]]:
    return await list_securities.list_securities(service.storage), await list_securities.final_ends(service.storage)


def _whole_board(ticker: str | None, board: str | None) -> str:
    if ticker is not None or board is None:
        raise InputError("all", "--all follows a whole board: create-security --board TQBR --all")
    return parse_code(board, "board")


def _show_followed(followed: FollowedSecurity, *, by_default: bool, as_json: bool) -> None:
    if as_json:
        output.show_json([{**_object(followed), "is_new": followed.is_new}])
        return
    card = followed.card
    rows = [(state.series.timeframe, output.when(state.followed_from)) for state in followed.series]
    output.show_rows(("timeframe", "since"), rows)
    where = f" ({card.security.board} is its primary board)" if by_default else ""
    state = "followed now" if followed.is_new else "followed already"
    output.say(f"{card.security} {card.name} is {state}{where}")
    for words in chain_words(followed):
        output.say(words)


async def _follow(
    service: "Service", security: Security | str, timeframes: Sequence[Timeframe], since: Since | None
) -> FollowedSecurity:
    wishes = await service.since(timeframes, since)
    with suppress(SourceError):  # merely to say what it was named before, or is now
        await record_renames(service.storage, service.directory, service.clock)
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
        "kind": card.kind,
        "secid": card.secid,
        "latin_name": card.latin_name,
        "lot": card.lot,
        "decimals": card.decimals,
        "currency": card.currency,
        "primary_board": card.primary_board,
        "is_traded": card.is_traded,
        **{name: _day(getattr(card, name)) for name in _DAYS},
        **chain_object(followed),
        "series": [
            {
                "timeframe": state.series.timeframe,
                "followed_from": output.optional(state.followed_from),
                "watermark": output.optional(state.watermark),
            }
            for state in followed.series
        ],
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
