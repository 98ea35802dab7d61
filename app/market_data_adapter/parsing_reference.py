"""Answers of ISS about itself -> boards, cards, what a search found. Pure: bytes in, checked values out."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from app.core.entities import Security, SecurityCard
from app.core.errors import SourceBadAnswerError
from app.core.markets import Board, FoundSecurity
from app.market_data_adapter.parsing import read_table

_CARD_BOARDS = ("boardid", "engine", "market", "is_traded", "is_primary", "decimals", "listed_from", "listed_till")
_BOARDS = ("boardid", "board_title", "board_group_id", "engine_id", "market_id", "is_traded", "has_candles")
_LOTS = ("LOTSIZE", "LOTVOLUME")  # of what is traded in lots; of contracts
_EXPIRES = ("LSTTRADE", "MATDATE")  # the last day of trading of a contract; the day a bond is repaid
_CURRENCIES = {"SUR": "RUB", "RUR": "RUB"}

Row = Mapping[str, Any]


def parse_cards(body: bytes, ticker: str) -> list[SecurityCard]:
    """Read the card of a security: one entry for each board it trades or traded on; none for an unknown one."""
    described = {row["name"]: row["value"] for row in read_table(body, "description", ("name", "value"))}
    boards = read_table(body, "boards", _CARD_BOARDS)
    primary = next((_code(row) for row in boards if row["is_primary"]), None)
    return [_card(ticker, described, row, primary) for row in boards]


def parse_boards(body: bytes) -> list[Board]:
    """Read the index: every board with its market, engine and group. Boards of unlisted markets are left out.

    An index without any board is no index: SourceBadAnswerError.
    """
    engines = {row["id"]: row for row in read_table(body, "engines", ("id", "name"))}
    markets = {row["id"]: row for row in read_table(body, "markets", ("id", "trade_engine_name", "market_name"))}
    groups = {row["id"]: row for row in read_table(body, "boardgroups", ("id", "name"))}
    boards = [
        _board(row, engines.get(row["engine_id"], {}), markets[row["market_id"]], groups.get(row["board_group_id"], {}))
        for row in read_table(body, "boards", _BOARDS)
        if row["market_id"] in markets
    ]
    if not boards:
        raise SourceBadAnswerError("the index of the exchange lists no board")
    return boards


def parse_found(body: bytes) -> list[FoundSecurity]:
    """Read one page of a search."""
    return [
        FoundSecurity(
            str(row["secid"]).upper(),
            row.get("name") or "",
            row.get("shortname") or "",
            row.get("isin") or None,
            row.get("type"),
            row.get("primary_boardid"),
            bool(row.get("is_traded", True)),
        )
        for row in read_table(body, "securities", ("secid",))
    ]


def parse_spelling(body: bytes, ticker: str) -> str | None:
    """Read from a page of a search how the exchange spells a ticker, if it is there: `SiZ6` for `SIZ6`."""
    codes = (str(row["secid"]) for row in read_table(body, "securities", ("secid",)))
    return next((code for code in codes if code.upper() == ticker.upper()), None)


def parse_listed(body: bytes, board: Board) -> list[SecurityCard]:
    """Read what is listed on a board, or the one security of it that was asked for; rows of other boards are left."""
    rows = read_table(body, "securities", ("SECID",))
    return [_listed(row, board) for row in rows if str(row.get("BOARDID", board.code)).upper() == board.code]


def _card(ticker: str, described: Mapping[str, Any], row: Row, primary: str | None) -> SecurityCard:
    return SecurityCard(
        Security(ticker, _code(row)),
        engine=row["engine"],
        market=row["market"],
        name=described.get("NAME") or "",
        short_name=described.get("SHORTNAME") or "",
        isin=described.get("ISIN"),
        kind=described.get("TYPE"),
        decimals=row["decimals"],
        is_traded=bool(row["is_traded"]),
        is_primary=bool(row["is_primary"]),
        listed_from=_date(row["listed_from"]),
        listed_till=_date(row["listed_till"]),
        secid=described.get("SECID") or ticker,
        latin_name=described.get("LATNAME") or "",
        lot=_lot(described),
        currency=_currency(row.get("currencyid") or described.get("FACEUNIT") or described.get("CURRENCYID")),
        primary_board=primary,
        history_from=_date(row.get("history_from")),
        history_till=_date(row.get("history_till")),
        expires=next((day for name in _EXPIRES if (day := _date(described.get(name)))), None),
    )


def _board(row: Row, engine: Row, market: Row, group: Row) -> Board:
    return Board(
        _code(row),
        market["trade_engine_name"],
        market["market_name"],
        row["board_title"] or "",
        engine.get("title") or "",
        market.get("market_title") or "",
        int(row["board_group_id"] or 0),
        group.get("name") or "",
        group.get("title") or "",
        bool(group.get("is_default")),
        bool(row["is_traded"]),
        bool(row["has_candles"]),
        bool(row.get("is_primary")),
    )


def _listed(row: Row, board: Board) -> SecurityCard:
    return SecurityCard(
        Security(str(row["SECID"]).upper(), board.code),
        board.engine,
        board.market,
        row.get("SECNAME") or "",
        row.get("SHORTNAME") or "",
        row.get("ISIN") or None,
        decimals=row.get("DECIMALS"),
        secid=str(row["SECID"]),
        latin_name=row.get("LATNAME") or "",
        lot=_lot(row),
        currency=_currency(row.get("CURRENCYID")),
    )


def _code(row: Row) -> str:
    return str(row["boardid"]).upper()


def _lot(row: Row) -> int | None:
    """Read how many units a lot has: a number, or its text."""
    value = next((row[name] for name in _LOTS if row.get(name)), None)
    try:
        return None if value is None else int(float(value))
    except (ValueError, OverflowError) as error:
        raise SourceBadAnswerError(f"{value!r} is no lot size") from error


def _currency(code: str | None) -> str | None:
    return _CURRENCIES.get(code, code) if code else None


def _date(value: str | float | None) -> date | None:
    """Read a day; what the exchange writes where it knows none (`0000-00-00`, nothing) is none."""
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
