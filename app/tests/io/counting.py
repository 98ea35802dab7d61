"""What a store is asked, counted."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from app.core.entities import Series
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Circumstances, IStorage, IUnitOfWork, SeriesView
from app.repository.sql import SqlStorage


class Counted:
    """A store that counts reads of candles, and transactions, which may read them. They wait while it is held."""

    def __init__(self, store: IStorage) -> None:
        self.store, self.reads = store, 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def read(self) -> AbstractAsyncContextManager[IUnitOfWork]:
        self.reads += 1
        return self.store.read()

    async def view_candles(
        self, series: Series, period: Period, window: Period, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        self.reads += 1
        await self.goes_on.wait()
        return await self.store.view_candles(series, period, window, limit=limit, newest_first=newest_first)


def counted(store: IStorage) -> tuple[IStorage, Counted]:
    """Return the store as it is used, and as it is looked at."""
    counting = Counted(store)
    return cast("IStorage", counting), counting


class CountedSnapshots:
    """The statements of a database, counted by what they are for."""

    def __init__(self, storage: SqlStorage) -> None:
        self._snapshots = storage._views.snapshots
        storage._views.snapshots = cast("Any", self)
        self.statements: Counter[str] = Counter()

    def __getattr__(self, name: str) -> object:
        return getattr(self._snapshots, name)

    async def views(self, asked: Sequence[Any]) -> object:
        self.statements["views"] += 1
        return await self._snapshots.views(asked)

    async def candles(self, *asked: Any, **limits: Any) -> object:  # noqa: ANN401
        self.statements["candles"] += 1
        return await self._snapshots.candles(*asked, **limits)

    async def circumstances(self, series: Series, missing: Sequence[Period]) -> Circumstances | None:
        self.statements["circumstances"] += 1
        return await self._snapshots.circumstances(series, missing)
