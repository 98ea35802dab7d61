"""Gaps -> pages of the exchange -> candles and spans, through bounded queues; knows only the ports of the core."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, SecurityCard, Series, Timeframe
from app.core.errors import (
    CandleServiceError,
    SeriesNotFoundError,
    SourceError,
    SourceShiftError,
    StorageBusyError,
)
from app.core.market_data import IClock, ILoadProgress, IMarketDataAdapter, LoadOutcome, LoadStep, SourcePage, Wish
from app.core.pipeline import pump
from app.core.reconciliation import Batch, Changes, Rules, batch_of, reconcile
from app.core.repository import IStorage, IUnitOfWork
from app.core.spans import Period, gaps, subtract

WINDOW_BARS = 10_080
"""Slots in one window: a week of minutes. Windows of one series are read concurrently."""

_TRIES = 3
_QUEUED_BATCHES = 2
_FIRST_RETRY = timedelta(minutes=5)
_LAST_RETRY = timedelta(hours=24)


class MarketDataLoader:
    """Loads what is missing. A crash at any point leaves whole batches behind, and the rest missing as before."""

    def __init__(
        self, storage: IStorage, adapter: IMarketDataAdapter, clock: IClock, *, rules: Rules, workers: int
    ) -> None:
        """Take both sides, when an answer is believed, and how many windows are read at once."""
        self._storage = storage
        self._adapter = adapter
        self._clock = clock
        self._rules = rules
        self._workers = workers

    async def missing(self, wishes: Iterable[Wish], /) -> Sequence[Wish]:
        now = await self._clock.now()
        async with self._storage.read() as uow:
            return [Wish(wish.series, gap) for wish in wishes for gap in await _gaps(uow, wish, now)]

    async def load(self, wishes: Iterable[Wish], /, *, progress: ILoadProgress | None = None) -> LoadOutcome:
        outcome = LoadOutcome()
        missing = await self.missing(wishes)
        if progress is not None:
            progress.begin(missing)
        windows = await self._windows(missing)

        async def sink(batch: Batch) -> None:
            changes = await _write(self._storage, batch)
            _record(outcome, batch, changes)
            if progress is not None:
                progress.advance(LoadStep(batch.series, batch.period, len(batch.candles)))

        failures = await pump(
            windows, sink, workers=self._workers, depth=_QUEUED_BATCHES, tolerate=(CandleServiceError,)
        )
        for position, error in failures.items():
            outcome.failures.setdefault(windows[position].series, error)
        return outcome

    async def _windows(self, missing: Sequence[Wish]) -> list["_Window"]:
        now = await self._clock.now()
        cards: dict[Security, SecurityCard] = {}
        async with self._storage.read() as uow:
            for security in {wish.series.security for wish in missing}:
                cards[security] = await uow.securities.get(security)
        return [
            _Window(
                self._adapter, self._rules, self._storage.batch_rows, cards[wish.series.security], wish.series, part
            )
            for wish in missing
            for part in cut(wish.period, wish.series.timeframe, self._rules.settled(wish.series, now))
        ]


@dataclass(frozen=True, slots=True)
class _Window:
    """A missing period of a series as a source of batches."""

    adapter: IMarketDataAdapter
    rules: Rules
    batch_rows: int
    card: SecurityCard
    series: Series
    period: Period

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Read it; when rows moved meanwhile, begin again behind the last batch, a few times."""
        rest = self.period
        for left in reversed(range(_TRIES)):
            try:
                async for batch in self._batches(rest):
                    rest = replace(rest, time_from=batch.period.time_till)
                    yield batch
            except SourceShiftError:
                if not left:
                    raise
            else:
                return

    async def _batches(self, period: Period) -> AsyncIterator[Batch]:
        """Put pages together up to the size of a transaction; what was read before a failure is given on first."""
        pages: list[SourcePage] = []
        failure: SourceError | None = None
        try:
            async for page in self._pages(period):
                if pages and sum(len(each.candles) for each in [*pages, page]) > self.batch_rows:
                    batch = batch_of(self.series, period, pages, self.rules)
                    period, pages = replace(period, time_from=batch.period.time_till), []
                    yield batch
                pages.append(page)
        except SourceShiftError:
            raise
        except SourceError as error:
            failure = error
        if pages:
            yield batch_of(self.series, period, pages, self.rules)
        if failure is not None:
            raise failure

    async def _pages(self, period: Period) -> AsyncIterator[SourcePage]:
        """Read pages until there are no more, or until what more may follow proves nothing yet.

        Silence over a whole settled period is believed only when the source repeats it.
        """
        for may_repeat in (True, False):
            is_silent = True
            async with aclosing(self.adapter.candles(self.card, self.series.timeframe, period)) as pages:
                async for page in pages:
                    settled = self.rules.settled(self.series, page.as_of)
                    is_silent = is_silent and not (page.candles or page.rejected)
                    if may_repeat and is_silent and page.is_last and settled > period.time_from:
                        break
                    yield page
                    if page.is_short and page.candles and page.candles[-1].timestamp >= settled:
                        return
                else:
                    return


def cut(period: Period, timeframe: Timeframe, settled: Timestamp) -> list[Period]:
    """Cut a period into windows; never where silence is not believed yet, so that cutting does not change coverage."""
    if timeframe.step is None:
        return [period]
    windows = []
    begin = period.time_from
    while (end := begin + timeframe.step * WINDOW_BARS) < min(period.time_till, settled):
        windows.append(Period(begin, end))
        begin = end
    return [*windows, Period(begin, period.time_till)]


async def _gaps(uow: IUnitOfWork, wish: Wish, now: Timestamp) -> list[Period]:
    """Return what is missing, less the slots of bad rows whose time to be asked again has not come."""
    spans = [_period(span) async for span in uow.spans.filter_by_series(wish.series).filter_touching(wish.period)]
    missing = gaps(spans, wish.period)
    if not missing:
        return []
    bad = [row async for row in uow.quarantine.filter_by_series(wish.series) if now < _retry_at(row)]
    return subtract(missing, (Period(row.begin, wish.series.timeframe.after(row.begin)) for row in bad))


def _retry_at(row: QuarantinedRow) -> Timestamp:
    pause: timedelta = _FIRST_RETRY * 2 ** min(row.attempts, 12)
    return row.seen_at + min(pause, _LAST_RETRY)


async def _write(storage: IStorage, batch: Batch) -> Changes:
    """Write a batch in one transaction; try again when another writer was in the way."""
    for _ in range(_TRIES - 1):
        try:
            return await _write_once(storage, batch)
        except StorageBusyError:
            continue
    return await _write_once(storage, batch)


async def _write_once(storage: IStorage, batch: Batch) -> Changes:
    async with storage.begin() as uow:
        state = await uow.series.lock(batch.series)
        if state.followed_from is None:
            raise SeriesNotFoundError(f"{batch.series} is not followed any more")
        spans = [
            _period(span) async for span in uow.spans.filter_by_series(batch.series).filter_touching(batch.answered)
        ]
        candles = uow.candles.filter_by_series(batch.series)
        inside = candles.filter_by_timestamp_gte(batch.answered.time_from).filter_by_timestamp_lt(
            batch.answered.time_till
        )
        changes = reconcile(state, spans, await inside.page(batch.series), batch)
        await _apply(uow, batch, changes)
        if changes.state != state:
            await uow.series.add([changes.state])
    return changes


async def _apply(uow: IUnitOfWork, batch: Batch, changes: Changes) -> None:
    if changes.superseded:
        await uow.revisions.supersede(changes.superseded, reason="corrected", superseded_at=batch.as_of)
    if changes.dropped:
        await uow.candles.remove(changes.dropped)
    if changes.new:
        await uow.candles.extend(changes.new)
    if changes.changed:
        await uow.candles.add(changes.changed)
    await _quarantine(uow, batch, changes.covered)
    await uow.spans.add(
        CandleSpan(batch.series.security, batch.series.timeframe, part.time_from, part.time_till)
        for part in changes.covered
    )


async def _quarantine(uow: IUnitOfWork, batch: Batch, covered: Sequence[Period]) -> None:
    """Let go of bad rows whose slot is covered now; count those that came again."""
    known = {row.begin: row async for row in uow.quarantine.filter_by_series(batch.series)}
    await uow.quarantine.remove(row for row in known.values() if any(row.begin in part for part in covered))
    await uow.quarantine.add(
        replace(row, attempts=known[row.begin].attempts + 1) if row.begin in known else row for row in batch.rejected
    )


def _record(outcome: LoadOutcome, batch: Batch, changes: Changes) -> None:
    for counts, number in (
        (outcome.rows, len(changes.new) + len(changes.changed)),
        (outcome.revised, len(changes.superseded)),
        (outcome.quarantined, len(batch.rejected)),
        (outcome.conflicts, batch.conflicts),
    ):
        if number:
            counts[batch.series] = counts.get(batch.series, 0) + number


def _period(span: CandleSpan) -> Period:
    return Period(span.time_from, span.time_till)
