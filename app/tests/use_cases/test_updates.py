"""What people asked to have loaded: recorded before it is loaded, told from what is covered, forgotten in the end."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, Timeframe
from app.core.errors import InputError, SecurityNotFoundError, SeriesNotFoundError, UpdateNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage
from app.core.updates import Update, UpdatePart, UpdateState
from app.tests.builders import GAZP_M1, SBER, SBER_D1, SBER_M1, T0, a_page, follow, minute
from app.tests.io.rest_client import FakeClock
from app.use_cases.ask_for_candles import ask_for_candles
from app.use_cases.backfill_series import stages
from app.use_cases.forget_asked import forget_unasked, forget_updates
from app.use_cases.get_update import UpdateProgress, get_update, list_updates
from app.use_cases.list_unfinished import list_unfinished
from app.use_cases.note_asked import note_asked

CLOCK = FakeClock(minute(60))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def ask(storage: IStorage, **wishes: object) -> Update:
    return await ask_for_candles(storage, CLOCK, **wishes)  # type: ignore[arg-type]  # as the test says


async def cover(storage: IStorage, series: Series, minutes: int) -> None:
    """Store so many minutes from T0 on, as a load leaves them."""
    async with storage.begin() as uow:
        await uow.candles.add(a_page(range(minutes), series))
        await uow.spans.add([CandleSpan(series.security, series.timeframe, T0, minute(minutes))])


async def change(storage: IStorage, series: Series, **values: object) -> None:
    async with storage.begin() as uow:
        await uow.series.add([replace(await uow.series.get(series), **values)])  # type: ignore[arg-type]  # its fields


async def finish(storage: IStorage, *series: Series, done_at: Timestamp) -> None:
    async with storage.begin() as uow:
        parts = [part async for part in uow.update_parts if part.series in series]
        await uow.update_parts.add([replace(part, done_at=done_at, rows=50) for part in parts])


async def progress(storage: IStorage, update: Update, now: Timestamp) -> UpdateProgress:
    return await get_update(storage, FakeClock(now), update.id)


async def test_what_is_asked_for_is_recorded_and_found_to_be_unfinished(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    await change(storage, SBER_M1, checked_at=minute(1))
    await change(storage, GAZP_M1, checked_at=minute(1))
    await cover(storage, SBER_M1, 10)

    update = await ask(storage, securities=[SBER], timeframes=[Timeframe.M5], time_till=minute(30))

    async with storage.read() as uow:
        assert [part async for part in uow.update_parts] == [
            UpdatePart(update.id, minute(60), SBER_M1, Period(T0, minute(30)), minutes_before=10)
        ]
        assert (await uow.series.get(SBER_M1)).checked_at == minute(1)  # what is current stays so meanwhile
    assert await list_unfinished(storage) == [SBER_M1]


async def test_what_cannot_be_loaded_is_refused_and_not_recorded(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    for error, wishes in (
        (InputError, {"again": True}),
        (InputError, {"time_from": minute(2), "time_till": minute(1)}),
        (SecurityNotFoundError, {"securities": [GAZP_M1.security]}),
        (SeriesNotFoundError, {"timeframes": [Timeframe.D1]}),
    ):
        with pytest.raises(error):
            await ask(storage, **wishes)

    async with storage.read() as uow:
        assert await uow.updates.count() == 0


async def test_progress_goes_from_waiting_over_running_to_done(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    await cover(storage, SBER_M1, 10)
    update = await ask(storage)

    waiting = await progress(storage, update, minute(61))
    await cover(storage, SBER_M1, 35)
    running = await progress(storage, update, minute(70))
    await finish(storage, SBER_M1, done_at=minute(80))
    done = await progress(storage, update, minute(90))

    assert (waiting.state, waiting.requested, waiting.covered, waiting.rows) == (UpdateState.WAITING, 60, 10, 10)
    assert waiting.expected_end is None
    assert (running.state, running.requested, running.covered, running.rows) == (UpdateState.RUNNING, 60, 35, 35)
    assert running.rate == pytest.approx(25 / 600)
    assert running.expected_end == minute(80)
    assert (done.state, done.covered, done.rows, done.done_at) == (UpdateState.DONE, 60, 50, minute(80))
    assert done.expected_end is None


async def test_of_what_is_read_again_nothing_is_told_before_it_is_done(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    await cover(storage, SBER_M1, 60)
    update = await ask(storage, time_from=T0, again=True)

    before = await progress(storage, update, minute(61))
    await finish(storage, SBER_M1, done_at=minute(62))

    assert (before.state, before.covered) == (UpdateState.WAITING, 0)
    assert (await progress(storage, update, minute(62))).covered == 60


async def test_an_update_goes_on_as_long_as_a_part_can(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    update = await ask(storage)
    await change(storage, SBER_M1, failed_at=minute(61), failure="HTTP 503")
    states = [(await progress(storage, update, minute(62))).state]
    await finish(storage, GAZP_M1, done_at=minute(63))
    failed = await progress(storage, update, minute(64))
    await change(storage, SBER_M1, failed_at=None, failure=None)
    states += [failed.state, (await progress(storage, update, minute(65))).state]

    assert states == [UpdateState.RUNNING, UpdateState.FAILED, UpdateState.RUNNING]
    assert [(part.state, part.failed_at, part.failure) for part in failed.parts] == [
        (UpdateState.DONE, None, None),
        (UpdateState.FAILED, minute(61), "HTTP 503"),
    ]


async def test_a_failure_of_before_is_none_and_a_series_nobody_follows_is_one(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    await change(storage, SBER_M1, failed_at=minute(59), failure="HTTP 503")
    update = await ask(storage)

    before = await progress(storage, update, minute(61))
    await change(storage, SBER_M1, followed_from=None)

    assert before.state is UpdateState.WAITING
    assert (await progress(storage, update, minute(61))).parts[0].failure == "nobody follows it any more"


async def test_an_update_of_nothing_is_done(storage: IStorage) -> None:
    update = await ask(storage)

    found = await progress(storage, update, minute(61))

    assert (found.state, found.parts, found.done_at) == (UpdateState.DONE, [], minute(60))


async def test_many_parts_are_told_as_few_are(storage: IStorage) -> None:
    series = [Series(SBER, timeframe) for timeframe in (Timeframe.M1, Timeframe.M10, Timeframe.H1)]
    await follow(storage, *series, GAZP_M1, Series(GAZP_M1.security, Timeframe.M10))
    await cover(storage, SBER_M1, 20)
    update = await ask(storage)

    found = await progress(storage, update, minute(61))

    assert (found.parts[0].part.series, found.parts[0].requested, found.parts[0].covered) == (GAZP_M1, 60, 0)
    assert [part.covered for part in found.parts if part.part.series == SBER_M1] == [20]
    assert len(found.parts) == 5


async def test_updates_are_listed_newest_first(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.updates.add([Update("a", minute(3)), Update("b", minute(9)), Update("c", minute(6))])

    assert [each.update.id for each in await list_updates(storage, CLOCK, limit=2)] == ["b", "c"]
    with pytest.raises(UpdateNotFoundError):
        await get_update(storage, CLOCK, "d")


async def test_what_is_not_done_is_listed_but_for_what_failed_or_is_left(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    await change(storage, SBER_D1, followed_from=minute(-10 * 60))
    first = await ask(storage, securities=[SBER])
    await ask_for_candles(storage, FakeClock(minute(70)), timeframes=[Timeframe.M1])
    everything = await list_unfinished(storage)
    await change(storage, SBER_M1, failed_at=minute(65), failure="failed before it was asked for again")
    of_first = await list_unfinished(storage, first.id)
    await change(storage, GAZP_M1, failed_at=minute(70), failure="HTTP 503")
    await change(storage, SBER_D1, followed_from=None)

    assert everything == [GAZP_M1, SBER_M1, SBER_D1]
    assert of_first == [SBER_D1]
    assert await list_unfinished(storage) == [SBER_M1]
    await finish(storage, SBER_M1, done_at=minute(80))
    assert await list_unfinished(storage) == []


async def test_old_updates_are_forgotten_and_nothing_else(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    old = await ask(storage)
    new = await ask_for_candles(storage, FakeClock(minute(60) + DAY))

    forgotten = await forget_updates(storage, FakeClock(minute(60) + 2 * DAY), after=DAY + HOUR)

    async with storage.read() as uow:
        assert [update async for update in uow.updates] == [new]
        assert [part.update_id async for part in uow.update_parts] == [new.id]
    assert forgotten == 1
    assert old != new


async def test_what_grew_and_nobody_asks_for_is_left_and_its_candles_stay(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    await cover(storage, SBER_M1, 3)
    await change(storage, SBER_M1, is_grown=True, asked_at=minute(0))
    await change(storage, SBER_D1, is_grown=True, asked_at=minute(30))
    await change(storage, GAZP_M1, asked_at=minute(0))

    left = await forget_unasked(storage, FakeClock(minute(30) + DAY), after=DAY)

    async with storage.read() as uow:
        assert [state.series async for state in uow.series.filter_followed()] == [GAZP_M1, SBER_D1]
        assert await uow.candles.filter_by_series(SBER_M1).count() == 3
    assert left == [SBER_M1]


async def test_that_somebody_asked_is_noted_to_the_hour(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    seen = []
    for now in (minute(0), minute(59), minute(60)):
        await note_asked(storage, FakeClock(now), SBER_M1)
        async with storage.read() as uow:
            seen.append((await uow.series.get(SBER_M1)).asked_at)

    assert seen == [minute(0), minute(0), minute(60)]
    with pytest.raises(SeriesNotFoundError):
        await note_asked(storage, CLOCK, GAZP_M1)


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("timeframe", "time_from", "time_till", "begins"),
    [
        (Timeframe.M1, "2024-01-10T10:00", "2024-01-10T12:00", ["2024-01-10T10:00"]),
        (Timeframe.M1, "2024-01-01", "2024-01-10T12:00", ["2024-01-10", "2024-01-01"]),
        (Timeframe.M1, "2022-01-01", "2024-01-10T12:00", ["2024-01-10", "2023-12-12", "2023-01-11", "2022-01-01"]),
        (Timeframe.M1, "2024-01-08", "2024-01-14T12:00", ["2024-01-12", "2024-01-08"]),  # a Sunday without a session
        (Timeframe.M1, "2024-01-08", "2024-01-15T05:00", ["2024-01-12", "2024-01-08"]),  # a Monday before it opens
        (Timeframe.M10, "2022-01-01", "2024-01-10T12:00", ["2024-01-06", "2023-10-13", "2022-01-01"]),
        (Timeframe.H1, "2023-01-01", "2024-01-10T12:00", ["2023-12-12", "2023-01-01"]),
        (Timeframe.D1, "2000-01-01", "2024-01-10", ["2000-01-01"]),
    ],
)
def test_the_newest_day_is_loaded_first(
    timeframe: Timeframe, time_from: str, time_till: str, begins: list[str]
) -> None:
    period = Period(at(time_from), at(time_till))
    part = UpdatePart("a", period.time_till, Series(SBER, timeframe), period)

    found = stages(part, TradingCalendar("stock"))

    assert [stage.time_from for stage in found] == [at(text) for text in begins]
    assert [stage.time_till for stage in found] == [period.time_till, *(stage.time_from for stage in found[:-1])]
