"""Renames and moves to another board: the exchange stitches nothing."""

from app.simulator.clock import read_moment
from app.tests.simulator.client import SBER, Client, opened

CHANGEOVER = "/iss/history/engines/stock/markets/shares/securities/changeover.json"
LAST, FIRST = "2024-11-27 00:00:00", "2024-11-28 00:00:00"
FUND = SBER.replace("SBER", "SBMX")
ETFS = FUND.replace("TQBR", "TQTF")


async def boards(client: Client, ticker: str) -> dict[object, tuple[object, ...]]:
    """What a card says of each board: whether it trades, when it did, whether the board is primary."""
    rows = (await client.get(f"/iss/securities/{ticker}.json")).block("boards")
    names = ("is_traded", "history_from", "history_till", "is_primary")
    return {row["boardid"]: tuple(row[name] for name in names) for row in rows}


async def test_a_rename_is_listed_from_the_last_day_of_the_old_code() -> None:
    async with opened("2024-11-28T12:00:00") as (client, _):
        answer = await client.get(CHANGEOVER)
    async with opened("2024-11-26T12:00:00") as (client, _):
        before = await client.get(CHANGEOVER)

    renamed = {"action_date": "2024-11-27", "old_secid": "TCSG", "new_secid": "T"}
    assert answer.block("changeover") == [*before.block("changeover"), renamed]
    assert [row["old_secid"] for row in before.block("changeover")] == ["SBER03"]


async def test_candles_are_never_stitched() -> None:
    async with opened("2024-12-02T12:00:00") as (client, _):
        paths = [SBER.replace("SBER", ticker) for ticker in ("TCSG", "T")]
        answers = [await client.get(path, interval=24, from_="2024-11-26", till="2024-11-29") for path in paths]
        old, new = [answer.column("begin") for answer in answers]

    assert old == ["2024-11-26 00:00:00", LAST]
    assert new == [FIRST, "2024-11-29 00:00:00"]


async def test_the_cards_tell_when_each_code_traded() -> None:
    async with opened("2024-12-02T12:00:00") as (client, _):
        cards = [(await boards(client, ticker))["TQBR"] for ticker in ("TCSG", "T")]
        listed = await client.get("/iss/engines/stock/markets/shares/boards/TQBR/securities.json")
        traded = listed.column("SECID", "securities")

    assert cards == [(0, "2019-10-28", "2024-11-27", 1), (1, "2024-11-28", "2024-12-02", 1)]
    assert ("TCSG" in traded, "T" in traded) == (False, True)


async def test_a_new_code_is_unknown_before_its_day(client: Client) -> None:
    found = (await client.get("/iss/securities.json", q="RU000A107UL4")).column("secid", "securities")

    assert (await boards(client, "T"), found) == ({}, ["TCSG"])


async def test_a_contract_is_announced_before_it_trades(client: Client) -> None:
    assert (await boards(client, "SiZ6"))["RFUD"][0] == 0


async def test_a_fund_moves_to_another_board_and_the_primary_flag_follows() -> None:
    async with opened("2026-05-29T12:00:00") as (client, exchange):
        before = await boards(client, "SBMX"), await primary_board(client)
        exchange.clock.set(read_moment("2026-06-01T12:00:00"))
        after = await boards(client, "SBMX"), await primary_board(client)

    assert before == ({"TQTF": (1, "2018-09-17", "2026-05-29", 1)}, "TQTF")
    assert after == (
        {"TQTF": (0, "2018-09-17", "2026-05-31", 0), "TQBR": (1, "2026-06-01", "2026-06-01", 1)},
        "TQBR",
    )


async def primary_board(client: Client) -> object:
    [found] = (await client.get("/iss/securities.json", q="SBMX")).column("primary_boardid", "securities")
    return found


async def test_the_candles_of_each_board_are_its_own_and_the_market_has_those_of_the_primary_one() -> None:
    query: dict[str, str | int] = {"interval": 24, "from_": "2026-05-28", "till": "2026-06-02"}
    until_may = {**query, "till": "2026-05-29"}
    by_market = FUND.replace("/boards/TQBR", "")

    async with opened("2026-05-30T12:00:00") as (client, exchange):
        before, may = [(await client.get(by_market, **wish)).column("begin") for wish in (query, until_may)]
        exchange.clock.set(read_moment("2026-06-05T12:00:00"))
        old, new, now = [(await client.get(path, **query)).column("begin") for path in (ETFS, FUND, by_market)]
        later = (await client.get(by_market, **until_may)).column("begin")

    assert before == may == old == ["2026-05-28 00:00:00", "2026-05-29 00:00:00"]
    assert later == []
    assert now == new == ["2026-06-01 00:00:00", "2026-06-02 00:00:00"]
