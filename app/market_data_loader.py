"""Gaps -> pages of the exchange -> candles and spans, through bounded queues; knows only the ports of the core."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import chain

from app.core.batches import Batch, Rules
from app.core.calendar import TradingCalendar
from app.core.corporate_actions import Split, factors_of
from app.core.cutting import Sizes, cut
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Series, SeriesState
from app.core.errors import (
    CandleServiceError,
    SeriesNotFoundError,
    SourcePausedError,
    SourceShiftError,
    StorageBusyError,
    StorageError,
)
from app.core.market_data import IClock, ILoadProgress, IMarketDataAdapter, LoadOutcome, LoadStep, Wish
from app.core.pipeline import pump
from app.core.reconciliation import CORRECTED, WITHDRAWN, Changes, reconcile
from app.core.spans import Period, subtract
from app.core.staleness import freshened
from app.core.storage import IStorage, IUnitOfWork
from app.core.tally import Tally
from app.market_data_plan import Plan, by_series, part_of, plan_load
from app.market_data_windows import Window

_TRIES = 3
_QUEUED_BATCHES = 2
_WRITERS = 3
"""So many batches are written at a time: more of them only wait for each other in the database."""


class MarketDataLoader:
    """Loads what is missing. A crash at any point leaves whole batches behind, and the rest missing as before."""

    def __init__(
        self,
        storage: IStorage,
        adapter: IMarketDataAdapter,
        clock: IClock,
        *,
        rules: Rules,
        workers: int,
        tally: Tally | None = None,
    ) -> None:
        """Take both sides, when an answer is believed, and how many windows are read at once.

        `tally`: where rows are counted.
        """
        self._storage = storage
        self._adapter = adapter
        self._clock = clock
        self._rules = rules
        self._workers = workers
        self._tally = tally or Tally()

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
        windows: list[Window] = []
        missing = by_series((wish.series, wish.period) for wish in plan.missing)
        turns: defaultdict[Series, asyncio.Lock] = defaultdict(asyncio.Lock)
        writers = asyncio.Semaphore(_WRITERS)

        async def sink(batch: Batch) -> None:
            async with turns[batch.series], writers:  # who waits for a series holds no connection
                changes = await _write(self._storage, batch)
            self._tally.rows[batch.series.timeframe] += len(changes.new) + len(changes.changed)
            _record(outcome, batch, changes)
            if progress is not None:
                progress.advance(_step(batch, missing[batch.series]))

        failures = await pump(
            _noted(self._windows(plan, now), windows),
            sink,
            workers=self._workers,
            depth=_QUEUED_BATCHES,
            tolerate=(CandleServiceError,),
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

    def _windows(self, plan: Plan, now: Timestamp) -> Iterator[Window]:
        """Cut what is missing, when it is asked for; neighbours are of different series, for writers of one wait."""
        failed: set[Series] = set()
        sizes = Sizes(plan.missing, self._workers)
        wishes = by_series((wish.series, self._windows_of(wish, plan, now, failed, sizes)) for wish in plan.missing)
        return _interleaved(chain.from_iterable(each) for each in wishes.values())

    def _windows_of(
        self, wish: Wish, plan: Plan, now: Timestamp, failed: set[Series], sizes: Sizes
    ) -> Iterator[Window]:
        """Cut a wish into windows, oldest first."""
        calendar, card = plan.calendar_of(wish), plan.cards[wish.series.security]
        settled = self._rules.settled(wish.series, now)
        for period in cut(wish.period, wish.series.timeframe, settled, calendar, sizes.next):
            sizes.took(period, wish.series.timeframe)
            part = part_of(wish, period)
            yield Window(self._storage, self._adapter, self._rules, calendar, card, part, failed)


def _interleaved(many: Iterable[Iterator[Window]]) -> Iterator[Window]:
    """Take one of each in turn until all are spent."""
    turns = deque(many)
    while turns:
        turn = turns.popleft()
        if (window := next(turn, None)) is not None:
            turns.append(turn)
            yield window


def _noted(windows: Iterable[Window], begun: list[Window]) -> Iterator[Window]:
    """Hand windows through, and keep them in the order in which they were asked for."""
    for window in windows:
        begun.append(window)
        yield window


async def _note(storage: IStorage, failures: Mapping[Series, Exception], now: Timestamp) -> None:
    """Keep why a load ended early, and how often it did; who asked is told in any case."""
    for series, error in failures.items():
        with suppress(StorageError, SeriesNotFoundError):
            async with storage.begin() as uow:
                state = await uow.series.lock(series)
                times = state.failures + (not isinstance(error, SourcePausedError))  # then it was not asked
                await uow.series.add([replace(state, failed_at=now, failure=str(error), failures=times)])


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
        held = await uow.hold(batch.series, batch.compared)
        if held.state.followed_from is None:
            raise SeriesNotFoundError(f"{batch.series} is not followed any more")
        factors = _factors(batch, held.splits)
        changes = reconcile(held.state, held.spans, held.candles, batch, quarantined=held.refused, factors=factors)
        if changes.rescaling is not None and (await uow.securities.get(batch.series.security)).is_share:
            return _withheld(changes, held.state)
        await _apply(uow, batch, changes)
        covered = subtract([*held.spans, *changes.covered], changes.uncovered)
        await _quarantine(uow, batch, changes, {row.begin: row for row in held.refused}, covered)
        written = await freshened(uow, changes.state)
        if written != held.state:
            await uow.series.add([written])
    return changes


def _withheld(changes: Changes, state: SeriesState) -> Changes:
    """Write nothing that shows a split, until somebody has recorded it: a crash before that loses no evidence."""
    none = changes.new[:0]
    return Changes(none, none, none, none, none, (), (), (), state, changes.rescaling)


def _factors(batch: Batch, splits: Sequence[Split]) -> Sequence[float]:
    """Return by what splits may have multiplied stored prices; SourceShiftError if one was seen after the answer."""
    for split in splits:
        begin = batch.series.timeframe.ceil(split.begin)
        if batch.as_of < split.seen_at and batch.period.time_from < begin:
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
