"""Gaps -> pages of the exchange -> candles and spans, through bounded queues; knows only the ports of the core."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from typing import TypeVar

from app.core.batches import Batch, Rules
from app.core.calendar import TradingCalendar
from app.core.corporate_actions import factors_of
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, SecurityCard, Series, SeriesState
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
from app.core.reconciliation import CORRECTED, WITHDRAWN, Changes, reconcile, retry_at
from app.core.repository import IStorage, IUnitOfWork, read_calendar
from app.core.spans import Period, gaps, subtract
from app.core.staleness import freshened
from app.market_data_windows import Window, cut, known_from, window_bars

Item = TypeVar("Item")

_TRIES = 3
_QUEUED_BATCHES = 2
_FEW = 4
"""Up to so many series are looked up one by one."""


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
        return await self._missing(wishes, await self._clock.now())

    async def _missing(self, wishes: Iterable[Wish], now: Timestamp) -> Sequence[Wish]:
        async with self._storage.read() as uow:
            found = await _all_gaps(uow, list(wishes), now)
            cards, calendars = await _cards_and_calendars(uow, found)
        return [gap for gap in found if not self._is_closed(gap, calendars[cards[gap.series.security].engine], now)]

    async def load(self, wishes: Iterable[Wish], /, *, progress: ILoadProgress | None = None) -> LoadOutcome:
        outcome = LoadOutcome()
        now = await self._clock.now()
        missing = await self._missing(wishes, now)
        if progress is not None:
            progress.begin(missing)
        windows = _interleaved(await self._windows(missing, now))
        turns: defaultdict[Series, asyncio.Lock] = defaultdict(asyncio.Lock)

        async def sink(batch: Batch) -> None:
            async with turns[batch.series]:  # who waits for a series holds no connection
                changes = await _write(self._storage, batch)
            _record(outcome, batch, changes)
            if progress is not None:
                progress.advance(_step(batch, missing))

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

    async def _windows(self, missing: Sequence[Wish], now: Timestamp) -> list[Window]:
        async with self._storage.read() as uow:
            cards, calendars = await _cards_and_calendars(uow, missing)
            known = [await known_from(uow, wish) for wish in missing]
        failed: set[Series] = set()
        bars = window_bars(missing, self._workers)
        return [
            Window(
                self._storage,
                self._adapter,
                self._rules,
                calendars[cards[wish.series.security].engine],
                cards[wish.series.security],
                replace(wish, period=part, is_inner=wish.is_inner and part.time_till == wish.period.time_till),
                begin if part.time_from == wish.period.time_from else None,
                failed,
            )
            for wish, begin in zip(missing, known, strict=True)
            for part in cut(
                wish.period,
                wish.series.timeframe,
                self._rules.settled(wish.series, now),
                calendars[cards[wish.series.security].engine],
                bars,
            )
        ]


def _interleaved(windows: Iterable[Window]) -> list[Window]:
    """Order windows so that neighbours are of different series, oldest first within each: writers of one wait."""
    by_series = _by_series((window.series, window) for window in windows)
    return [window for turn in zip_longest(*by_series.values()) for window in turn if window is not None]


async def _cards_and_calendars(
    uow: IUnitOfWork, wishes: Sequence[Wish]
) -> tuple[Mapping[Security, SecurityCard], Mapping[str, TradingCalendar]]:
    """Return the cards by security, and the calendars by engine with what was told of the days of these wishes."""
    if not wishes:
        return {}, {}
    cards = await _cards(uow, {wish.series.security for wish in wishes})
    first = min(wish.period.time_from for wish in wishes).moscow.date()
    last = max(wish.period.time_till for wish in wishes).moscow.date()
    engines = {card.engine for card in cards.values()}
    return cards, {engine: await read_calendar(uow, engine, first, last) for engine in engines}


async def _cards(uow: IUnitOfWork, wanted: Collection[Security]) -> Mapping[Security, SecurityCard]:
    if len(wanted) <= _FEW:
        return {security: await uow.securities.get(security) for security in wanted}
    return {card.security: card async for card in uow.securities if card.security in wanted}


async def _all_gaps(uow: IUnitOfWork, wishes: Sequence[Wish], now: Timestamp) -> list[Wish]:
    """Return what is missing of each wish. Of many, all spans are read at once: they are few beside the candles."""
    if len(wishes) <= _FEW:
        spans_of = {
            wish.series: [_period(span) async for span in uow.spans.filter_by_series(wish.series)] for wish in wishes
        }
    else:
        spans_of = _by_series([(span.series, _period(span)) async for span in uow.spans])
    bad_of = _by_series([(row.series, row) async for row in uow.quarantine if now < retry_at(row)])
    return [gap for wish in wishes for gap in _gaps(wish, spans_of.get(wish.series, []), bad_of.get(wish.series, []))]


def _gaps(wish: Wish, spans: Sequence[Period], bad: Sequence[QuarantinedRow]) -> list[Wish]:
    """Return what is missing, less the slots of bad rows whose time to be asked again has not come."""
    if wish.again:
        return [replace(wish, is_inner=any(wish.period.time_till in span for span in spans))] if wish.period else []
    missing = gaps(spans, wish.period)
    holes = [Period(row.begin, wish.series.timeframe.after(row.begin)) for row in bad]
    begins = {span.time_from for span in spans}
    covered_since = {span.time_till: span.time_from for span in spans}
    return [
        Wish(wish.series, gap, is_inner=gap.time_till in begins, covered_since=covered_since.get(gap.time_from))
        for gap in subtract(missing, holes)
    ]


def _by_series(pairs: Iterable[tuple[Series, Item]]) -> dict[Series, list[Item]]:
    found: dict[Series, list[Item]] = {}
    for series, item in pairs:
        found.setdefault(series, []).append(item)
    return found


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
    spans = [_period(span) async for span in uow.spans.filter_by_series(series).filter_touching(period)]
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


def _step(batch: Batch, missing: Sequence[Wish]) -> LoadStep:
    """Count what was missing, not what was only compared."""
    parts = (wish.period & batch.period for wish in missing if wish.series == batch.series)
    end = batch.period.time_till
    period = next(filter(None, parts), Period(end, end))
    return LoadStep(batch.series, period, len(batch.candles.between(period.time_from, batch.given_till)))


def _span(series: Series, period: Period) -> CandleSpan:
    return CandleSpan(series.security, series.timeframe, period.time_from, period.time_till)


def _period(span: CandleSpan) -> Period:
    return Period(span.time_from, span.time_till)
