"""What every store shows of a series at one moment."""

import asyncio
from dataclasses import replace
from datetime import date, time

import pytest

from app.core.calendar import CalendarDay, DayReason
from app.core.entities import SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import SeriesNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage, SeriesView, read_circumstances
from app.tests.builders import (
    GAZP,
    GAZP_M1,
    SBER,
    SBER_M1,
    T0,
    a_candle,
    a_card,
    a_page,
    a_quarantined_row,
    a_span,
    a_state,
    follow,
    minute,
)

STATE = SeriesState(
    SBER_M1, minute(1), minute(2), minute(3), 9, 4, minute(4), minute(5), "it failed", minute(6), minute(7)
)


def a_period(n_from: int, n_till: int) -> Period:
    return Period(minute(n_from), minute(n_till))


@pytest.fixture
async def stored(storage: IStorage) -> IStorage:
    """Twenty minutes with two spans, beside another series."""
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as uow:
        await uow.series.add([STATE])
        await uow.candles.add(a_page(range(20)))
        await uow.candles.add([a_candle(3, GAZP_M1, close=1.0), a_candle(19, is_final=False, close=0.7)])
        await uow.spans.add([a_span(0, 5), a_span(10, 15), a_span(3, 4, GAZP_M1)])
    return storage


async def test_a_view_is_the_state_and_the_spans_that_touch_the_period(stored: IStorage) -> None:
    views = [await stored.view(SBER_M1, a_period(*ends)) for ends in ((5, 10), (6, 9), (4, 20), (0, 1))]

    assert views == [
        SeriesView(STATE, T0, [a_period(0, 5), a_period(10, 15)]),
        SeriesView(STATE, T0, []),
        SeriesView(STATE, T0, [a_period(0, 5), a_period(10, 15)]),
        SeriesView(STATE, T0, [a_period(0, 5)]),
    ]


async def test_without_a_span_there_is_no_beginning(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    view = await storage.view(SBER_M1, a_period(0, 1))

    assert (view.begin, list(view.covered)) == (None, [])
    assert view.is_covered(a_period(1, 1))
    assert not view.is_covered(a_period(0, 1))


@pytest.mark.parametrize("series", [Series(SBER, Timeframe.H1), Series(a_card().security, Timeframe.D1)])
async def test_a_series_without_a_row_cannot_be_viewed(stored: IStorage, series: Series) -> None:
    with pytest.raises(SeriesNotFoundError):
        await stored.view(series, a_period(0, 1))
    with pytest.raises(SeriesNotFoundError):
        await stored.view_candles(series, a_period(0, 1), a_period(0, 1), limit=5)


async def test_many_views_at_once_are_each_its_own(stored: IStorage) -> None:
    missing = Series(SBER, Timeframe.H1)
    asked = [
        (SBER_M1, a_period(0, 1)),
        (missing, a_period(0, 1)),
        (GAZP_M1, a_period(0, 9)),
        (SBER_M1, a_period(9, 10)),
    ]

    views = await asyncio.gather(*(stored.view(*each) for each in asked), return_exceptions=True)

    assert isinstance(views[1], SeriesNotFoundError)
    found = [view for view in views if isinstance(view, SeriesView)]
    assert [view.state.series for view in found] == [SBER_M1, GAZP_M1, SBER_M1]
    assert [list(view.covered) for view in found] == [[a_period(0, 5)], [a_period(3, 4)], [a_period(10, 15)]]


@pytest.mark.parametrize(
    ("window", "limit", "newest_first", "expected"),
    [
        ((2, 6), 10, False, [2, 3, 4, 5]),
        ((2, 6), 2, False, [2, 3]),
        ((2, 6), 2, True, [4, 5]),
        ((15, 99), 10, True, [15, 16, 17, 18, 19]),
        ((30, 40), 10, False, []),
        ((6, 6), 10, False, []),
    ],
)
async def test_candles_are_those_of_the_window(
    stored: IStorage,
    window: tuple[int, int],
    limit: int,
    newest_first: bool,  # noqa: FBT001  # a parameter of the test
    expected: list[int],
) -> None:
    view, page = await stored.view_candles(
        SBER_M1, a_period(0, 10), a_period(*window), limit=limit, newest_first=newest_first
    )

    assert view == await stored.view(SBER_M1, a_period(0, 10))
    assert list(page) == [a_candle(n, close=0.7, is_final=False) if n == 19 else a_candle(n) for n in expected]


async def test_what_was_committed_before_is_seen(stored: IStorage) -> None:
    versions = []
    for version in range(10, 15):
        async with stored.begin() as uow:
            await uow.series.add([SeriesState(SBER_M1, T0, version=version)])
        views = await asyncio.gather(*(stored.view(SBER_M1, a_period(0, 1)) for _ in range(5)))
        versions.append({view.state.version for view in views})

    assert versions == [{version} for version in range(10, 15)]


async def test_circumstances_are_what_the_repositories_tell(storage: IStorage) -> None:
    card = SecurityCard(
        SBER, "stock", "shares", is_traded=False, listed_till=date(2024, 1, 9), history_till=date(2024, 1, 8),
        expires=date(2024, 2, 1),
    )  # fmt: skip
    days = [
        CalendarDay("stock", date(2024, 1, 6), is_traded=False, reason=DayReason.WEEKEND),
        CalendarDay(
            "stock", date(2024, 1, 8), is_traded=True, trade_date=date(2024, 1, 9), reason=DayReason.HOLIDAY,
            opens=time(9, 50), closes=time(19), seen_at=T0,
        ),
    ]  # fmt: skip
    far = [
        CalendarDay("stock", date(2024, 6, 1), is_traded=True),
        CalendarDay("futures", date(2024, 1, 6), is_traded=True),
    ]
    async with storage.begin() as uow:
        await uow.securities.add([card, a_card(GAZP)])
        await uow.series.add([STATE, a_state(GAZP_M1)])
        await uow.candles.add(a_page([2, 4, 8]))
        await uow.candles.add([a_candle(5, GAZP_M1)])
        await uow.spans.add([a_span(0, 3), a_span(6, 7), a_span(0, 90, GAZP_M1)])
        await uow.quarantine.add([a_quarantined_row(5), a_quarantined_row(4), a_quarantined_row(1, GAZP_M1)])
        await uow.calendar.add(days + far)

    inner = await storage.circumstances(SBER_M1, [a_period(3, 6)])
    last = await storage.circumstances(SBER_M1, [a_period(3, 6), a_period(7, 8)])
    async with storage.read() as uow:
        expected = await read_circumstances(uow, SBER_M1, [a_period(3, 6)])

    assert replace(inner, days=sorted(inner.days, key=lambda day: day.day)) == expected
    assert (inner.card.end, list(inner.refused), inner.newest) == (card.end, [minute(4), minute(5)], minute(4))
    assert sorted(inner.days, key=lambda day: day.day) == days
    assert (inner.goes_on, last.goes_on, last.newest) == (True, False, None)
