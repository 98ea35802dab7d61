"""Prove from what is stored that the store keeps its promises (docs: the invariants), in flat memory."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from math import isfinite

from app.core.date_time import Timestamp
from app.core.entities import CandleRevision, CandleSpan, Security, Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, SeriesNotFoundError
from app.core.pages import CandlePage
from app.core.reconciliation import WITHDRAWN
from app.core.spans import Period, gaps
from app.core.storage import IStorage, IUnitOfWork

PAGE_ROWS = 50_000
"""Candles held at a time."""

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise of one series. `where`: the first moment at which it is seen broken; `times`: at how many."""

    invariant: str
    series: Series
    what: str
    where: Timestamp | None = None
    times: int = 1


async def verify(
    storage: IStorage, *, securities: Collection[Security] = (), timeframes: Collection[Timeframe] = ()
) -> list[Violation]:
    """Check I1 to I6, I8 to I10, I15 and I16 of every series, each from one snapshot of its own.

    Or only of these securities and timeframes; a derived timeframe means the minutes it is made of. Raises
    SecurityNotFoundError and SeriesNotFoundError where nothing is stored of one that is named: a slip is no proof.
    """
    async with storage.read() as uow:
        every = [state.series async for state in uow.series]
    violations: list[Violation] = []
    for series in _named(every, securities, timeframes):
        async with storage.read() as uow:
            violations += await _verify_series(uow, series)
    return violations


def _named(
    every: Sequence[Series], securities: Collection[Security], timeframes: Collection[Timeframe]
) -> Sequence[Series]:
    found = [series for series in every if not securities or series.security in securities]
    if strange := sorted(set(securities) - {series.security for series in found}):
        raise SecurityNotFoundError(f"nothing of {', '.join(map(str, strange))} is stored")
    stored = {timeframe.base for timeframe in timeframes}
    if absent := stored - {series.timeframe for series in found}:
        names = ", ".join(timeframe for timeframe in Timeframe if timeframe in absent)
        raise SeriesNotFoundError(f"nothing is stored in {names}")
    return [series for series in found if not stored or series.timeframe in stored]


@dataclass(slots=True)
class _Findings:
    """Folds what is found by what it is, so that a store broken a million times needs no million lines."""

    series: Series
    _found: dict[tuple[str, str], tuple[Timestamp | None, int]] = field(default_factory=dict)

    def add(self, invariant: str, what: str, *places: Timestamp | None) -> None:
        for place in places:
            first, times = self._found.get((invariant, what), (place, 0))
            self._found[invariant, what] = first, times + 1

    @property
    def violations(self) -> list[Violation]:
        return [
            Violation(invariant, self.series, what, where, times)
            for (invariant, what), (where, times) in self._found.items()
        ]


async def _verify_series(uow: IUnitOfWork, series: Series) -> list[Violation]:
    found = _Findings(series)
    state = await uow.series.get(series)
    spans = [span async for span in uow.spans.filter_by_series(series)]
    _check_state(found, state)
    _check_spans(found, state, spans)
    _check_partition(found, state, spans)
    covered = _Covered.by(spans)
    before: int | None = None
    async for page in _pages(uow, series):
        _check_order(found, page.begins, before)
        _check_numbers(found, page)
        _check_finality(found, page, state.watermark, covered)
        before = page.begins[-1]
    await _check_revisions(found, uow, series)
    async for row in uow.quarantine.filter_by_series(series):
        if covered.holds(row.begin.unix):
            found.add("I8", "the slot of a quarantined row is covered", row.begin)
    return found.violations


def _check_state(found: _Findings, state: SeriesState) -> None:
    if not 0 <= state.history_version <= state.version:
        found.add("I16", "history_version is negative, or greater than version", state.as_of)
    if state.watermark is not None and (state.as_of is None or state.watermark > state.as_of):
        found.add("I15", "the watermark is later than the answer it came from", state.watermark)
    timeframe = state.series.timeframe
    for name in ("followed_from", "watermark", "stale_before"):
        moment = getattr(state, name)
        if moment is not None and timeframe.floor(moment) != moment:
            found.add("I1", f"{name} is not aligned to the timeframe", moment)


def _check_spans(found: _Findings, state: SeriesState, spans: Sequence[CandleSpan]) -> None:
    timeframe = state.series.timeframe
    for span in spans:
        if span.time_from >= span.time_till:
            found.add("I1", "a span is empty", span.time_from)
        if any(timeframe.floor(end) != end for end in (span.time_from, span.time_till)):
            found.add("I1", "a span is not aligned to the timeframe", span.time_from)
        if state.as_of is None:
            found.add("I3", "a span without any committed answer", span.time_from)
        elif state.watermark is None or span.time_till > state.watermark:
            found.add("I4", "a span reaches beyond the watermark", span.time_from)
    for left, right in pairwise(spans):
        if left.time_till >= right.time_from:
            found.add("I2", "spans overlap, touch or are out of order", right.time_from)


def _check_partition(found: _Findings, state: SeriesState, spans: Sequence[CandleSpan]) -> None:
    if state.followed_from is None or state.watermark is None:
        return
    window = Period(state.followed_from, state.watermark)
    inside = [part for span in spans if (part := _period(span) & window)]
    parts = sorted([*inside, *gaps(inside, window)])
    ends = [window.time_from, *(part.time_till for part in parts)]
    begins = [*(part.time_from for part in parts), max(window.time_from, window.time_till)]
    if ends != begins:
        found.add("I10", "spans and gaps do not add up to the followed period", window.time_from)


def _check_order(found: _Findings, begins: "array[int]", before: int | None) -> None:
    timeframe = found.series.timeframe
    found.add("I6", "a candle is not aligned to the timeframe", *map(_at, _unaligned(begins, timeframe)))
    previous = begins[:1] if before is None else array("q", [before])
    disordered = [right for left, right in pairwise([*previous, *begins][before is None :]) if left >= right]
    found.add("I6", "two candles share a beginning", *map(_at, disordered))


def _unaligned(begins: Iterable[int], timeframe: Timeframe) -> Iterator[int]:
    step = timeframe.step
    if step is not None:  # Moscow was always whole hours from UTC since the exchange opened
        seconds = int(step.total_seconds())
        return (begin for begin in begins if begin % seconds)
    return (begin for begin in begins if timeframe.floor(_at(begin)) != _at(begin))


def _check_numbers(found: _Findings, page: CandlePage) -> None:
    for begin, opened, high, low, closed, volume, value, _ in page.rows:
        if not all(map(isfinite, (opened, high, low, closed, volume, value))) or volume < 0:
            found.add("I8", "a candle's numbers are not finite, or its volume is negative", _at(begin))
        elif not (low <= opened <= high and low <= closed <= high):
            found.add("I8", "a candle's prices are not between its low and its high", _at(begin))


def _check_finality(found: _Findings, page: CandlePage, watermark: Timestamp | None, covered: "_Covered") -> None:
    end = 0 if watermark is None else bisect_left(page.begins, watermark.unix)
    late = [_at(page.begins[n]) for n in range(end, len(page)) if page.finals[n]]
    found.add("I6", "a candle at or after the watermark is final", *late)
    forming = (page.begins[n] for n in range(len(page)) if not page.finals[n]) if 0 in page.finals else ()
    found.add("I4", "a forming candle is covered", *(_at(begin) for begin in forming if covered.holds(begin)))


async def _check_revisions(found: _Findings, uow: IUnitOfWork, series: Series) -> None:
    async for batch in _histories(uow, series):
        stored = await _stored(uow, series, batch)
        for history in batch:
            _check_history(found, history, stored.get(history[0].candle.timestamp.unix))


def _check_history(found: _Findings, history: Sequence[CandleRevision], current: tuple[float, ...] | None) -> None:
    begin = history[0].candle.timestamp
    if [each.revision for each in history] != list(range(1, len(history) + 1)):
        found.add("I5", "revisions are not numbered from 1 without a gap", begin)
    if current is None and history[-1].reason != WITHDRAWN:
        found.add("I5", "revisions of a candle that is neither stored nor withdrawn", begin)
    values = [_values(each) for each in history] + ([] if current is None else [current])
    stayed = [each.reason != WITHDRAWN for each in history]  # one that was withdrawn may come back as it was
    if any(left == right and is_same for (left, right), is_same in zip(pairwise(values), stayed, strict=False)):
        found.add("I9", "a revision that changed nothing", begin)


async def _histories(uow: IUnitOfWork, series: Series) -> AsyncIterator[list[list[CandleRevision]]]:
    """Give the revisions of each candle together, some thousand candles at a time."""
    batch: list[list[CandleRevision]] = []
    async for revision in uow.revisions.filter_by_series(series):
        if batch and batch[-1][0].candle.timestamp == revision.candle.timestamp:
            batch[-1].append(revision)
            continue
        if len(batch) == _BATCH:
            yield batch
            batch = []
        batch.append([revision])
    if batch:
        yield batch


async def _stored(
    uow: IUnitOfWork, series: Series, batch: Sequence[Sequence[CandleRevision]]
) -> dict[int, tuple[float, ...]]:
    """Return the present values of the candles that were revised."""
    begins = [history[0].candle.timestamp for history in batch]
    wanted = {begin.unix for begin in begins}
    return {
        row[0]: row[1:7]
        async for page in _pages(uow, series, begins[0], begins[-1])
        for row in page.rows
        if row[0] in wanted
    }


async def _pages(
    uow: IUnitOfWork, series: Series, first: Timestamp | None = None, last: Timestamp | None = None
) -> AsyncIterator[CandlePage]:
    """Read the candles from the first to the last beginning by pages of their key; none is empty."""
    candles = uow.candles.filter_by_series(series)
    rest = candles if last is None else candles.filter_by_timestamp_lt(last + timedelta(seconds=1))
    page = await (rest if first is None else rest.filter_by_timestamp_gte(first))[:PAGE_ROWS].page(series)
    while page:
        yield page
        behind = _at(page.begins[-1] + 1)
        page = await rest.filter_by_timestamp_gte(behind)[:PAGE_ROWS].page(series)


@dataclass(frozen=True, slots=True)
class _Covered:
    """Spans as unix seconds, for asking often."""

    begins: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def by(cls, spans: Iterable[CandleSpan]) -> "_Covered":
        ordered = sorted((span.time_from.unix, span.time_till.unix) for span in spans)
        return cls([begin for begin, _ in ordered], [end for _, end in ordered])

    def holds(self, begin: int) -> bool:
        index = bisect_right(self.begins, begin) - 1
        return index >= 0 and begin < self.ends[index]


def _period(span: CandleSpan) -> Period:
    return Period(span.time_from, span.time_till)


def _values(revision: CandleRevision) -> tuple[float, ...]:
    candle = revision.candle
    return (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.value)


def _at(begin: int) -> Timestamp:
    return Timestamp.from_unix(begin)
