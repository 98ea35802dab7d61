import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from app.core.corporate_actions import ListedSplit, Rename
from app.core.entities import Security
from app.core.errors import SecurityNotFoundError, SourceBadAnswerError
from app.core.markets import WELL_KNOWN
from app.market_data_adapter.directory import MoexDirectory
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.parsing_reference import parse_boards, parse_listed
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import Split
from app.simulator.faults import Fault, Match, Reply
from app.simulator.generated import GeneratedTape
from app.simulator.listings import LISTINGS, TQBR, Listing
from app.simulator.server import Simulator
from app.tests.market_data_adapter.conftest import NOON

EMPTY = b'{"engines": {"columns": ["id", "name"], "data": []}, "markets": {"columns": ["id", "trade_engine_name", \
"market_name"], "data": []}, "boardgroups": {"columns": ["id", "name"], "data": []}, "boards": {"columns": ["boardid", \
"board_title", "board_group_id", "engine_id", "market_id", "is_traded", "has_candles"], "data": []}}'


@pytest.fixture
def directory(simulator: Simulator, open_client: Callable[..., IssClient]) -> MoexDirectory:
    return MoexDirectory(open_client(simulator.url))


async def test_every_well_known_board_of_the_index_is_where_it_is_said_to_be(directory: MoexDirectory) -> None:
    boards = {board.code: board for board in await directory.boards()}

    assert {"TQBR", "TQIF", "TQCB", "TQIR", "RTSI", "ROPD"} < set(boards)
    for code, board in boards.items():
        known = WELL_KNOWN[code]
        assert (board.engine, board.market, board.group) == (known.engine, known.market, known.group)
        assert (board.title, board.is_primary) == (known.title, known.is_primary)
    assert (boards["TQBR"].market_title, boards["ROPD"].engine_title) == ("Рынок акций", "Срочный рынок")
    assert boards["TQBR"].is_default_group
    assert not boards["TQOB"].is_default_group


def test_an_index_without_boards_is_no_index() -> None:
    with pytest.raises(SourceBadAnswerError, match="lists no board"):
        parse_boards(EMPTY)


async def test_a_search_goes_on_over_pages_of_a_hundred(open_client: Callable[..., IssClient]) -> None:
    many = [Listing(f"NUM{n:03}", TQBR, f"Share {n}", f"Share {n}") for n in range(250)]
    tape = GeneratedTape(listings=[*LISTINGS, *many])
    async with Simulator(tape, clock=SimulatedClock(NOON, stopped=True)).serve() as exchange:
        directory = MoexDirectory(open_client(exchange.url))

        everything = await directory.find("NUM", limit=1000)
        asked = len(exchange.requests)
        some = await directory.find("NUM", limit=120)

    assert [found.ticker for found in everything] == [listing.ticker for listing in many]
    assert asked == 3
    assert [found.ticker for found in some] == [listing.ticker for listing in many[:120]]


async def test_a_board_lists_what_trades_on_it_now(directory: MoexDirectory) -> None:
    shares = {card.security.ticker: card for card in await directory.listed(WELL_KNOWN["TQBR"])}
    futures = {card.security.ticker: card for card in await directory.listed(WELL_KNOWN["RFUD"])}

    assert {"SBER", "GAZP", "YNDX"} < set(shares)
    assert "POLY" not in shares
    assert (shares["SBER"].lot, shares["SBER"].currency, shares["SBER"].isin) == (10, "RUB", "RU0009029540")
    assert set(futures) == {"SIH4", "CLG4"}
    assert (futures["SIH4"].secid, futures["SIH4"].lot) == ("SiH4", 1)


async def test_a_ticker_alone_means_its_primary_board(directory: MoexDirectory) -> None:
    card = await directory.primary_card("SBER")

    assert (card.security, card.primary_board, card.lot) == (Security("SBER", "TQBR"), "TQBR", 10)


async def test_a_delisted_security_tells_when_it_left(directory: MoexDirectory) -> None:
    card = await directory.primary_card("POLY")

    assert (card.is_traded, card.listed_till, card.last_day) == (False, date(2023, 10, 12), date(2023, 10, 19))


@pytest.mark.parametrize(
    ("ticker", "words"), [("SBERR", r"SBER \(Сбербанк\)"), ("GAZPROM", "check the ticker"), ("LKO", "LKOH")]
)
async def test_an_unknown_ticker_is_answered_with_the_nearest(
    directory: MoexDirectory, ticker: str, words: str
) -> None:
    with pytest.raises(SecurityNotFoundError, match=words):
        await directory.primary_card(ticker)
    with pytest.raises(SecurityNotFoundError, match=f"knows no {ticker}"):
        await directory.card(Security(ticker, "TQBR"))


async def test_splits_are_listed_as_the_exchange_has_them(directory: MoexDirectory, simulator: Simulator) -> None:
    assert (await directory.splits()).rows == []
    simulator.faults.add(Split(match=Match(ticker="SBER"), date="2024-01-16", factor=0.1))

    assert (await directory.splits()).rows == [ListedSplit("SBER", date(2024, 1, 16), 10)]


async def test_renames_are_listed(directory: MoexDirectory, simulator: Simulator) -> None:
    simulator.clock.set(read_moment("2024-11-28T12:00:00"))

    listed = await directory.renames()

    assert Rename("TCSG", "T", date(2024, 11, 27)) in listed.rows
    assert listed.skipped == []


def test_a_list_with_an_unreadable_lot_is_no_list() -> None:
    body = b'{"securities": {"columns": ["SECID", "LOTSIZE"], "data": [["SBER", "ten"]]}}'

    with pytest.raises(SourceBadAnswerError, match="no lot size"):
        parse_listed(body, WELL_KNOWN["TQBR"])


class Unknown(Fault, frozen=True, tag="unknown"):
    """Answer as ISS does of a code it does not know."""

    def on_reply(self, reply: Reply) -> Reply:
        columns = ["boardid", "engine", "market", "is_traded", "is_primary", "decimals", "listed_from", "listed_till"]
        blocks = {"description": ["name", "value"], "boards": columns}
        body = {name: {"columns": names, "data": []} for name, names in blocks.items()}
        return replace(reply, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())


async def test_a_ticker_that_the_exchange_spells_otherwise_is_asked_in_its_spelling(
    directory: MoexDirectory, simulator: Simulator
) -> None:
    simulator.faults.add(Unknown(match=Match(path="/iss/securities/SIH4.json"), times=None))

    card = await directory.primary_card("SIH4")

    assert (card.security, card.secid) == (Security("SIH4", "RFUD"), "SiH4")
    assert [each.path for each in simulator.requests][-2:] == [
        "/iss/securities/SiH4.json",
        "/iss/engines/futures/markets/forts/boards/RFUD/securities/SiH4.json",
    ]


def test_a_list_of_more_than_was_asked_for_is_read_for_its_board_alone() -> None:
    body = b'{"securities": {"columns": ["SECID", "BOARDID"], "data": [["SBER", "SMAL"], ["SBER", "TQBR"]]}}'

    [card] = parse_listed(body, WELL_KNOWN["TQBR"])

    assert card.security == Security("SBER", "TQBR")
