"""What becomes of securities, over real HTTP: renamed, moved to another board, delisted, corrected the next day."""

from collections.abc import Sequence
from datetime import date, timedelta

from app.bootstrap import Service
from app.core.corporate_actions import BoardMove, FormerName, NextName
from app.core.entities import Candle, Security, Series, Timeframe
from app.core.market_data import LoadOutcome
from app.core.reconciliation import CORRECTED, WITHDRAWN
from app.core.spans import Period
from app.io.chains import chain_words
from app.simulator.clock import read_moment as at
from app.simulator.fault_kinds import Revise, Withdraw
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents
from app.tests.journeys.healing import wall
from app.tests.journeys.living import (
    A_DAY,
    AUDITED,
    asked,
    assert_nothing_is_lost,
    days_of,
    follow_since,
    live_through,
)
from app.tests.journeys.test_update import SBER, assert_equals_the_tape, update
from app.use_cases.create_security import FollowedSecurity, create_security
from app.use_cases.get_spans import get_spans
from app.use_cases.list_securities import get_security
from app.use_cases.record_renames import record_renames
from app.use_cases.refresh_reference import refresh_reference
from app.use_cases.reread_candles import reread_candles
from app.use_cases.verify import verify

TCSG, T, YNDX = (Security(ticker, "TQBR") for ticker in ("TCSG", "T", "YNDX"))
FUND, FUND_NOW = Security("SBMX", "TQTF"), Security("SBMX", "TQBR")
RENAMED = "continues as TQBR:T since 2024-11-28"
MOVE = BoardMove("SBMX", "TQTF", "TQBR", date(2026, 6, 1))


async def refresh(service: Service) -> Sequence[BoardMove]:
    """Do what is done once a day: read the cards of what is followed, and which tickers were replaced."""
    found = await refresh_reference(service.storage, service.adapter, service.directory, service.clock, every=A_DAY)
    assert found.failures == {}
    assert list(await record_renames(service.storage, service.directory, service.clock)) == []
    return found.moves


async def live_and_refresh(service: Service, simulator: Simulator, *moments: str) -> list[BoardMove]:
    moves: list[BoardMove] = []
    for moment in moments:
        await live_through(service, simulator, at(moment))
        moves += await refresh(service)
    return moves


async def follow_again(service: Service, security: Security | str, since: str) -> FollowedSecurity:
    wanted = await service.since(AUDITED, at(since))
    return await create_security(service.storage, service.adapter, security, since=wanted)


async def assert_is_over(service: Service, simulator: Simulator, security: Security, moment: str) -> None:
    """Nothing is missing and nothing is asked any more, not in the night either."""
    simulator.clock.set(at(moment))
    asked(simulator)
    await update(service)
    await reread_candles(service.storage, service.loader, service.clock, securities=[security])
    night = asked(simulator, security.ticker)
    simulator.clock.advance(3 * A_DAY)
    await update(service)
    assert asked(simulator, f"{security.board}/securities/{security.ticker}") == 0
    assert night <= 3 * len(AUDITED)
    for coverage in await get_spans(service.storage, service.clock, security):
        assert list(coverage.gaps) == []


async def test_s22_a_renamed_security_ends_and_goes_on_under_its_new_name(
    service: Service, simulator: Simulator
) -> None:
    simulator.clock.set(at("2024-11-26 12:00"))
    await follow_since(service, TCSG, at("2024-11-25"))
    await live_and_refresh(service, simulator, "2024-11-26 12:00", "2024-11-27 20:00", "2024-11-28 12:00")
    await live_and_refresh(service, simulator, "2024-11-29 12:00")

    renamed = await follow_again(service, TCSG, "2024-11-25")

    assert renamed.lineage.continues == NextName("T", date(2024, 11, 28))
    assert chain_words(renamed) == [RENAMED]
    assert (await get_security(service.storage, TCSG)).lineage == renamed.lineage
    new = await follow_again(service, T, "2024-11-20")
    assert new.lineage.formerly == (FormerName("TCSG", date(2024, 11, 27)),)
    assert {state.followed_from.moscow.date() for state in new.series if state.followed_from} == {date(2024, 11, 28)}
    await live_and_refresh(service, simulator, "2024-12-02 12:00", "2024-12-06 12:00")
    for timeframe in AUDITED:
        assert await days_of(service, Series(TCSG, timeframe)) == {"2024-11-25", "2024-11-26", "2024-11-27"}
        assert min(await days_of(service, Series(T, timeframe))) == "2024-11-28"
    await assert_nothing_is_lost(service, simulator)
    await assert_is_over(service, simulator, TCSG, "2024-12-06 12:00")


async def test_s22_who_follows_an_old_name_is_told_the_new_one(service: Service, simulator: Simulator) -> None:
    simulator.clock.set(at("2024-12-20 12:00"))
    await refresh(service)

    followed = await follow_again(service, "TCSG", "2024-11-20")

    assert followed.card.security == TCSG
    assert chain_words(followed) == [RENAMED]
    await live_through(service, simulator, at("2024-12-20 12:00"))
    assert max(await days_of(service, Series(TCSG, Timeframe.M1))) == "2024-11-27"
    await assert_nothing_is_lost(service, simulator)
    await assert_is_over(service, simulator, TCSG, "2024-12-20 13:00")


async def test_s22_a_fund_that_moves_to_another_board_ends_on_one_and_begins_on_the_other(
    service: Service, simulator: Simulator
) -> None:
    simulator.clock.set(at("2026-05-28 12:00"))
    assert await follow_since(service, "SBMX", at("2026-05-27")) == (await get_security(service.storage, FUND)).card
    assert await live_and_refresh(service, simulator, "2026-05-28 12:00", "2026-05-29 20:00") == []

    moves = await live_and_refresh(service, simulator, "2026-06-01 12:00", "2026-06-02 12:00")

    assert moves == [MOVE]
    old, new = await get_security(service.storage, FUND), await follow_again(service, "SBMX", "2026-05-20")
    assert new.card.security == FUND_NOW
    for each in (old, new):
        assert chain_words(each) == ["moved from TQTF to TQBR on 2026-06-01"]
    assert await live_and_refresh(service, simulator, "2026-06-05 12:00", "2026-06-09 12:00") == []
    for timeframe in AUDITED:
        assert await days_of(service, Series(FUND, timeframe)) == {"2026-05-27", "2026-05-28", "2026-05-29"}
        assert min(await days_of(service, Series(FUND_NOW, timeframe))) == "2026-06-01"
    await assert_nothing_is_lost(service, simulator)
    await assert_is_over(service, simulator, FUND, "2026-06-09 12:00")


async def test_s22_what_is_delisted_while_it_is_followed_ends(service: Service, simulator: Simulator) -> None:
    simulator.clock.set(at("2024-06-13 12:00"))
    await follow_since(service, YNDX, at("2024-06-11"))

    await live_and_refresh(service, simulator, *(f"2024-06-{day} 12:00" for day in (13, 14, 17, 20, 24)))

    followed = await get_security(service.storage, YNDX)
    assert (followed.card.is_traded, followed.card.listed_till) == (False, date(2024, 6, 14))
    assert max(await days_of(service, Series(YNDX, Timeframe.M1))) == "2024-06-14"
    await assert_nothing_is_lost(service, simulator)
    await assert_is_over(service, simulator, YNDX, "2024-06-24 13:00")


async def correct(simulator: Simulator, moment: str) -> dict[Series, Candle]:
    """Let the exchange add a deal to the bars of all timeframes that hold a minute; return the old bars."""
    old = {}
    for timeframe in AUDITED:
        series, begin = Series(SBER, timeframe), timeframe.floor(at(moment))
        [bar] = simulator.truth(series, Period(begin, timeframe.after(begin)))
        values = {"volume": bar.volume + 10, "value": bar.value + 2_700}
        match = Match(ticker="SBER", interval=timeframe.interval)
        simulator.faults.add(Revise(match=match, begin=wall(begin), values=values))
        old[series] = bar
    return old


async def test_s20_a_correction_of_the_next_day_is_found_by_the_morning_and_kept_as_a_revision(
    service: Service, simulator: Simulator
) -> None:
    simulator.clock.set(at("2024-01-17 23:55"))
    await follow_since(service, SBER, at("2024-01-15"))
    await live_through(service, simulator, at("2024-01-17 23:55"), at("2024-01-18 12:00"))
    assert (await reread_candles(service.storage, service.loader, service.clock)).revised == {}
    old = await correct(simulator, "2024-01-17 15:07")
    few, many = ({Series(SBER, each): 1 for each in group} for group in (AUDITED[2:], AUDITED[:2]))

    simulator.clock.set(at("2024-01-18 20:00"))
    assert (await update(service)).revised == few  # the bar is among the last ones, which every update compares
    simulator.clock.set(at("2024-01-19 04:05"))
    outcome = await reread_candles(service.storage, service.loader, service.clock)

    assert (outcome.revised, outcome.failures) == (many, {})
    for series, (page, _, revisions) in (await contents(service.storage)).items():
        bar = old[series]
        assert [(each.candle, each.reason) for each in revisions] == [(bar, CORRECTED)]
        [now] = page.between(bar.timestamp, bar.timestamp + timedelta(seconds=1))
        assert (now.volume, now.value, now.close) == (bar.volume + 10, bar.value + 2_700, bar.close)
    await live_through(service, simulator, at("2024-01-19 12:00"))
    assert await reread_candles(service.storage, service.loader, service.clock) == LoadOutcome()
    await assert_nothing_is_lost(service, simulator)


async def test_s20_a_bar_of_yesterday_that_is_taken_back_goes_in_two_steps(
    service: Service, simulator: Simulator
) -> None:
    series, gone = Series(SBER, Timeframe.M1), "2024-01-17 15:07:00"
    simulator.clock.set(at("2024-01-17 23:55"))
    await follow_since(service, SBER, at("2024-01-15"), Timeframe.M1)
    await live_through(service, simulator, at("2024-01-17 23:55"))
    simulator.faults.add(Withdraw(match=Match(ticker="SBER", interval=1), begin=gone))

    simulator.clock.set(at("2024-01-18 04:05"))
    doubted = await reread_candles(service.storage, service.loader, service.clock)
    assert (doubted.quarantined, doubted.withdrawn) == ({series: 1}, {})
    assert at(gone).unix in (await contents(service.storage))[series][0].begins
    simulator.clock.advance(timedelta(minutes=10))
    withdrawn = await update(service)

    assert withdrawn.withdrawn == {series: 1}
    page, spans, [revision] = (await contents(service.storage))[series]
    assert at(gone).unix not in page.begins
    assert (wall(revision.candle.timestamp), revision.reason, len(spans)) == (gone, WITHDRAWN, 1)
    await live_through(service, simulator, at("2024-01-18 12:00"))
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
