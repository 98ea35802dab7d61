"""A period page by page, from every store: the same candles as in one answer, of one history."""

from dataclasses import replace

import pytest

from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState, Timeframe
from app.core.errors import InputError, SeriesChangedError, SeriesNotFoundError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import GAZP_M1, SBER, SBER_M1, T0, a_card, a_page, a_span, follow, minute
from app.use_cases import export_candles as exporting
from app.use_cases.export_candles import CandleExport, export_candles, export_period
from app.use_cases.get_candles import get_candles

WHOLE = Period(T0, minute(70))
MINUTES = a_page(n for n in range(60) if n % 7)


class FakeClock:
    async def now(self) -> Timestamp:
        return minute(63)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE_ROWS", 7)


@pytest.fixture
async def stored(storage: IStorage) -> IStorage:
    await fill(storage)
    return storage


async def fill(storage: IStorage) -> None:
    """An hour of minutes with holes, covered from minute 0 to 22 and from 30 to 55; the last ones form."""
    async with storage.begin() as uow:
        await uow.securities.add([a_card()])
        await uow.series.add([SeriesState(SBER_M1, T0, minute(55), minute(60), version=9, history_version=4)])
        await uow.candles.add(a_page((n for n in range(60) if n % 7 and n >= 55), is_final=False))
        await uow.candles.add(MINUTES[: MINUTES.begins.index(minute(55).unix)])
        await uow.spans.add([a_span(0, 22), a_span(30, 55)])


async def change(storage: IStorage, *, version: int, history_version: int) -> None:
    async with storage.begin() as uow:
        state = await uow.series.lock(SBER_M1)
        await uow.series.add([replace(state, version=version, history_version=history_version)])


async def joined(export: CandleExport) -> CandlePage:
    return CandlePage.join(export.series, [page async for page in export.pages])


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.H2])
@pytest.mark.parametrize("period", [WHOLE, Period(minute(3), minute(44)), Period(minute(65), minute(70))])
async def test_pages_put_together_equal_one_answer(stored: IStorage, timeframe: Timeframe, period: Period) -> None:
    series = Series(SBER, timeframe)

    export = await export_candles(stored, series, period)

    answer = await get_candles(stored, series, time_from=period.time_from, time_till=period.time_till)
    assert await joined(export) == answer.page
    assert (export.coverage.period, list(export.coverage.gaps), export.coverage.version) == (
        (answer.period, list(answer.gaps), answer.version)
    )


async def test_pages_are_as_large_as_they_may_be(stored: IStorage) -> None:
    export = await export_candles(stored, SBER_M1, WHOLE)

    assert [len(page) async for page in export.pages] == [7] * 7 + [2]


async def test_candles_of_before_a_split_are_left_out() -> None:
    storage = MemoryStorage()
    await fill(storage)
    async with storage.begin() as uow:
        await uow.series.add([replace(await uow.series.lock(SBER_M1), stale_before=minute(40))])

    page = await joined(await export_candles(storage, SBER_M1, WHOLE))

    assert page == (await get_candles(storage, SBER_M1, time_from=T0, time_till=minute(70))).page
    assert not page.between(minute(22), minute(30))
    assert page.between(minute(30), minute(40))


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5])
async def test_a_covered_candle_that_changes_on_the_way_ends_it(stored: IStorage, timeframe: Timeframe) -> None:
    export = await export_candles(stored, Series(SBER, timeframe), WHOLE)
    first = await anext(export.pages)

    await change(stored, version=10, history_version=10)

    assert first
    with pytest.raises(SeriesChangedError):
        await anext(export.pages)


async def test_one_that_changes_before_the_first_page_ends_it(stored: IStorage) -> None:
    export = await export_candles(stored, SBER_M1, WHOLE)

    await change(stored, version=10, history_version=10)

    with pytest.raises(SeriesChangedError):
        await anext(export.pages)


async def test_what_comes_to_uncovered_time_on_the_way_disturbs_nobody(stored: IStorage) -> None:
    export = await export_candles(stored, SBER_M1, WHOLE)
    first = await anext(export.pages)

    async with stored.begin() as uow:
        await uow.candles.add(a_page([63], is_final=False))
    await change(stored, version=10, history_version=4)

    rest = await joined(export)
    assert CandlePage.join(SBER_M1, [first, rest]).begins[-2:] == a_page([59, 63]).begins
    assert export.coverage.version == 9


async def test_between_pages_no_connection_is_held(sql_storage: SqlStorage) -> None:
    await fill(sql_storage)
    export = await export_candles(sql_storage, Series(SBER, Timeframe.M5), WHOLE)

    held = [sql_storage.connections_in_use async for _ in export.pages]

    assert held == [0] * len(held) != []


@pytest.mark.parametrize(
    ("timeframe", "given", "period"),
    [
        (Timeframe.M1, (None, None), (T0, minute(55))),
        (Timeframe.H2, (None, None), (T0, minute(63))),  # not one bar is whole
        (Timeframe.M10, (T0, minute(10)), (T0, minute(10))),
        (Timeframe.M1, (minute(5), None), (minute(5), minute(55))),
        (Timeframe.M15, (None, None), (T0, minute(45))),
        (Timeframe.M1, (minute(60), None), (minute(60), minute(63))),
        (Timeframe.M1, (minute(99), None), (minute(99), minute(99))),
        (Timeframe.M1, (None, minute(-9)), (minute(-9), minute(-9))),
    ],
)
async def test_open_ends_mean_what_is_covered(
    timeframe: Timeframe,
    given: tuple[Timestamp | None, Timestamp | None],
    period: tuple[Timestamp, Timestamp],
) -> None:
    storage = MemoryStorage()
    await fill(storage)

    time_from, time_till = given
    found = await export_period(storage, FakeClock(), Series(SBER, timeframe), time_from=time_from, time_till=time_till)

    assert (found.time_from, found.time_till) == period


async def test_where_nothing_is_covered_the_period_ends_now() -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_M1)

    found = await export_period(storage, FakeClock(), SBER_M1, time_from=None, time_till=None)

    assert found == Period(T0, minute(63))
    assert not (await export_candles(storage, SBER_M1, found)).coverage.is_complete


async def test_wishes_that_make_no_sense_are_errors(stored: IStorage) -> None:
    with pytest.raises(SeriesNotFoundError):
        await export_candles(stored, GAZP_M1, WHOLE)
    with pytest.raises(SeriesNotFoundError):
        await export_period(stored, FakeClock(), GAZP_M1, time_from=None, time_till=None)
    with pytest.raises(InputError):
        await export_candles(stored, SBER_M1, Period(minute(5), T0))
