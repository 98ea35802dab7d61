"""Bars made of minutes, from every store: the same as rolled up by hand, whatever is asked and however it is paged."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, SeriesState, Timeframe
from app.core.errors import SeriesNotFoundError
from app.core.pages import CandlePage
from app.core.resampling import roll_up
from app.core.spans import Period, merge
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import SBER, SBER_D1, SBER_M1, T0, a_candle, a_card, a_page, a_span, a_state, follow, minute
from app.tests.looking import get_coverage
from app.use_cases import roll_up_candles
from app.use_cases.explain_gaps import Gap, GapReason, widened
from app.use_cases.get_candles import CandleAnswer, first_covered, get_candles
from app.use_cases.get_spans import get_spans

SBER_M5 = Series(SBER, Timeframe.M5)
DERIVED = [timeframe for timeframe in Timeframe if timeframe.is_derived]
BASE = a_page(n for n in range(600) if n % 7 and not 100 <= n < 180)
WHOLE = Period(T0, minute(600))
NOT_LOADED, IN_PROGRESS = GapReason.NOT_LOADED, GapReason.IN_PROGRESS


class FakeClock:
    async def now(self) -> Timestamp:
        return minute(602)


@pytest.fixture
async def stored(storage: IStorage) -> IStorage:
    """Ten hours of minutes with holes, covered from minute 0 to 203 and from 212 to 588; the last ones form."""
    async with storage.begin() as uow:
        await uow.securities.add([a_card()])
        await uow.series.add([SeriesState(SBER_M1, T0, minute(588), minute(602), version=9, history_version=4)])
        await uow.candles.add(BASE)
        await uow.spans.add([a_span(0, 203), a_span(212, 588)])
    return storage


def by_hand(timeframe: Timeframe) -> CandlePage:
    covered = [Period(T0, minute(203)), Period(minute(212), minute(588))]
    return roll_up(BASE, timeframe, covered).between(WHOLE.time_from, WHOLE.time_till)


async def read(
    storage: IStorage,
    timeframe: Timeframe,
    window: Period = WHOLE,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    part: Period | None = None,
) -> CandleAnswer:
    return await get_candles(
        storage,
        Series(SBER, timeframe),
        time_from=window.time_from,
        time_till=window.time_till,
        limit=limit,
        newest_first=newest_first,
        part=part,
    )


@pytest.mark.parametrize("timeframe", DERIVED)
@pytest.mark.parametrize("rows", [3, 20_000])
async def test_minutes_are_rolled_up_whatever_the_size_of_a_page(
    stored: IStorage, timeframe: Timeframe, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_up_candles, "PAGE_ROWS", rows)

    oldest = await read(stored, timeframe)
    newest = await read(stored, timeframe, newest_first=True)

    assert oldest.page == newest.page == by_hand(timeframe)
    assert not oldest.has_more


@pytest.mark.parametrize("timeframe", [Timeframe.M5, Timeframe.H2])
@pytest.mark.parametrize("limit", [1, 2, 5, 200])
async def test_the_limit_counts_results(stored: IStorage, timeframe: Timeframe, limit: int) -> None:
    whole = by_hand(timeframe)

    oldest = await read(stored, timeframe, limit=limit)
    newest = await read(stored, timeframe, limit=limit, newest_first=True)

    assert oldest.page == whole[:limit]
    assert newest.page == whole[-limit:]
    assert oldest.has_more == newest.has_more == (len(whole) > limit)


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_pages_put_together_equal_one_big_answer(limit: int) -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.candles.add(BASE)
    pages = []

    answer = await read(storage, Timeframe.M15, limit=limit)
    pages.append(answer.page)
    while answer.has_more:
        behind = Timestamp.from_unix(answer.page.begins[-1] + 1)
        answer = await read(storage, Timeframe.M15, limit=limit, part=Period(behind, WHOLE.time_till))
        pages.append(answer.page)

    assert CandlePage.join(Series(SBER, Timeframe.M15), pages) == roll_up(BASE, Timeframe.M15)


async def test_no_more_minutes_are_read_than_the_limit_needs(stored: IStorage) -> None:
    async with stored.read() as uow:
        first = await roll_up_candles.read_derived(uow, SBER_M5, Period(T0, minute(600)), limit=2)

    assert [candle.timestamp for candle in first] == [T0, minute(5)]


async def test_gaps_are_those_of_the_minutes_widened_to_bars(stored: IStorage) -> None:
    coverage = await get_coverage(stored, SBER_M5, Period(T0, minute(602)))

    assert coverage.period == Period(T0, minute(605))
    assert list(coverage.gaps) == [
        Gap(Period(minute(200), minute(215)), NOT_LOADED),
        Gap(Period(minute(585), minute(605)), IN_PROGRESS),
    ]
    assert coverage.version == 9
    assert (await get_coverage(stored, SBER_M5, Period(minute(215), minute(585)))).version == 4


async def test_what_is_final_is_what_no_gap_touches(stored: IStorage) -> None:
    answer = await read(stored, Timeframe.M5)

    forming = {candle.timestamp for candle in answer.page if not candle.is_final}
    assert forming == {minute(n) for n in (200, 205, 210, 585, 590, 595)}
    assert {begin for begin in forming if any(begin in gap.period for gap in answer.gaps)} == forming


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([(1, 2, NOT_LOADED)], [(0, 5, NOT_LOADED)]),
        ([(1, 2, NOT_LOADED), (3, 4, NOT_LOADED)], [(0, 5, NOT_LOADED)]),
        ([(1, 2, NOT_LOADED), (5, 6, NOT_LOADED)], [(0, 10, NOT_LOADED)]),
        ([(0, 7, NOT_LOADED), (7, 12, IN_PROGRESS)], [(0, 5, NOT_LOADED), (5, 15, IN_PROGRESS)]),
        ([(6, 7, NOT_LOADED), (7, 8, IN_PROGRESS)], [(5, 10, IN_PROGRESS)]),
    ],
)
def test_a_bar_in_which_gaps_meet_counts_to_the_later_one(
    gaps: list[tuple[int, int, GapReason]], expected: list[tuple[int, int, GapReason]]
) -> None:
    given = [Gap(Period(minute(a), minute(b)), reason) for a, b, reason in gaps]

    assert widened(given, Timeframe.M5) == [Gap(Period(minute(a), minute(b)), reason) for a, b, reason in expected]


async def test_spans_of_a_derived_series_are_whole_bars(stored: IStorage) -> None:
    [coverage] = await get_spans(stored, FakeClock(), SBER, timeframe=Timeframe.M5)

    assert coverage.series == SBER_M5
    assert list(coverage.spans) == [
        CandleSpan(SBER, Timeframe.M5, T0, minute(200)),
        CandleSpan(SBER, Timeframe.M5, minute(215), minute(585)),
    ]
    assert list(coverage.gaps) == list((await get_coverage(stored, SBER_M5, Period(T0, minute(602)))).gaps)
    assert (coverage.followed_from, coverage.watermark) == (T0, minute(585))
    assert (coverage.version, coverage.history_version) == (9, 4)


async def test_an_answer_begins_where_its_minutes_do(stored: IStorage) -> None:
    assert await first_covered(stored, SBER_M5) == T0


async def test_without_minutes_there_is_no_derived_series() -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_D1)

    with pytest.raises(SeriesNotFoundError, match=r"SBER M5 .* made of M1"):
        await get_coverage(storage, SBER_M5, Period(T0, minute(5)))
    with pytest.raises(SeriesNotFoundError):
        await first_covered(storage, SBER_M5)


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        (datetime(2014, 10, 26), [datetime(2014, 10, 25, 20), datetime(2014, 10, 26, 1), datetime(2014, 10, 26, 5)]),
        (datetime(2011, 3, 27), [datetime(2011, 3, 26, 21), datetime(2011, 3, 27, 0), datetime(2011, 3, 27, 4)]),
    ],
)
async def test_four_hours_follow_the_wall_clock_when_the_clocks_are_changed(
    day: datetime, begins: list[datetime]
) -> None:
    midnight = Timestamp.from_moscow(day)
    offset = int((midnight - T0).total_seconds()) // 60
    storage = MemoryStorage()
    async with storage.begin() as uow:
        await uow.securities.add([a_card()])
        await uow.series.add([a_state(followed_from=midnight)])
        await uow.candles.add([a_candle(offset + 10 * n) for n in range(60)])

    answer = await read(storage, Timeframe.H4, Period(midnight, minute(offset + 600)))

    assert [candle.timestamp.utc.replace(tzinfo=None) for candle in answer.page] == begins


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(DERIVED), st.sampled_from(["asc", "desc"]), st.integers(1, 12), st.integers(1, 90))
async def test_pages_of_any_window_put_together_equal_what_is_rolled_up_by_hand(
    data: st.DataObject, timeframe: Timeframe, order: str, limit: int, rows: int
) -> None:
    base = a_page(data.draw(st.sets(st.integers(-300, 300), max_size=60)))
    ends = data.draw(st.tuples(st.integers(-320, 320), st.integers(-320, 320)).map(sorted))
    covered = merge(
        Period(minute(n), minute(n + m))
        for n, m in data.draw(st.lists(st.tuples(st.integers(-300, 300), st.integers(1, 400)), max_size=4))
    )
    storage, window = MemoryStorage(), Period(minute(ends[0]), minute(ends[1]))
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.candles.add(base)
        await uow.spans.add(CandleSpan(SBER, Timeframe.M1, p.time_from, p.time_till) for p in covered)

    pages = await _pages_of(storage, timeframe, window, limit=limit, newest_first=order == "desc", rows=rows)

    bars = roll_up(base, timeframe, covered).between(timeframe.ceil(window.time_from), timeframe.ceil(window.time_till))
    ordered = [answer.page for answer in (pages[::-1] if order == "desc" else pages)]
    assert CandlePage.join(Series(SBER, timeframe), ordered) == bars
    assert [len(answer.page) for answer in pages[:-1]] == [limit] * (len(pages) - 1)
    touched = {bar.timestamp for bar in bars if any(bar.timestamp in gap.period for gap in pages[0].gaps)}
    assert touched == {bar.timestamp for bar in bars if not bar.is_final}


async def _pages_of(
    storage: IStorage, timeframe: Timeframe, window: Period, *, limit: int, newest_first: bool, rows: int
) -> list[CandleAnswer]:
    """Read page by page as a cursor does, some minutes at a time."""
    part = Period(timeframe.ceil(window.time_from), timeframe.ceil(window.time_till))
    pages: list[CandleAnswer] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roll_up_candles, "PAGE_ROWS", rows)
        while not pages or pages[-1].has_more:
            answer = await read(storage, timeframe, window, limit=limit, newest_first=newest_first, part=part)
            if answer.has_more:
                edge = answer.page[0 if newest_first else -1].timestamp
                behind = edge + timedelta(seconds=1)
                part = Period(part.time_from, edge) if newest_first else Period(behind, part.time_till)
            pages.append(answer)
    return pages
