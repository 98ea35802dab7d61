"""When an update counts as one of all that is followed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.core.date_time import Timestamp
from app.core.errors import SourceError
from app.core.market_data import LoadOutcome, Wish
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import SBER_M1, follow, minute
from app.use_cases.update_candles import update_candles


class FakeClock:
    async def now(self) -> Timestamp:
        return minute(100)


@dataclass
class Meddler:
    """A loader that loads nothing, while somebody else changes the series."""

    storage: IStorage
    change: dict[str, Any]

    async def missing(self, wishes: Iterable[Wish], /) -> list[Wish]:
        return list(wishes)

    async def load(self, wishes: Iterable[Wish], /, *, progress: object = None) -> LoadOutcome:  # noqa: ARG002  # the port's
        async with self.storage.begin() as uow:
            state = await uow.series.lock(SBER_M1)
            await uow.series.add([replace(state, **self.change)])
        return LoadOutcome()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, minute(100)),
        ({"failures": 3, "failed_at": minute(1)}, minute(100)),
        ({"checked_at": minute(101)}, minute(101)),
        ({"checked_at": None}, None),
        ({"followed_from": minute(-5)}, minute(7)),
        ({"stale_before": minute(5)}, minute(7)),
    ],
)
async def test_what_became_missing_during_an_update_is_not_called_checked(
    change: dict[str, Any], expected: Timestamp | None
) -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.series.add([replace(await uow.series.lock(SBER_M1), checked_at=minute(7))])

    await update_candles(storage, Meddler(storage, change), FakeClock())

    async with storage.read() as uow:
        state = await uow.series.get(SBER_M1)
    assert state.checked_at == expected
    assert state.failures == 0


async def test_what_failed_before_keeps_its_patience_though_what_followed_went_well() -> None:
    storage = MemoryStorage()
    await follow(storage, SBER_M1)
    failed = {SBER_M1: SourceError("HTTP 500")}

    await update_candles(storage, Meddler(storage, {"failures": 1, "failed_at": None}), FakeClock(), failed=failed)

    async with storage.read() as uow:
        state = await uow.series.get(SBER_M1)
    assert (state.checked_at, state.failed_at, state.failure, state.failures) == (None, minute(100), "HTTP 500", 1)
