"""Gaps -> pages of the exchange -> candles and spans, through bounded queues; knows only the ports of the core."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta

from app.core.corporate_actions import factors_of
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, SecurityCard, Series, Timeframe
from app.core.errors import (
    CandleServiceError,
    SeriesNotFoundError,
    SourceBadAnswerError,
    SourceError,
    SourceShiftError,
    StorageBusyError,
)
from app.core.market_data import IClock, ILoadProgress, IMarketDataAdapter, LoadOutcome, LoadStep, SourcePage, Wish
from app.core.pipeline import pump
from app.core.reconciliation import Batch, Changes, Rules, batch_of, reconcile
from app.core.repository import IStorage, IUnitOfWork
from app.core.spans import Period, gaps, subtract
from app.core.staleness import freshened

WINDOW_BARS = 10_080
"""Slots in one window: a week of minutes. Windows of one series are read concurrently."""

_TRIES = 3
_QUEUED_BATCHES = 2
_INSTANT = timedelta(microseconds=1)
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
            return [gap for wish in wishes for gap in await _gaps(uow, wish, now)]

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
        failed: set[Series] = set()
        return [
            _Window(
                self._storage,
                self._adapter,
                self._rules,
                cards[wish.series.security],
                replace(wish, period=part, is_inner=wish.is_inner and part.time_till == wish.period.time_till),
                failed,
            )
            for wish in missing
            for part in cut(wish.period, wish.series.timeframe, self._rules.settled(wish.series, now))
        ]


@dataclass(frozen=True, slots=True)
class _Window:
    """A missing period of a series as a source of batches. `failed`: series whose other windows need not be tried."""

    storage: IStorage
    adapter: IMarketDataAdapter
    rules: Rules
    card: SecurityCard
    wish: Wish
    failed: set[Series]

    @property
    def series(self) -> Series:
        return self.wish.series

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Read it; when rows moved meanwhile, begin again behind the last batch, a few times."""
        rest = self.wish.period
        for left in reversed(range(_TRIES)):
            if self.series in self.failed:
                return
            try:
                async for batch in self._batches(rest):
                    rest = replace(rest, time_from=batch.period.time_till)
                    yield batch
            except SourceError as error:
                if not left or not isinstance(error, SourceShiftError):
                    self.failed.add(self.series)
                    raise
            else:
                return

    async def _batches(self, period: Period) -> AsyncIterator[Batch]:
        """Put pages together up to the size of a transaction; what was read before a failure is given on first."""
        pages: list[SourcePage] = []
        seen_till = period.time_from
        failure: SourceError | None = None
        try:
            async for page in self._pages(period):
                rows = sum(len(each.candles) for each in [*pages, page])
                if pages and page.candles and rows > self.storage.batch_rows:
                    batch = batch_of(self.series, period, pages, self.rules, seen_till=seen_till, goes_on=True)
                    period, seen_till = replace(period, time_from=batch.period.time_till), batch.given_till
                    pages = _left_over(batch)
                    yield batch
                pages.append(page)
        except SourceShiftError:
            raise
        except SourceError as error:
            failure = error
        if pages:
            yield batch_of(self.series, period, pages, self.rules, seen_till=seen_till)
        if failure is not None:
            raise failure

    async def _pages(self, period: Period) -> AsyncIterator[SourcePage]:
        """Read pages until there are no more, or until what more may follow proves nothing yet.

        Silence over a whole settled period is believed only when the source repeats it, and still knows what it told
        before.
        """
        asked: Period | None = await self._with_witness(period)
        for is_repeated in (False, True):
            is_silent = True
            async for page in self._inside(asked or period, period):
                is_silent = is_silent and not (page.candles or page.rejected)
                if is_silent and not is_repeated and page.is_last:
                    break
                yield page
                if page.is_short and page.candles and page.candles[-1].timestamp >= self._settled(page):
                    return
            else:
                return
            asked = await self._doubted(period, self._settled(page))
            if asked is None:
                return

    async def _inside(self, asked: Period, period: Period) -> AsyncIterator[SourcePage]:
        """Read what was asked and give on what lies inside the period.

        Where reading begins earlier, it begins with a candle that is known: SourceBadAnswerError if it is not there.
        """
        is_known = asked.time_from == period.time_from
        async with aclosing(self.adapter.candles(self.card, self.series.timeframe, asked)) as pages:
            async for page in pages:
                if not is_known and not page.candles.between(asked.time_from, asked.time_from + _INSTANT):
                    raise SourceBadAnswerError(
                        f"{self.series}: the exchange answers nothing of {period}, nor the candle of {asked.time_from}"
                    )
                is_known = True
                rejected = [row for row in page.rejected if row.begin in period]
                yield replace(
                    page,
                    candles=page.candles.between(period.time_from, period.time_till),
                    rejected=rejected,
                    is_followed=bool(page.candles.between(period.time_till, asked.time_till)),
                )

    async def _with_witness(self, period: Period) -> Period:
        """Ask for the next known candle too, where coverage follows: it shows that the last bar before it is whole."""
        if not self.wish.is_inner:
            return period
        async with self.storage.read() as uow:
            after = uow.candles.filter_by_series(self.series).filter_by_timestamp_gte(period.time_till)
            known = [candle async for candle in after[:1]]
        ends = [self.series.timeframe.after(candle.timestamp) for candle in known if candle.is_final]
        return Period(period.time_from, max(ends, default=period.time_till))

    async def _doubted(self, period: Period, settled: Timestamp) -> Period | None:
        """Return what to ask to be sure that a silent period is silent: from a known candle on; None to leave it open.

        Where the store has no candle before the period, the source's own borders must say that it has one before, or
        none in it.
        """
        if settled <= period.time_from or (
            self.series.timeframe.step and settled - period.time_from < self.rules.silence
        ):
            return None
        if known := await self._known_before(period.time_from):
            return Period(known, period.time_till)
        border = (await self.adapter.borders(self.card)).get(self.series.timeframe)
        if border is None:
            return None
        if border.time_from in period:
            raise SourceBadAnswerError(f"{self.series}: the exchange answers nothing of {period}, but begins in it")
        if period.time_till <= border.time_from:
            return period
        return Period(border.time_from, period.time_till)

    async def _known_before(self, moment: Timestamp) -> Timestamp | None:
        async with self.storage.read() as uow:
            before = uow.candles.filter_by_series(self.series).filter_by_timestamp_lt(moment).filter_by_final(True)  # noqa: FBT003  # a column's value
            return next((candle.timestamp for candle in await before.newest_first()[:1].page(self.series)), None)

    def _settled(self, page: SourcePage) -> Timestamp:
        return self.rules.settled(self.series, page.as_of)


def _left_over(batch: Batch) -> list[SourcePage]:
    """Return the bad rows behind what a batch covers: the next one must not cover their slots either."""
    rejected = [row for row in batch.rejected if row.begin >= batch.period.time_till]
    return [SourcePage(batch.candles[:0], batch.as_of, rejected)] if rejected else []


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


async def _gaps(uow: IUnitOfWork, wish: Wish, now: Timestamp) -> list[Wish]:
    """Return what is missing, less the slots of bad rows whose time to be asked again has not come."""
    spans = [_period(span) async for span in uow.spans.filter_by_series(wish.series).filter_touching(wish.period)]
    missing = gaps(spans, wish.period)
    if not missing:
        return []
    bad = [row async for row in uow.quarantine.filter_by_series(wish.series) if now < _retry_at(row)]
    holes = [Period(row.begin, wish.series.timeframe.after(row.begin)) for row in bad]
    begins = {span.time_from for span in spans}
    return [Wish(wish.series, gap, gap.time_till in begins) for gap in subtract(missing, holes)]


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
        factors = await _factors(uow, batch)
        changes = reconcile(state, spans, await inside.page(batch.series), batch, factors=factors)
        await _apply(uow, batch, changes)
        await _quarantine(uow, batch, [*spans, *changes.covered])
        written = await freshened(uow, changes.state)
        if written != state:
            await uow.series.add([written])
    return changes


async def _factors(uow: IUnitOfWork, batch: Batch) -> Sequence[float]:
    """Return by what splits may have multiplied stored prices; SourceShiftError if one was seen after the answer."""
    security, timeframe = batch.series.security, batch.series.timeframe
    splits = [split async for split in uow.splits.filter_by_security(security)]
    for split in splits:
        if batch.as_of < split.seen_at and batch.period.time_from < timeframe.ceil(split.begin):
            raise SourceShiftError(f"{batch.series}: the split of {split.day} was seen after this was read")
    return factors_of(splits, batch.answered.time_from)


async def _apply(uow: IUnitOfWork, batch: Batch, changes: Changes) -> None:
    if changes.superseded:
        await uow.revisions.supersede(changes.superseded, reason="corrected", superseded_at=batch.as_of)
    if changes.dropped:
        await uow.candles.remove(changes.dropped)
    if changes.new:
        await uow.candles.extend(changes.new)
    if changes.changed:
        await uow.candles.add(changes.changed)
    await uow.spans.add(
        CandleSpan(batch.series.security, batch.series.timeframe, part.time_from, part.time_till)
        for part in changes.covered
    )


async def _quarantine(uow: IUnitOfWork, batch: Batch, covered: Sequence[Period]) -> None:
    """Let go of bad rows whose slot is covered; count those that came again."""
    known = {row.begin: row async for row in uow.quarantine.filter_by_series(batch.series)}
    await uow.quarantine.remove(row for row in known.values() if any(row.begin in part for part in covered))
    await uow.quarantine.add(
        replace(row, attempts=known[row.begin].attempts + 1) if row.begin in known else row
        for row in batch.rejected
        if not any(row.begin in part for part in covered)
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
