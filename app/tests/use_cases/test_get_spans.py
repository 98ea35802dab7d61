import pytest

from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, SeriesNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import GAZP, SBER, SBER_M1, T0, a_card, a_span, minute
from app.use_cases.explain_gaps import Gap, GapReason
from app.use_cases.get_spans import get_spans

SBER_H1 = Series(SBER, Timeframe.H1)
LOADED = SeriesState(SBER_M1, watermark=minute(10), as_of=minute(12))


class FakeClock:
    async def now(self) -> Timestamp:
        return minute(12)


@pytest.fixture
async def storage() -> IStorage:
    """Minutes 0 to 4 and 6 to 9 of a followed series, and an hour series that nobody loaded yet."""
    storage = MemoryStorage()
    async with storage.begin() as uow:
        await uow.securities.add([a_card(SBER), a_card(GAZP)])
        await uow.series.add(
            [SeriesState(SBER_M1, T0, watermark=minute(10), as_of=minute(12)), SeriesState(SBER_H1, T0)]
        )
        await uow.spans.add([a_span(0, 4), a_span(6, 10)])
    return storage


async def test_gaps_lie_between_the_spans_and_up_to_now(storage: IStorage) -> None:
    minutes, _ = await get_spans(storage, FakeClock(), SBER)

    assert list(minutes.spans) == [a_span(0, 4), a_span(6, 10)]
    assert list(minutes.gaps) == [
        Gap(Period(minute(4), minute(6)), GapReason.NOT_LOADED),
        Gap(Period(minute(10), minute(12)), GapReason.IN_PROGRESS),
    ]


async def test_series_come_shortest_first_and_one_may_be_asked_for(storage: IStorage) -> None:
    every = await get_spans(storage, FakeClock(), SBER)
    hours = await get_spans(storage, FakeClock(), SBER, timeframe=Timeframe.H1)

    assert [coverage.series for coverage in every] == [SBER_M1, SBER_H1]
    assert [coverage.series for coverage in hours] == [SBER_H1]


async def test_what_nobody_follows_any_more_is_told_of_as_long_as_it_is_covered(storage: IStorage) -> None:
    async with storage.begin() as uow:
        await uow.series.add([LOADED, SeriesState(SBER_H1)])

    (minutes,) = await get_spans(storage, FakeClock(), SBER)

    assert list(minutes.gaps) == [Gap(Period(minute(4), minute(6)), GapReason.NOT_LOADED)]


async def test_what_is_not_followed_is_not_found(storage: IStorage) -> None:
    with pytest.raises(SecurityNotFoundError):
        await get_spans(storage, FakeClock(), GAZP)
    with pytest.raises(SeriesNotFoundError):
        await get_spans(storage, FakeClock(), SBER, timeframe=Timeframe.D1)
