"""Say how far an update is: derived from what is covered now, and from the small record of the wish."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState
from app.core.market_data import IClock
from app.core.storage import FEW, IStorage, IUnitOfWork
from app.core.updates import Update, UpdatePart, UpdateState
from app.use_cases.measure_coverage import Measured, measure_coverage


@dataclass(frozen=True, slots=True)
class PartProgress:
    """How far a part is. `requested` and `covered` count open minutes; `rows` the candles that the period holds.

    `covered_before`: what was covered when it was asked for; it was none of the work. `failure`: why the last load
    ended early, at `failed_at`; the schedule tries again.
    """

    part: UpdatePart
    state: UpdateState
    requested: int
    covered: int
    covered_before: int
    rows: int
    failed_at: Timestamp | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateProgress:
    """How far an update is, over all its parts.

    `rate`: candles a second since it was asked for, None before any time passed. `expected_end`: when it will be over
    if it goes on like this; None where nobody can tell. `done_at`: when it was.
    """

    update: Update
    state: UpdateState
    parts: Sequence[PartProgress]
    requested: int
    covered: int
    rows: int
    rate: float | None
    expected_end: Timestamp | None
    done_at: Timestamp | None


async def get_update(storage: IStorage, clock: IClock, update_id: str) -> UpdateProgress:
    """Return the progress of an update; UpdateNotFoundError for one that nobody asked for, or that is long over."""
    now = await clock.now()
    async with storage.read() as uow:
        return await _progress(uow, await uow.updates.get(update_id), now)


async def list_updates(storage: IStorage, clock: IClock, *, limit: int) -> list[UpdateProgress]:
    """Return the progress of so many updates, those asked for last first."""
    now = await clock.now()
    async with storage.read() as uow:
        return [await _progress(uow, update, now) async for update in uow.updates.newest_first()[:limit]]


async def _progress(uow: IUnitOfWork, update: Update, now: Timestamp) -> UpdateProgress:
    parts = [part async for part in uow.update_parts.filter_by_update(update.id)]
    measured = await measure_coverage(uow, [(part.series, part.period) for part in parts])
    states = await _states(uow, {part.series for part in parts if part.done_at is None})
    found = [
        await _part_progress(uow, part, minutes, states.get(part.series))
        for part, minutes in zip(parts, measured, strict=True)
    ]
    return _summary(update, found, now)


async def _states(uow: IUnitOfWork, wanted: set[Series]) -> dict[Series, SeriesState]:
    if len(wanted) <= FEW:
        return {series: await uow.series.get(series) for series in wanted}
    return {state.series: state async for state in uow.series if state.series in wanted}


async def _part_progress(
    uow: IUnitOfWork, part: UpdatePart, minutes: Measured, series: SeriesState | None
) -> PartProgress:
    if part.done_at is not None or series is None:
        done = (minutes.requested, minutes.requested, part.minutes_before)
        return PartProgress(part, UpdateState.DONE, *done, part.rows or 0)
    covered = 0 if part.again else minutes.covered
    failed_at, failure = _failure(part, series)
    if failure is not None:
        state = UpdateState.FAILED
    else:
        state = UpdateState.RUNNING if covered > part.minutes_before else UpdateState.WAITING
    rows = await count_rows(uow, part) if minutes.covered else 0
    return PartProgress(part, state, minutes.requested, covered, part.minutes_before, rows, failed_at, failure)


def _failure(part: UpdatePart, series: SeriesState) -> tuple[Timestamp | None, str | None]:
    if series.followed_from is None:
        return None, "nobody follows it any more"
    if series.failed_at is None or series.failed_at < part.asked_at:
        return None, None
    return series.failed_at, series.failure


async def count_rows(uow: IUnitOfWork, part: UpdatePart) -> int:
    """Return how many candles the period of a part holds."""
    inside = uow.candles.filter_by_series(part.series).filter_by_timestamp_gte(part.period.time_from)
    return await inside.filter_by_timestamp_lt(part.period.time_till).count()


def _summary(update: Update, parts: Sequence[PartProgress], now: Timestamp) -> UpdateProgress:
    state = _state([part.state for part in parts])
    ends = [part.part.done_at for part in parts if part.part.done_at is not None]
    done_at = max(ends, default=update.asked_at) if state is UpdateState.DONE else None
    requested, covered = sum(part.requested for part in parts), sum(part.covered for part in parts)
    gained = covered - sum(part.covered_before for part in parts)
    elapsed = (done_at or now) - update.asked_at
    rows = sum(part.rows for part in parts)
    loaded = sum(part.rows * (part.covered - part.covered_before) / part.covered for part in parts if part.covered)
    rate = loaded / elapsed.total_seconds() if elapsed > timedelta() else None
    goes_on = state is UpdateState.RUNNING and gained > 0 and elapsed > timedelta()
    expected_end = now + elapsed * ((requested - covered) / gained) if goes_on else None
    return UpdateProgress(update, state, parts, requested, covered, rows, rate, expected_end, done_at)


def _state(parts: Sequence[UpdateState]) -> UpdateState:
    """Call an update running as long as something of it goes on, and failed when only what failed is left."""
    states = set(parts)
    if states <= {UpdateState.DONE}:
        return UpdateState.DONE
    if states <= {UpdateState.DONE, UpdateState.FAILED}:
        return UpdateState.FAILED
    return UpdateState.WAITING if states == {UpdateState.WAITING} else UpdateState.RUNNING
