"""Boards and cards over time, plans, and many securities at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pytest

from app.core.corporate_actions import BoardMove, FormerName, ListedSplit, Rename
from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, Timeframe
from app.core.errors import (
    BoardNotFoundError,
    InputError,
    NotFoundError,
    SecurityNotFoundError,
    SourceUnavailableError,
)
from app.core.markets import WELL_KNOWN, Board, FoundSecurity, Listed
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import GAZP, SBER, SBER_M1, T0, a_card, follow, minute
from app.tests.io.rest_client import FakeAdapter, FakeClock, FakeDirectory
from app.use_cases.create_securities import Wanted, create_securities, plan_creation, want_board
from app.use_cases.create_security import create_security
from app.use_cases.find_securities import find_securities
from app.use_cases.list_boards import get_board, list_boards
from app.use_cases.list_securities import get_security, list_securities
from app.use_cases.record_renames import record_renames
from app.use_cases.refresh_reference import refresh_reference

DAY = timedelta(days=1)
CLOCK = FakeClock()


@dataclass
class Directory:
    """Lists these boards and these cards, or fails; counts what it was asked."""

    known: Sequence[Board] = (WELL_KNOWN["TQBR"],)
    cards: Sequence[SecurityCard] = ()
    error: Exception | None = None
    asked: int = field(default=0)

    async def boards(self) -> Sequence[Board]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.known

    async def find(self, text: str, /, *, limit: int) -> Sequence[FoundSecurity]:
        return [FoundSecurity(text)][:limit]

    async def listed(self, _board: Board, /) -> Sequence[SecurityCard]:
        return self.cards

    async def splits(self) -> Listed[ListedSplit]:
        return Listed(())

    async def renames(self) -> Listed[Rename]:
        return Listed(())


@dataclass
class NewListing(FakeAdapter):
    """An exchange that has candles in some timeframes only."""

    first: Mapping[Timeframe, Timestamp] = field(default_factory=dict)

    async def borders(self, _card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        return {timeframe: Period(moment, minute(10_000)) for timeframe, moment in self.first.items()}


async def boards_of(storage: IStorage) -> list[Board]:
    async with storage.read() as uow:
        return [board async for board in uow.boards]


async def test_before_the_first_look_the_well_known_boards_stand_in() -> None:
    assert {"TQBR", "TQIF", "ROPD"} < {board.code for board in await list_boards(MemoryStorage())}


async def test_boards_are_read_once_a_day() -> None:
    storage, directory, clock = MemoryStorage(), Directory(), FakeClock()

    for hours in (0, 10, 23):
        clock.moment = minute(hours * 60)
        await refresh_reference(storage, FakeAdapter(), directory, clock, every=DAY)
    assert directory.asked == 1
    clock.moment = minute(24 * 60)
    refreshed = await refresh_reference(storage, FakeAdapter(), directory, clock, every=DAY)

    assert (directory.asked, refreshed.boards) == (2, 1)
    assert await boards_of(storage) == [replace(WELL_KNOWN["TQBR"], seen_at=clock.moment)]


async def test_cards_of_what_is_followed_are_read_again_but_not_of_what_expired() -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_M1)
    expired = replace(a_card(GAZP), expires=T0.moscow.date() - timedelta(days=30))
    gone = Security("GONE", "TQBR")
    async with storage.begin() as uow:
        await uow.securities.add([expired, a_card(gone)])
        await uow.series.add([replace(await uow.series.get(SBER_M1), series=replace(SBER_M1, security=each))
                              for each in (GAZP, gone)])  # fmt: skip

    refreshed = await refresh_reference(storage, FakeAdapter(), Directory(), CLOCK, every=DAY)

    async with storage.read() as uow:
        assert (await uow.securities.get(SBER)).name == "Сбербанк России ПАО ао"
        assert await uow.securities.get(GAZP) == expired
    assert refreshed.cards == 1
    assert [type(error) for error in refreshed.failures.values()] == [SecurityNotFoundError]


@dataclass
class Moving(FakeAdapter):
    """Knows the cards of one ticker, by board; `primary` is the primary one."""

    cards: dict[str, SecurityCard] = field(default_factory=dict)
    primary: str = "TQBR"
    asked: int = 0

    async def card(self, security: Security, /) -> SecurityCard:
        return replace(self.cards[security.board], primary_board=self.primary)

    async def primary_card(self, _ticker: str, /) -> SecurityCard:
        self.asked += 1
        return self.cards[self.primary]


FUND, FUND_NOW = Security("SBMX", "TQTF"), Security("SBMX", "TQBR")
TODAY = date(2024, 1, 4)
ON_TQTF = replace(a_card(FUND), primary_board="TQTF", is_traded=True, history_till=date(2024, 1, 3))
GONE = replace(ON_TQTF, is_traded=False)
ON_TQBR = replace(a_card(FUND_NOW), history_from=TODAY)
LONG_THERE = replace(ON_TQBR, history_from=date(2014, 1, 6))


@pytest.mark.parametrize(
    ("before", "fresh", "there", "day"),
    [
        (ON_TQTF, GONE, ON_TQBR, TODAY),
        (ON_TQTF, ON_TQTF, LONG_THERE, CLOCK.moment.moscow.date()),
        (replace(GONE, primary_board="TQBR"), GONE, ON_TQBR, TODAY),
        (replace(GONE, primary_board="TQBR"), GONE, LONG_THERE, None),
        (replace(ON_TQTF, primary_board="TQBR"), ON_TQTF, ON_TQBR, None),
    ],
    ids=["left", "both", "followed late", "delisted beside", "never primary"],
)
async def test_a_move_to_another_board_is_recorded_once(
    before: SecurityCard, fresh: SecurityCard, there: SecurityCard, day: date | None
) -> None:
    storage, adapter, clock = MemoryStorage(), Moving(cards={"TQTF": fresh, "TQBR": there}), FakeClock()
    await follow(storage, Series(FUND, Timeframe.D1))
    async with storage.begin() as uow:
        await uow.securities.add([before])

    first = await refresh_reference(storage, adapter, Directory(), clock, every=DAY)
    asked = adapter.asked
    clock.moment += DAY
    again = await refresh_reference(storage, adapter, Directory(), clock, every=DAY)

    expected = [] if day is None else [BoardMove("SBMX", "TQTF", "TQBR", day)]
    assert (first.moves, again.moves) == (expected, [])
    followed = await get_security(storage, FUND)
    assert list(followed.lineage.moves) == expected
    assert day is None or adapter.asked == asked == 1


async def test_renames_are_read_once_a_day_and_told_of() -> None:
    storage, clock, directory = MemoryStorage(), FakeClock(), FakeDirectory()
    assert await record_renames(storage, directory, clock) == ()

    followed = await create_security(storage, FakeAdapter(), SBER, since={Timeframe.M1: T0})

    assert followed.lineage.formerly == (FormerName("SBER03", date(2011, 11, 21)),)
    assert [each.lineage for each in await list_securities(storage)] == [followed.lineage]
    async with storage.begin() as uow:
        await uow.renames.clear()
    await record_renames(storage, directory, clock)
    assert (await get_security(storage, SBER)).lineage.formerly == ()
    clock.moment += DAY
    await record_renames(storage, directory, clock)
    assert (await get_security(storage, SBER)).lineage == followed.lineage


async def test_a_board_nobody_stored_is_looked_for_and_then_known() -> None:
    storage, directory = MemoryStorage(), Directory([Board("TQNW", "stock", "shares")])

    found = await get_board(storage, directory, CLOCK, "TQNW")
    await get_board(storage, directory, CLOCK, "TQNW")

    assert (found.market, directory.asked) == ("shares", 1)
    with pytest.raises(BoardNotFoundError, match="did you mean TQNW"):
        await get_board(storage, directory, CLOCK, "TQNV")


async def test_when_the_exchange_fails_the_well_known_boards_still_do() -> None:
    directory = Directory(error=SourceUnavailableError("away"))

    assert (await get_board(MemoryStorage(), directory, CLOCK, "TQCB")).market == "bonds"
    with pytest.raises(SourceUnavailableError):
        await get_board(MemoryStorage(), directory, CLOCK, "TQXX")


async def test_a_board_that_lists_nothing_cannot_be_followed() -> None:
    with pytest.raises(NotFoundError, match="lists nothing"):
        await want_board(MemoryStorage(), Directory(), CLOCK, "TQBR", since={})


async def test_one_security_that_fails_stops_nobody_else() -> None:
    storage, since = MemoryStorage(), {Timeframe.D1: T0}
    wanted = [Wanted(Security("NOPE", "TQBR"), since, 1), Wanted("SBER", since, 2), Wanted(GAZP, {}, 3)]

    ended = [created async for created in create_securities(storage, FakeAdapter(), wanted)]

    assert [type(created.error) for created in ended] == [SecurityNotFoundError, type(None), InputError]
    async with storage.read() as uow:
        assert [state.series.security async for state in uow.series] == [SBER]


def test_a_plan_says_what_it_takes_at_most() -> None:
    now = T0
    plan = plan_creation([Wanted(SBER, {Timeframe.D1: now - 700 * DAY, Timeframe.M1: now - 7 * DAY})], now=now, rate=5)

    assert (plan.securities, plan.series, plan.rows) == (1, 2, 700 + 7 * 880)
    assert plan.requests == 3 + (2 + 2) + (2 * 2 + 13)
    assert plan.duration == timedelta(seconds=plan.requests / 5)
    assert plan_creation([Wanted("SBER", {Timeframe.Q1: "all"})], now=now, rate=None).duration is None


async def test_a_timeframe_without_candles_yet_is_followed_from_its_moment() -> None:
    adapter = NewListing(first={Timeframe.M1: minute(100)})

    followed = await create_security(
        MemoryStorage(), adapter, SBER, since={Timeframe.M1: T0, Timeframe.MN1: T0, Timeframe.H1: minute(60)}
    )

    begins = {state.series.timeframe: state.followed_from for state in followed.series}
    assert begins == {
        Timeframe.M1: minute(100), Timeframe.H1: minute(60), Timeframe.MN1: Timeframe.MN1.floor(T0),
    }  # fmt: skip


async def test_the_first_candle_of_a_new_listing_moves_the_beginning_to_it() -> None:
    storage, adapter = MemoryStorage(), NewListing()
    await create_security(storage, adapter, SBER, since={Timeframe.M1: T0})
    adapter.first = {Timeframe.M1: minute(100)}

    [state] = (await create_security(storage, adapter, SBER, since={Timeframe.M1: T0})).series

    assert (state.followed_from, state.first_candle) == (minute(100), minute(100))


async def test_an_empty_search_is_refused() -> None:
    with pytest.raises(InputError, match="what to search for"):
        await find_securities(Directory(), "  ", limit=5)


@pytest.mark.parametrize(
    ("card", "last_day"),
    [
        (a_card(), None),
        (replace(a_card(), listed_till=date(2024, 1, 3)), None),
        (replace(a_card(), is_traded=False), None),
        (replace(a_card(), is_traded=False, listed_till=date(2024, 1, 3)), date(2024, 1, 10)),
        (
            replace(a_card(), is_traded=False, history_till=date(2024, 1, 3), expires=date(2030, 1, 1)),
            date(2024, 1, 10),
        ),
        (replace(a_card(), expires=date(2024, 3, 21)), date(2024, 3, 21)),
    ],
)
def test_the_last_day_is_known_when_trading_ended_or_will_end(card: SecurityCard, last_day: date | None) -> None:
    assert card.last_day == last_day
