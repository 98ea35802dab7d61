"""Gaps -> pages of the exchange -> candles and spans, through bounded queues; knows only the ports of the core."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest

from app.core.batches import Batch, Rules
from app.core.calendar import TradingCalendar
from app.core.corporate_actions import factors_of
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Series, SeriesState
from app.core.errors import (
    CandleServiceError,
    SeriesNotFoundError,
    SourceError,
    SourceShiftError,
    StorageBusyError,
    StorageError,
)
from app.core.market_data import IClock, ILoadProgress, IMarketDataAdapter, LoadOutcome, LoadStep, Wish
from app.core.pages import CandlePage
from app.core.pipeline import pump
from app.core.reconciliation import CORRECTED, WITHDRAWN, Changes, reconcile
from app.core.repository import IStorage, IUnitOfWork
from app.core.spans import Period, subtract
from app.core.staleness import freshened
from app.market_data_plan import Plan, by_series, part_of, period_of, plan_load
from app.market_data_windows import FEWEST_BARS, Window, cut, window_bars

_TRIES = 3
_QUEUED_BATCHES = 2
_WRITERS = 3
"""So many batches are written at a time: more of them only wait for each other in the database."""


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
        return (await self._planned(wishes, await self._clock.now())).missing

    async def _planned(self, wishes: Iterable[Wish], now: Timestamp) -> Plan:
        async with self._storage.read() as uow:
            plan = await plan_load(uow, list(wishes), now)
        return replace(
            plan, missing=[gap for gap in plan.missing if not self._is_closed(gap, plan.calendar_of(gap), now)]
        )

    async def load(self, wishes: Iterable[Wish], /, *, progress: ILoadProgress | None = None) -> LoadOutcome:
        outcome = LoadOutcome()
        now = await self._clock.now()
        plan = await self._planned(wishes, now)
        if progress is not None:
            progress.begin(plan.missing)
        windows = _interleaved(self._windows(plan, now))
        missing = by_series((wish.series, wish.period) for wish in plan.missing)
        turns: defaultdict[Series, asyncio.Lock] = defaultdict(asyncio.Lock)
        writers = asyncio.Semaphore(_WRITERS)

        async def sink(batch: Batch) -> None:
            async with turns[batch.series], writers:  # who waits for a series holds no connection
                changes = await _write(self._storage, batch)
            _record(outcome, batch, changes)
            if progress is not None:
                progress.advance(_step(batch, missing[batch.series]))

        failures = await pump(
            windows, sink, workers=self._workers, depth=_QUEUED_BATCHES, tolerate=(CandleServiceError,)
        )
        for position, error in failures.items():
            outcome.failures.setdefault(windows[position].series, error)
        await _note(self._storage, outcome.failures, now)
        return outcome

    def _is_closed(self, gap: Wish, calendar: TradingCalendar, now: Timestamp) -> bool:
        """Tell whether nothing can have come since the exchange closed. Old silence is asked about all the same.

        And once more after midnight, so that the day is covered to its end: longer bars are made of it.
        """
        if gap.again or gap.is_inner or gap.period.time_till <= self._rules.settled(gap.series, now):
            return False
        begin = gap.period.time_from
        midnight = Timestamp.midnight(calendar.closed_since(begin).moscow.date() + timedelta(days=1))
        is_whole = begin >= midnight or self._rules.watermark(gap.series, now) < midnight
        return is_whole and calendar.closed_until(begin) >= min(gap.period.time_till, now)

    def _windows(self, plan: Plan, now: Timestamp) -> list[Window]:
        failed: set[Series] = set()
        bars = window_bars(plan.missing, self._workers)
        return [
            Window(
                self._storage,
                self._adapter,
                self._rules,
                plan.calendar_of(wish),
                plan.cards[wish.series.security],
                part_of(wish, period),
                failed,
            )
            for number, wish in enumerate(plan.missing)
            for period in cut(
                wish.period,
                wish.series.timeframe,
                self._rules.settled(wish.series, now),
                plan.calendar_of(wish),
                bars,
                first=max(bars * (number % self._workers + 1) // self._workers, FEWEST_BARS),
            )
        ]


def _interleaved(windows: Iterable[Window]) -> list[Window]:
    """Order windows so that neighbours are of different series, oldest first within each: writers of one wait."""
    of_each = by_series((window.series, window) for window in windows)
    return [window for turn in zip_longest(*of_each.values()) for window in turn if window is not None]


async def _note(storage: IStorage, failures: Mapping[Series, Exception], now: Timestamp) -> None:
    """Keep why the exchange gave no more of a series; who asked is told in any case."""
    for series, error in failures.items():
        if isinstance(error, SourceError):
            with suppress(StorageError):
                async with storage.begin() as uow:
                    state = await uow.series.lock(series)
                    await uow.series.add([replace(state, failed_at=now, failure=str(error))])


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
        spans, stored, known = await _stored(uow, batch) if state.as_of else ([], batch.candles[:0], {})
        factors = await _factors(uow, batch)
        changes = reconcile(state, spans, stored, batch, quarantined=[*known.values()], factors=factors)
        if changes.rescaling is not None and (await uow.securities.get(batch.series.security)).is_share:
            return _withheld(changes, state)
        await _apply(uow, batch, changes)
        await _quarantine(uow, batch, changes, known, subtract([*spans, *changes.covered], changes.uncovered))
        written = await freshened(uow, changes.state)
        if written != state:
            await uow.series.add([written])
    return changes


def _withheld(changes: Changes, state: SeriesState) -> Changes:
    """Write nothing that shows a split, until somebody has recorded it: a crash before that loses no evidence."""
    none = changes.new[:0]
    return Changes(none, none, none, none, none, (), (), (), state, changes.rescaling)


async def _stored(uow: IUnitOfWork, batch: Batch) -> tuple[list[Period], CandlePage, dict[Timestamp, QuarantinedRow]]:
    """Return the spans and the candles that matter to a batch, and the bad rows of its series by beginning."""
    series, period = batch.series, batch.compared
    spans = [period_of(span) async for span in uow.spans.filter_by_series(series).filter_touching(period)]
    candles = uow.candles.filter_by_series(series).filter_by_timestamp_gte(period.time_from)
    known = {row.begin: row async for row in uow.quarantine.filter_by_series(series)}
    return spans, await candles.filter_by_timestamp_lt(period.time_till).page(series), known


async def _factors(uow: IUnitOfWork, batch: Batch) -> Sequence[float]:
    """Return by what splits may have multiplied stored prices; SourceShiftError if one was seen after the answer."""
    security, timeframe = batch.series.security, batch.series.timeframe
    splits = [split async for split in uow.splits.filter_by_security(security)]
    for split in splits:
        if batch.as_of < split.seen_at and batch.period.time_from < timeframe.ceil(split.begin):
            raise SourceShiftError(f"{batch.series}: the split of {split.day} was seen after this was read")
    return factors_of(splits, batch.answered.time_from)


async def _apply(uow: IUnitOfWork, batch: Batch, changes: Changes) -> None:
    for page, reason in ((changes.superseded, CORRECTED), (changes.withdrawn, WITHDRAWN)):
        if page:
            await uow.revisions.supersede(page, reason=reason, superseded_at=batch.as_of)
    if gone := [*changes.dropped, *changes.withdrawn]:
        await uow.candles.remove(gone)
    if changes.new:
        await uow.candles.extend(changes.new)
    if changes.changed:
        await uow.candles.add(changes.changed)
    await uow.spans.add(_span(batch.series, part) for part in changes.covered)
    await uow.spans.remove(_span(batch.series, part) for part in changes.uncovered)


async def _quarantine(
    uow: IUnitOfWork,
    batch: Batch,
    changes: Changes,
    known: Mapping[Timestamp, QuarantinedRow],
    covered: Sequence[Period],
) -> None:
    """Let go of rows whose slot is covered; count bad ones that came again, and keep candles in doubt."""
    await uow.quarantine.remove(row for row in known.values() if any(row.begin in part for part in covered))
    bad = [
        replace(row, attempts=known[row.begin].attempts + 1) if row.begin in known else row
        for row in batch.rejected
        if not any(row.begin in part for part in covered)
    ]
    await uow.quarantine.add([*bad, *changes.doubts])


def _record(outcome: LoadOutcome, batch: Batch, changes: Changes) -> None:
    for counts, number in (
        (outcome.rows, len(changes.new) + len(changes.changed)),
        (outcome.revised, len(changes.superseded)),
        (outcome.withdrawn, len(changes.withdrawn)),
        (outcome.quarantined, len(batch.rejected) + len(changes.doubts)),
        (outcome.conflicts, batch.conflicts),
    ):
        if number:
            counts[batch.series] = counts.get(batch.series, 0) + number
    if found := changes.rescaling:
        known = outcome.rescaled.get(batch.series, found)
        outcome.rescaled[batch.series] = max(known, found, key=lambda each: each.last)
    if batch.candles and changes.state.as_of == batch.as_of:
        outcome.compared.add(batch.series)


def _step(batch: Batch, missing: Sequence[Period]) -> LoadStep:
    """Count what was missing of the series, not what was only compared."""
    parts = (period & batch.period for period in missing)
    end = batch.period.time_till
    period = next(filter(None, parts), Period(end, end))
    return LoadStep(batch.series, period, len(batch.candles.between(period.time_from, batch.given_till)))


def _span(series: Series, period: Period) -> CandleSpan:
    return CandleSpan(series.security, series.timeframe, period.time_from, period.time_till)
