"""Cards, search, borders, engines, the index; and what ISS answers to paths it does not know."""

import pytest

from app.simulator.fault_kinds import Split
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Client

BOND = SBER.replace("shares/boards/TQBR/securities/SBER", "bonds/boards/TQOB/securities/SU26238RMFS4")


async def test_a_card_describes_a_security_and_its_boards(client: Client) -> None:
    answer = await client.get("/iss/securities/sber.json")

    facts = {row["name"]: row["value"] for row in answer.block("description")}
    boards = {row["boardid"]: row["is_primary"] for row in answer.block("boards")}
    assert (facts["SECID"], facts["ISIN"], facts["TYPE"]) == ("SBER", "RU0009029540", "common_share")
    assert boards == {"TQBR": 1, "SMAL": 0}


async def test_a_slash_is_escaped(client: Client) -> None:
    answer = await client.get("/iss/securities/USD000UTSTOM.json")

    assert "USDRUB_TOM - USD\\/РУБ" in answer.text


async def test_a_card_of_an_unknown_code_has_two_empty_blocks(client: Client) -> None:
    answer = await client.get("/iss/securities/NOSUCH.json")

    assert (answer.status, answer.block("description"), answer.block("boards")) == (200, [], [])


async def test_search_finds_by_parts_of_code_name_and_isin(client: Client) -> None:
    texts = ["gaz", "газпром", "RU0007661625"]

    found = [(await client.get("/iss/securities.json", q=text)).column("secid", "securities") for text in texts]

    assert found == [["GAZP"]] * 3


async def test_search_comes_in_pages(client: Client) -> None:
    everything = (await client.get("/iss/securities.json")).column("secid", "securities")
    part = (await client.get("/iss/securities.json", start=2, limit=3)).column("secid", "securities")

    assert part == everything[2:5]
    assert "YNDX" in everything


async def test_borders_tell_the_beginnings_of_the_first_and_the_last_bar(client: Client) -> None:
    answer = await client.get(BOND.replace("candles", "candleborders"))

    borders = {row["interval"]: (row["begin"], row["end"]) for row in answer.block("borders")}
    assert list(borders) == [1, 4, 7, 10, 24, 31, 60]
    assert borders[24] == ("2021-06-23 00:00:00", "2024-05-15 00:00:00")
    assert str(borders[1][1]) <= "2024-05-15 14:33:00"


async def test_borders_of_an_unknown_code_are_empty(client: Client) -> None:
    answer = await client.get(SBER.replace("SBER", "NOSUCH").replace("candles", "candleborders"))

    assert answer.block("borders") == []


async def test_the_index_names_what_there_is(client: Client) -> None:
    answer = await client.get("/iss/index.json", iss__only="boards,durations")

    assert '"engines"' not in answer.text
    boards = "TQBR TQTF TQIF SMAL TQOB TQCB TQIR SNDX RTSI CETS RFUD ROPD"
    assert answer.column("boardid", "boards") == boards.split()
    assert answer.column("interval", "durations") == [1, 10, 60, 24, 7, 31, 4]


@pytest.mark.parametrize(
    ("path", "block"),
    [
        (SBER.replace("candles", "nonsense"), "securities"),
        ("/iss/securities/SBER/nonsense.json", "boards"),
        ("/iss/engines/stock/nonsense.json", "timetable"),
    ],
)
async def test_an_unknown_tail_gets_the_description_of_its_parent(client: Client, path: str, block: str) -> None:
    answer = await client.get(path)

    assert answer.status == 200
    assert answer.block(block)


async def test_an_unknown_resource_is_not_found(client: Client) -> None:
    answer = await client.get("/iss/securities1.json")

    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


async def test_without_the_suffix_the_answer_is_no_json(client: Client) -> None:
    answer = await client.get(SBER.removesuffix(".json"))

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/xml; charset=utf-8")


async def test_a_split_in_force_is_listed(client: Client, exchange: Simulator) -> None:
    exchange.faults.add(Split(date="2024-04-08", factor=0.01, match=Match(ticker="GMKN")))

    answer = await client.get("/iss/statistics/engines/stock/splits.json")

    assert answer.block("splits") == [{"tradedate": "2024-04-08", "secid": "GMKN", "before": 1, "after": 100}]
