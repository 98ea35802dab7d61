"""Candles over HTTP, as the exchange speaks."""

from datetime import timedelta

import aiohttp
import pytest

from app.simulator.clock import read_moment
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Client

DAY = {"from_": "2024-05-14", "till": "2024-05-14"}
GOLDEN = """{
"candles": {
	"metadata": {
		"open": {"type": "double"},
		"close": {"type": "double"},
		"high": {"type": "double"},
		"low": {"type": "double"},
		"value": {"type": "double"},
		"volume": {"type": "double"},
		"begin": {"type": "datetime", "bytes": 19, "max_size": 0},
		"end": {"type": "datetime", "bytes": 19, "max_size": 0}
	},
	"columns": ["open", "close", "high", "low", "value", "volume", "begin", "end"], 
	"data": [
		[194.02, 193.94, 195.02, 192.75, 3048245222.2000003, 15730690, "2024-05-13 00:00:00", "2024-05-13 23:59:59"],
		[193.94, 191.27, 195.22, 189.91, 3314324799.1, 17152610, "2024-05-14 00:00:00", "2024-05-14 23:59:59"]
	]
}}
"""  # noqa: W291  # so it is written
EXTENDED = """[
  {"charsetinfo": {"name": "utf-8"}},
  {
    "candles": [
      {"begin": "2024-05-14 00:00:00", "close": 191.27}
    ]}
]
"""
EMPTY = """{
"candles": {
	"columns": ["open", "close", "high", "low", "value", "volume", "begin", "end"], 
	"data": [
		
	]
}}
"""  # noqa: W291, W293


async def test_the_text_is_that_of_iss(client: Client) -> None:
    answer = await client.get(interval=24, from_="2024-05-13", till="2024-05-14")

    assert answer.text == GOLDEN
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_the_extended_form_is_a_list_of_objects(client: Client) -> None:
    answer = await client.get(
        interval=24, **DAY, iss__json="extended", iss__meta="off", candles__columns="begin,nonsense,CLOSE"
    )

    assert answer.text == EXTENDED


@pytest.mark.parametrize(
    "query", [{"interval": 5}, {"interval": "abc"}, {"from_": "soon"}, {"from_": "2024-05-14", "till": "2024-05-13"}]
)
async def test_what_makes_no_sense_gets_an_empty_block(client: Client, query: dict[str, str | int]) -> None:
    answer = await client.get(iss__meta="off", **query)

    assert (answer.status, answer.text) == (200, EMPTY)


@pytest.mark.parametrize("old", ["SBER", "TQBR", "shares", "stock"])
async def test_an_unknown_code_gets_an_empty_block(client: Client, old: str) -> None:
    answer = await client.get(SBER.replace(old, "NOSUCH"), iss__meta="off")

    assert (answer.status, answer.text) == (200, EMPTY)


async def test_ten_minutes_are_the_default(client: Client) -> None:
    answer = await client.get(**DAY)

    assert answer.column("begin")[:2] == ["2024-05-14 10:00:00", "2024-05-14 10:10:00"]


async def test_paths_and_names_of_parameters_have_no_case_and_may_name_the_block(client: Client) -> None:
    plain = await client.get(interval=60, **DAY)
    other = await client.get(
        SBER.lower(), CANDLES__Interval=60, candles__FROM="2024-05-14", Till="2024-05-14", board="nonsense"
    )

    assert other.text == plain.text != ""


async def test_a_page_has_500_rows_whatever_the_limit(client: Client) -> None:
    answer = await client.get(interval=1, **DAY, limit=10)

    assert len(answer.block()) == 500


async def test_pages_by_start_put_together_are_the_day(client: Client, exchange: Simulator) -> None:
    pages = [(await client.get(interval=1, **DAY, start=start)).column("begin") for start in (0, 500, 1000)]

    begins = [begin for page in pages for begin in page]
    assert [len(page) for page in pages][::2] == [500, 0]
    assert begins == sorted(set(map(str, begins)))
    assert len(begins) > 700


async def test_pages_by_from_overlap_in_one_row(client: Client) -> None:
    first = (await client.get(interval=1, **DAY)).column("begin")
    second = (await client.get(interval=1, from_=str(first[-1]), till="2024-05-14")).column("begin")

    by_start = (await client.get(interval=1, **DAY, start=500)).column("begin")
    assert second == [first[-1], *by_start]


async def test_reverse_counts_from_the_newest(client: Client) -> None:
    begins = (await client.get(interval=60, **DAY)).column("begin")
    newest = (await client.get(interval=60, **DAY, iss__reverse="true", start=3)).column("begin")

    assert newest == begins[::-1][3:]


async def test_a_date_as_till_includes_the_day_and_a_midnight_cuts_it(client: Client) -> None:
    by_date = await client.get(interval=60, from_="2024-05-13", till="2024-05-14")
    by_time = await client.get(interval=60, from_="2024-05-13T00:00:00", till="2024-05-14T00:00:00")

    assert {str(begin)[:10] for begin in by_date.column("begin")} == {"2024-05-13", "2024-05-14"}
    assert {str(begin)[:10] for begin in by_time.column("begin")} == {"2024-05-13"}


async def test_both_ends_belong_to_the_window(client: Client) -> None:
    answer = await client.get(interval=10, from_="2024-05-14 10:10:00", till="2024-05-14 10:30:00")

    assert [str(begin)[11:16] for begin in answer.column("begin")] == ["10:10", "10:20", "10:30"]


@pytest.mark.parametrize(
    ("interval", "begin"),
    [(1, "2024-05-15 14:33:00"), (10, "2024-05-15 14:30:00"), (60, "2024-05-15 14:00:00"), (24, "2024-05-15 00:00:00")],
)
async def test_the_last_bar_forms_until_a_quarter_of_an_hour_ago(client: Client, interval: int, begin: str) -> None:
    answer = await client.get(interval=interval, from_="2024-05-15")

    assert (answer.column("begin")[-1], answer.column("end")[-1]) == (begin, "2024-05-15 14:33:20")


async def test_forming_bars_are_made_of_the_forming_minutes(client: Client) -> None:
    minutes = (await client.get(interval=1, from_="2024-05-15 14:30:00")).block()
    ten = (await client.get(interval=10, from_="2024-05-15 14:30:00")).block()

    assert ten[-1]["volume"] == sum(float(row["volume"] or 0) for row in minutes)
    assert ten[-1]["close"] == minutes[-1]["close"]
    assert len(minutes) == 4


async def test_a_forming_bar_grows_into_the_closed_one(client: Client, exchange: Simulator) -> None:
    volumes: list[str | float | None] = []
    for _ in range(5):
        answer = await client.get(interval=1, from_="2024-05-15 14:33:00", till="2024-05-15 14:33:00")
        volumes += answer.column("volume")
        exchange.clock.advance(timedelta(seconds=13))

    assert volumes == sorted(volumes, key=lambda volume: float(volume or 0))
    assert volumes[0] != volumes[-1]


async def test_the_end_of_long_bars_is_the_last_trading_date(client: Client) -> None:
    ends = [(await client.get(interval=n, from_="2024-03-01", till="2024-04-30")).column("end")[-1] for n in (7, 31, 4)]

    assert ends == ["2024-05-03 00:00:00", "2024-04-30 00:00:00", "2024-05-15 00:00:00"]


async def test_some_closed_bars_end_at_odd_moments(client: Client) -> None:
    hours = (await client.get(interval=60, from_="2024-04-15", till="2024-05-14")).column("end")
    days = (await client.get(interval=24, from_="2023-05-15", till="2024-05-14")).column("end")

    odd_hours = [end for end in hours if not str(end).endswith("59:59")]
    assert 0 < len(odd_hours) < 10
    assert {str(end)[11:] for end in days} == {"23:59:59", "23:59:58"}


async def test_head_answers_headers_alone(client: Client) -> None:
    whole = await client.get(interval=24, **DAY)
    head = await client.ask("HEAD", SBER, interval=24, **DAY)

    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_the_date_header_follows_the_simulated_clock(client: Client, exchange: Simulator) -> None:
    answer = await client.get(interval=24, **DAY)

    assert answer.headers["Date"] == "Wed, 15 May 2024 11:48:20 GMT"


async def test_a_page_asked_for_before_is_gone_when_the_clock_is_set_back(client: Client, exchange: Simulator) -> None:
    await client.get(interval=24, **DAY)

    exchange.clock.set(read_moment("2024-05-14T12:00:00"))

    assert (await client.get(interval=24, **DAY)).column("end") == ["2024-05-14 11:45:00"]


async def test_volumes_of_an_index_and_values_of_a_contract_are_zero(client: Client) -> None:
    index = await client.get(SBER.replace("shares/boards/TQBR/securities/SBER", "index/boards/SNDX/securities/IMOEX"))
    contract = await client.get("/iss/engines/futures/markets/forts/boards/RFUD/securities/SiZ6/candles.json")

    assert set(index.column("volume")) == {0}
    assert set(contract.column("value")) == set()


async def test_a_load_ticker_exists_when_asked_for(client: Client) -> None:
    answer = await client.get(SBER.replace("SBER", "SIM042"), interval=24, **DAY)

    assert len(answer.block()) == 1


async def test_numbers_are_as_short_as_they_go(client: Client) -> None:
    answer = await client.get(interval=1, **DAY)

    assert ".0," not in answer.text
    assert any(isinstance(price, int) for price in answer.column("open"))


@pytest.mark.parametrize("level", ["/boardgroups/57", ""])
async def test_groups_and_markets_mean_primary_boards(client: Client, level: str) -> None:
    by_board = await client.get(interval=24, **DAY)
    by_level = await client.get(SBER.replace("/boards/TQBR", level), interval=24, **DAY)

    assert by_level.text == by_board.text


async def test_bodies_are_zipped_if_the_simulator_is_told_to() -> None:
    async with Simulator(gzip=True).serve() as exchange, aiohttp.ClientSession(exchange.url) as session:
        answer = await Client(session).get(interval=60, **DAY)

    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.block()) == 14
