"""A process that is asked for candles and dies at a named step: `python -m app.tests.journeys.dying_asker STEP`.

The ports are wrapped here; what we ship knows nothing of it. The service is set by the environment, as for everyone.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq import BrokerMessage

from app.bootstrap import bootstrap
from app.io.rest_api.main import create_app
from app.settings import Settings
from app.tasks.stream_broker import StreamBroker
from app.tests.io.rest_client import Client
from app.tests.journeys.dying import KILLED, Fate, Through

STEPS = ("before_commit", "after_commit", "after_kick")
QUESTION = ("/v1/candles", {"security": "TQBR:SBER", "timeframe": "H1", "from": "2024-01-10"})


class DyingStorage(Through):
    """Dies around the commit of a wish."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with self._wrapped.begin() as uow:
            yield uow
            has_wish = await uow.updates.count() > 0
            if has_wish:
                self._fate.reach("before_commit")
        if has_wish:
            self._fate.reach("after_commit")


class DyingBroker(StreamBroker):
    """Dies when somebody was woken up."""

    fate: Fate

    async def kick(self, message: BrokerMessage) -> None:
        await super().kick(message)
        self.fate.reach("after_kick")


async def main(step: str) -> None:
    settings, fate = Settings(), Fate(step, 1)
    broker = DyingBroker(str(settings.redis_url), lease=settings.task_lease)
    broker.fate = fate
    async with bootstrap(settings, wrap_storage=lambda storage: DyingStorage(storage, fate)) as service:
        await Client(create_app(service=service, broker=broker)).get(*QUESTION)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    sys.exit(KILLED + 1)  # nothing died
