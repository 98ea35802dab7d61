"""Who looks often costs little."""

import asyncio
from dataclasses import dataclass, field

import pytest

from app.core.errors import StorageUnavailableError
from app.core.freshness import Outlook
from app.core.market_data import SourceStatus
from app.io.rest_api import recent
from app.io.rest_api.recent import RecentOutlook
from app.tests.builders import minute


@dataclass
class Looker:
    """Counts how often somebody looked; time is what the test says."""

    lasting: float = 0
    now: float = 100.0
    looks: list[Outlook] = field(default_factory=list)
    error: Exception | None = None

    async def look(self) -> Outlook:
        await asyncio.sleep(0)
        self.now += self.lasting
        if self.error is not None:
            raise self.error
        self.looks.append(Outlook(minute(len(self.looks)), SourceStatus(), []))
        return self.looks[-1]

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch) -> Looker:
    looker = Looker()
    monkeypatch.setattr(recent, "time", looker)
    return looker


async def test_all_who_come_at_once_and_soon_share_a_look(looker: Looker) -> None:
    kept = RecentOutlook(looker.look)

    found = await asyncio.gather(*(kept.get() for _ in range(5)))
    looker.now += 0.9

    assert {id(each) for each in [*found, await kept.get()]} == {id(looker.looks[0])}


async def test_after_a_second_somebody_looks_again(looker: Looker) -> None:
    kept = RecentOutlook(looker.look)
    first = await kept.get()
    looker.now += 1.1

    assert await kept.get() != first


async def test_a_long_look_is_kept_so_long_that_a_tenth_of_the_time_goes_into_looking(looker: Looker) -> None:
    kept, looker.lasting = RecentOutlook(looker.look), 0.5
    first = await kept.get()

    looker.now += 4.4
    assert await kept.get() == first
    looker.now += 0.2
    assert await kept.get() != first


async def test_a_failure_is_told_and_not_kept(looker: Looker) -> None:
    kept, looker.error = RecentOutlook(looker.look), StorageUnavailableError("away")
    with pytest.raises(StorageUnavailableError):
        await kept.get()

    looker.error = None

    assert await kept.get() == looker.looks[0]
