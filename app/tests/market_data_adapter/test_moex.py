from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Security, Series, Timeframe
from app.core.errors import (
    SecurityNotFoundError,
    SourceBadAnswerError,
    SourceSchemaError,
    SourceShiftError,
    SourceUnavailableError,
)
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.spans import Period
from app.market_data_adapter.clock import SourceClock
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.moex import MoexAdapter
from app.simulator.fault_kinds import (
    BadRow,
    Beyond,
    Columns,
    Duplicate,
    Empty,
    IgnoreFrom,
    Revise,
    Shuffle,
    Withdraw,
    WrongDate,
)
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.market_data_adapter.conftest import NOON

SBER = Security("SBER", "TQBR")
M1 = Series(SBER, Timeframe.M1)


def moscow(*parts: int) -> Timestamp:
    return Timestamp.from_moscow(datetime(*parts))  # type: ignore[arg-type]  # year, month, day and what follows


TWO_DAYS = Period(moscow(2024, 1, 15), moscow(2024, 1, 17))


@pytest.fixture
def adapter(simulator: Simulator, open_client: Callable[..., IssClient]) -> MoexAdapter:
    client = open_client(simulator.url)
    return MoexAdapter(client, SourceClock(client), source="simulator", delay=timedelta(minutes=15))


async def read(adapter: MoexAdapter, period: Period = TWO_DAYS, series: Series = M1) -> list[SourcePage]:
    card = await adapter.card(series.security)
    return [page async for page in adapter.candles(card, series.timeframe, period)]


def joined(pages: list[SourcePage]) -> CandlePage:
    return CandlePage.join(M1, [page.candles for page in pages])


async def test_pages_put_together_are_the_tape(adapter: MoexAdapter, simulator: Simulator) -> None:
    pages = await read(adapter)

    truth = simulator.truth(M1, TWO_DAYS)
    assert len(pages) > 3
    assert joined(pages) == truth.final_before(TWO_DAYS.time_from)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert {page.as_of for page in pages} == {NOON}


@pytest.mark.parametrize("rows", [0, 1, 499, 500, 501, 1000])
async def test_s7_a_window_ends_when_nothing_follows_or_with_its_last_slot(
    adapter: MoexAdapter, simulator: Simulator, rows: int
) -> None:
    begins = simulator.truth(M1, Period(moscow(2024, 1, 10), TWO_DAYS.time_till)).begins[:rows]
    end = (
        Timestamp.from_unix(begins[-1]) + timedelta(minutes=1) if begins else moscow(2024, 1, 10) + timedelta(minutes=1)
    )

    closed = joined(await read(adapter, Period(moscow(2024, 1, 10), end)))
    overnight = await read(adapter, Period(moscow(2024, 1, 10), moscow(2024, 1, 10, 5)))

    assert list(closed.begins) == list(begins)
    assert [(len(page.candles), page.is_last) for page in overnight] == [(0, True)]


async def test_a_short_page_may_be_left_without_asking_further(adapter: MoexAdapter, simulator: Simulator) -> None:
    card = await adapter.card(SBER)
    simulator.requests.clear()

    async for page in adapter.candles(card, Timeframe.M1, Period(moscow(2024, 1, 17), moscow(2024, 1, 17, 12))):
        assert page.is_short
        assert not page.is_last
        break

    assert len([each for each in simulator.requests if each.method == "GET"]) == 1


@pytest.mark.parametrize("fault", [Duplicate(rows=3, times=None), Shuffle(times=None)], ids=["repeats", "disorder"])
async def test_s5_s17_repeats_and_disorder_do_not_matter(
    adapter: MoexAdapter, simulator: Simulator, fault: Duplicate | Shuffle
) -> None:
    straight = joined(await read(adapter))
    simulator.faults.add(fault)

    assert joined(await read(adapter)) == straight


async def test_s5_a_conflict_is_asked_once_more_and_counted_if_it_stays(
    adapter: MoexAdapter, simulator: Simulator
) -> None:
    straight = joined(await read(adapter))
    simulator.faults.add(Duplicate(rows=1, changes={"volume": 7}))
    assert joined(await read(adapter)) == straight

    simulator.faults.add(Duplicate(rows=1, changes={"volume": 7}, times=None))
    pages = await read(adapter, Period(moscow(2024, 1, 15, 10), moscow(2024, 1, 15, 11)))

    assert sum(page.conflicts for page in pages) >= 1


@pytest.mark.parametrize(
    "fault", [Revise(begin="{}", values={"volume": 7}), Withdraw(begin="{}")], ids=["changed", "gone"]
)
async def test_s6_a_row_that_moves_between_pages_is_noticed(
    adapter: MoexAdapter, simulator: Simulator, fault: Revise | Withdraw
) -> None:
    card = await adapter.card(SBER)
    pages = adapter.candles(card, Timeframe.M1, TWO_DAYS)
    first = await anext(pages)
    edge = f"{Timestamp.from_unix(simulator.truth(M1, TWO_DAYS).begins[len(first.candles)]).moscow:%Y-%m-%d %H:%M:%S}"
    simulator.faults.add(
        Revise(begin=edge, values={"volume": 7}) if isinstance(fault, Revise) else Withdraw(begin=edge)
    )

    with pytest.raises(SourceShiftError, match="moved while pages were read"):
        await anext(pages)
    await pages.aclose()


async def test_s8_a_server_that_ignores_where_to_begin_is_refused(adapter: MoexAdapter, simulator: Simulator) -> None:
    simulator.faults.add(IgnoreFrom(times=None))

    with pytest.raises((SourceBadAnswerError, SourceShiftError)):
        await read(adapter)


async def test_s15_a_bad_row_is_rejected_once_wherever_it_stands(adapter: MoexAdapter, simulator: Simulator) -> None:
    begins = simulator.truth(M1, TWO_DAYS).begins
    for position in (3, 499, 500):
        begin = f"{Timestamp.from_unix(begins[position]).moscow:%Y-%m-%d %H:%M:%S}"
        simulator.faults.add(BadRow(begin=begin, values={"open": None}, times=None))

    pages = await read(adapter)

    rejected = [row.begin.unix for page in pages for row in page.rejected]
    assert rejected == [begins[3], begins[499], begins[500]]
    assert sorted([*joined(pages).begins, *rejected]) == list(begins)


async def test_s18_rows_outside_the_asked_period_are_dropped(adapter: MoexAdapter, simulator: Simulator) -> None:
    straight = joined(await read(adapter))
    simulator.faults.add(Beyond(days=3, times=None))

    assert joined(await read(adapter)) == straight


async def test_s4_a_renamed_column_is_an_error_and_a_new_one_is_none(
    adapter: MoexAdapter, simulator: Simulator
) -> None:
    straight = joined(await read(adapter))
    simulator.faults.add(Columns(add={"numtrades": 7}, times=None))
    assert joined(await read(adapter)) == straight

    simulator.faults.add(Columns(rename={"volume": "vol"}, times=None))
    with pytest.raises(SourceSchemaError, match="no column volume"):
        await read(adapter)


async def test_s21_an_empty_answer_is_an_empty_page(adapter: MoexAdapter, simulator: Simulator) -> None:
    simulator.faults.add(Empty(times=None))

    [page] = await read(adapter)

    assert (len(page.candles), page.is_last) == (0, True)


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_s23_an_answer_is_as_old_as_the_earlier_clock_says(
    adapter: MoexAdapter, simulator: Simulator, seconds: int
) -> None:
    simulator.faults.add(WrongDate(match=Match(path="candles"), seconds=seconds, times=None))

    [page, *_] = await read(adapter)

    assert page.as_of == NOON + timedelta(seconds=min(seconds, 0))


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_s23_clocks_that_disagree_are_an_error(
    simulator: Simulator, open_client: Callable[..., IssClient], seconds: int
) -> None:
    client = open_client(simulator.url)
    skew = timedelta(minutes=5)
    adapter = MoexAdapter(client, SourceClock(client), source="x", delay=timedelta(minutes=15), max_skew=skew)
    simulator.faults.add(WrongDate(match=Match(path="candles"), seconds=seconds, times=None))

    with pytest.raises(SourceUnavailableError, match="set this machine's clock right"):
        await read(adapter)


async def test_a_card_tells_where_a_ticker_trades_instead(adapter: MoexAdapter) -> None:
    with pytest.raises(SecurityNotFoundError, match="trades on TQBR"):
        await adapter.card(Security("SBER", "TQOB"))
    with pytest.raises(SecurityNotFoundError, match="knows no NOSUCH"):
        await adapter.card(Security("NOSUCH", "TQBR"))


async def test_borders_begin_with_the_first_candle(adapter: MoexAdapter, simulator: Simulator) -> None:
    card = await adapter.card(SBER)

    borders = await adapter.borders(card)

    assert set(borders) == set(SOURCED)
    for timeframe, period in borders.items():
        truth = simulator.truth(
            Series(SBER, timeframe), Period(period.time_from, period.time_from + timedelta(days=100))
        )
        assert truth[0].timestamp == period.time_from
