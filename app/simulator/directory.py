"""What ISS tells of itself and of securities: cards, search, engines with their calendars, the index."""

from collections.abc import Iterable, Sequence
from datetime import date

from app.simulator import sessions
from app.simulator.iss import Block, Column, Value
from app.simulator.listings import BOARDS, BONDS, ENGINES, FUTURES, INDEX, MARKETS, SELT, Listing

_DESCRIPTION = ("name", "title", "value", "type", "sort_order", "is_hidden", "precision")
_BOARDS = (
    "secid", "boardid", "title", "board_group_id", "market_id", "market", "engine_id", "engine", "is_traded",
    "decimals", "history_from", "history_till", "listed_from", "listed_till", "is_primary", "currencyid", "unit",
)  # fmt: skip
_SEARCH = (
    "id", "secid", "shortname", "regnumber", "name", "isin", "is_traded", "emitent_id", "emitent_title", "emitent_inn",
    "emitent_okpo", "gosreg", "type", "group", "primary_boardid", "marketprice_boardid",
)  # fmt: skip
_MARKET = (
    "id", "trade_engine_id", "trade_engine_name", "trade_engine_title", "market_name", "market_title", "market_id",
    "marketplace",
)  # fmt: skip
_BOARD = (
    "id", "board_group_id", "engine_id", "market_id", "boardid", "board_title", "is_traded", "has_candles",
    "is_primary",
)  # fmt: skip
_GROUP = (
    "id", "trade_engine_id", "trade_engine_name", "trade_engine_title", "market_id", "market_name", "name", "title",
    "is_default", "board_group_id", "is_traded",
)  # fmt: skip
_SECURITY = ("SECID", "BOARDID", "SHORTNAME", "LOTSIZE", "DECIMALS", "MINSTEP", "SECNAME", "ISIN", "CURRENCYID")
_NOT_OF_CONTRACTS = {"ISIN", "CURRENCYID"}
_DURATIONS = (
    (1, 60, None, "минута", "1м"), (10, 600, None, "10 минут", "10м"), (60, 3600, None, "час", "1ч"),
    (24, 86400, None, "день", "1д"), (7, 604800, None, "неделя", "1н"), (31, 2678400, None, "месяц", "1М"),
    (4, 8035200, None, "квартал", "1К"),
)  # fmt: skip
_INTEGERS = {
    "id", "sort_order", "is_hidden", "precision", "board_group_id", "market_id", "engine_id", "is_traded", "decimals",
    "is_primary", "emitent_id", "trade_engine_id", "has_candles", "is_default", "week_day", "is_work_day", "interval",
    "duration", "days", "before", "after", "LOTSIZE", "LOTVOLUME", "DECIMALS",
}  # fmt: skip
_DATES = frozenset({"history_from", "history_till", "listed_from", "listed_till", "date", "tradedate", "action_date"})
_CURRENCY_UNITS = {"bonds": "percent", "index": "point", "forts": "point"}
_LAST_DAY = {True: ("MATDATE", "Дата погашения"), False: ("LSTTRADE", "Последний день торгов")}
_CHANGEOVER = (("2024-11-27", "TCSG", "T"),)
_FIRST_DAY = date(2011, 1, 1)
_SATURDAY = 6
_NOT_DEFAULT = {21, 58}  # odd lots; and the bonds that trade, for the default group of bonds is a dead one


def _block(name: str, columns: Iterable[str], rows: Iterable[Sequence[Value]] = ()) -> Block:
    return Block.of(name, [_column(column) for column in columns], rows)


def card(listings: Sequence[Listing], today: date) -> list[Block]:
    """Describe a security and the boards it trades on; both blocks are empty for an unknown one."""
    described = _described(listings[0]) if listings else []
    rows = [(name, title, value, kind, n, 0, None) for n, (name, title, value, kind) in enumerate(described, 1)]
    boards = [_board_row(listing, today) for listing in listings]
    return [_block("description", _DESCRIPTION, rows), _block("boards", _BOARDS, boards)]


def _described(listing: Listing) -> list[tuple[str, str, str, str]]:
    facts = [
        ("SECID", "Код ценной бумаги", listing.ticker, "string"),
        ("NAME", "Полное наименование", listing.name, "string"),
        ("SHORTNAME", "Краткое наименование", listing.short_name, "string"),
        ("ISIN", "ISIN код", listing.isin or "", "string"),
        ("CURRENCYID", "Валюта", listing.currency if listing.board.market is INDEX else "", "string"),
        ("ISSUEDATE", "Дата начала торгов", listing.listed_from.isoformat(), "date"),
        ("LOTSIZE", "Размер лота", str(listing.lot) if listing.board.market is SELT else "", "number"),
        (*_LAST_DAY[listing.board.market is BONDS], listing.expires.isoformat() if listing.expires else "", "date"),
        ("TYPENAME", "Вид/категория ценной бумаги", listing.kind[0], "string"),
        ("GROUP", "Код типа инструмента", listing.kind[1], "string"),
        ("TYPE", "Тип бумаги", listing.kind[0], "string"),
    ]
    return [fact for fact in facts if fact[2]]


def _board_row(listing: Listing, today: date) -> tuple[Value, ...]:
    board, market = listing.board, listing.board.market
    first, last = listing.listed_from.isoformat(), min(listing.listed_till or today, today).isoformat()
    return (
        listing.ticker, board.code, board.title, board.group, market.id, market.name, market.engine.id,
        market.engine.name, int(listing.is_listed(today)), listing.decimals, first, last, first, last,
        int(listing.is_primary), None if market is INDEX else listing.currency,
        _CURRENCY_UNITS.get(market.name, "currency"),
    )  # fmt: skip


def search(listings: Sequence[Listing], text: str, today: date, start: int, limit: int) -> list[Block]:
    """Find primary listings by any part of code, names or ISIN."""
    found = [
        (n, listing)
        for n, listing in enumerate(listings, 1)
        if listing.is_primary
        and text.lower() in f"{listing.ticker} {listing.name} {listing.short_name} {listing.isin}".lower()
    ]
    rows = [_search_row(n, listing, today) for n, listing in found[start : start + limit]]
    return [_block("securities", _SEARCH, rows)]


def _search_row(number: int, listing: Listing, today: date) -> tuple[Value, ...]:
    code = listing.board.code
    return (
        number, listing.ticker, listing.short_name, None, listing.name, listing.isin, int(listing.is_listed(today)),
        None, None, None, None, None, *listing.kind, code, None if listing.board.market is INDEX else code,
    )  # fmt: skip


def securities(listings: Sequence[Listing]) -> list[Block]:
    """Describe listings as their board does; contracts have a volume in place of a lot, and no currency."""
    is_contract = bool(listings) and listings[0].board.market.engine is FUTURES
    renamed = {"LOTSIZE": "LOTVOLUME"} if is_contract else {}
    names = [name for name in _SECURITY if not (is_contract and name in _NOT_OF_CONTRACTS)]
    rows = [[_listed(listing)[name] for name in names] for listing in listings]
    return [_block("securities", [renamed.get(name, name) for name in names], rows)]


def _listed(listing: Listing) -> dict[str, Value]:
    return {
        "SECID": listing.ticker,
        "BOARDID": listing.board.code,
        "SHORTNAME": listing.short_name,
        "LOTSIZE": listing.lot,
        "DECIMALS": listing.decimals,
        "MINSTEP": 10**-listing.decimals,
        "SECNAME": listing.name,
        "ISIN": listing.isin,
        "CURRENCYID": "SUR" if listing.currency == "RUB" else listing.currency,
    }


def splits(rows: Iterable[tuple[str, str, int, int]], ticker: str) -> Block:
    """List splits by date, of one ticker if given: so many shares before, so many after."""
    chosen = sorted(row for row in rows if ticker.lower() in ("", row[1].lower()))
    return _block("splits", ("tradedate", "secid", "before", "after"), chosen)


def changeover() -> Block:
    """List which tickers of shares were replaced."""
    return _block("changeover", ("action_date", "old_secid", "new_secid"), _CHANGEOVER)


def engine(name: str, today: date) -> list[Block]:
    """Tell when an engine trades: its week, and the days that differ from it, up to the end of next year."""
    hours = ("is_work_day", "start_time", "stop_time")
    names: list[Sequence[Value]] = []
    week: list[Sequence[Value]] = []
    differing: list[Sequence[Value]] = []
    for known in ENGINES:
        if known.name == name.lower():
            names = [(known.name, known.title, None)]
            week = [(n, int(n < _SATURDAY), known.opens, known.closes) for n in range(1, 8)]
            days = sessions.exceptions(known, _FIRST_DAY, date(today.year + 1, 12, 31))
            differing = [(day.isoformat(), int(works), known.opens, known.closes) for day, works in days]
    return [
        _block("engine", ("NAME", "title", "short_title"), names),
        _block("timetable", ("week_day", *hours), week),
        _block("dailytable", ("date", *hours), differing),
    ]


def index() -> list[Block]:
    """List engines, markets, boards, board groups and the durations of candles."""
    return [engines(), _markets(), _boards(), _board_groups(), durations()]


def engines() -> Block:
    """List the engines."""
    return _block("engines", ("id", "name", "title"), [(each.id, each.name, each.title) for each in ENGINES])


def durations() -> Block:
    """List the intervals of candles with their lengths in seconds."""
    return _block("durations", ("interval", "duration", "days", "title", "hint"), _DURATIONS)


def _markets() -> Block:
    rows = [
        (each.id, each.engine.id, each.engine.name, each.engine.title, each.name, each.title, each.id, None)
        for each in MARKETS
    ]
    return _block("markets", _MARKET, rows)


def _boards() -> Block:
    rows = [
        (each.id, each.group, each.market.engine.id, each.market.id, each.code, each.title, 1, 1, int(each.is_primary))
        for each in BOARDS.values()
    ]
    return _block("boards", _BOARD, rows)


def _board_groups() -> Block:
    groups = {each.group: each for each in reversed(BOARDS.values())}
    rows = [
        (
            group, each.market.engine.id, each.market.engine.name, each.market.engine.title, each.market.id,
            each.market.name, f"{each.market.engine.name}_{each.market.name}_{group}", each.title,
            int(group not in _NOT_DEFAULT), group, 1,
        )
        for group, each in sorted(groups.items())
    ]  # fmt: skip
    return _block("boardgroups", _GROUP, rows)


def _column(name: str) -> Column:
    if name in _INTEGERS:
        return Column(name, "int32")
    return Column(name, "date" if name in _DATES else "double" if name == "MINSTEP" else "string")
