"""The store in memory: the tables as they were left last, and one writer at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from app.core.entities import Series
from app.core.errors import StorageBusyError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Circumstances, Holdings, SeriesView, read_circumstances, read_holdings
from app.repository import refusals
from app.repository.memory.candles import MemoryCandleRepository
from app.repository.memory.catalogue import MemorySecurityRepository, MemorySeriesRepository
from app.repository.memory.flat import (
    MemoryBoardMoveRepository,
    MemoryBoardRepository,
    MemoryCalendarRepository,
    MemoryListedSplitRepository,
    MemoryLookRepository,
    MemoryRenameRepository,
)
from app.repository.memory.revisions import MemoryQuarantineRepository, MemoryRevisionRepository
from app.repository.memory.spans import MemorySpanRepository
from app.repository.memory.splits import MemorySplitRepository
from app.repository.memory.transaction import Tables, Transaction
from app.repository.memory.updates import MemoryUpdatePartRepository, MemoryUpdateRepository


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    """The repositories of one transaction."""

    boards: MemoryBoardRepository
    calendar: MemoryCalendarRepository
    securities: MemorySecurityRepository
    series: MemorySeriesRepository
    candles: MemoryCandleRepository
    spans: MemorySpanRepository
    revisions: MemoryRevisionRepository
    quarantine: MemoryQuarantineRepository
    splits: MemorySplitRepository
    listed_splits: MemoryListedSplitRepository
    renames: MemoryRenameRepository
    board_moves: MemoryBoardMoveRepository
    looks: MemoryLookRepository
    updates: MemoryUpdateRepository
    update_parts: MemoryUpdatePartRepository
    _transaction: Transaction

    @classmethod
    def over(cls, transaction: Transaction) -> Self:
        """Build them over one copy of the tables."""
        return cls(
            MemoryBoardRepository(transaction),
            MemoryCalendarRepository(transaction),
            MemorySecurityRepository(transaction),
            MemorySeriesRepository(transaction),
            MemoryCandleRepository(transaction),
            MemorySpanRepository(transaction),
            MemoryRevisionRepository(transaction),
            MemoryQuarantineRepository(transaction),
            MemorySplitRepository(transaction),
            MemoryListedSplitRepository(transaction),
            MemoryRenameRepository(transaction),
            MemoryBoardMoveRepository(transaction),
            MemoryLookRepository(transaction),
            MemoryUpdateRepository(transaction),
            MemoryUpdatePartRepository(transaction),
            transaction,
        )

    async def claim_source(self, source: str, /) -> None:
        self._transaction.require_writer()
        stored = self._transaction.tables.source
        if stored not in (None, source):
            raise refusals.other_source(stored or "", source)
        self._transaction.tables.source = source

    async def hold(self, series: Series, period: Period, /) -> Holdings:
        return await read_holdings(self, series, period)


class MemoryStorage:
    """Lives as long as the process. A writer works on a copy, so readers never wait and never see half of it."""

    batch_rows = 50_000

    def __init__(self, *, patience: float = 30) -> None:
        """`patience`: seconds to wait for another writer."""
        self._tables = Tables()
        self._leases: dict[str, tuple[str, float]] = {}
        self._turn = asyncio.Lock()
        self._patience = patience

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[MemoryUnitOfWork]:
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StorageBusyError(
                "the store in memory is busy: other writers took longer than the patience"
            ) from error
        try:
            transaction = Transaction(self._tables.copy(), is_writer=True)
            yield MemoryUnitOfWork.over(transaction)
            if transaction.failed:
                raise refusals.spoiled()
            self._tables = transaction.tables
        finally:
            self._turn.release()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[MemoryUnitOfWork]:
        yield MemoryUnitOfWork.over(Transaction(self._tables, is_writer=False))

    async def view(self, series: Series, period: Period, /) -> SeriesView:
        async with self.read() as uow:
            return await _view(uow, series, period)

    async def view_candles(
        self, series: Series, period: Period, window: Period, /, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        async with self.read() as uow:
            inside = uow.candles.filter_by_series(series).filter_by_timestamp_gte(window.time_from)
            subset = inside.filter_by_timestamp_lt(window.time_till)
            page = await (subset.newest_first() if newest_first else subset)[:limit].page(series)
            return await _view(uow, series, period), page

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances:
        async with self.read() as uow:
            return await read_circumstances(uow, series, missing)

    async def lead(self, name: str, holder: str, /, *, seconds: float) -> bool:
        now = time.monotonic()
        leader, until = self._leases.get(name, (holder, now))
        if leader != holder and now < until:
            return False
        self._leases[name] = (holder, now + seconds)
        return True

    async def check(self, source: str, /) -> None:
        if self._tables.source not in (None, source):
            raise refusals.other_source(self._tables.source or "", source)

    async def close(self) -> None:
        """Keep everything: there is nothing to let go of."""


async def _view(uow: MemoryUnitOfWork, series: Series, period: Period) -> SeriesView:
    spans = uow.spans.filter_by_series(series)
    first = [span.time_from async for span in spans[:1]]
    covered = [Period(span.time_from, span.time_till) async for span in spans.filter_touching(period)]
    return SeriesView(await uow.series.get(series), first[0] if first else None, covered)
