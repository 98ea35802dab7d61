"""What an answer of the exchange changes in what is stored (invariants I3 to I9, I15, I16). Pure."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Series, SeriesState
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.rescaling import is_rescaled
from app.core.spans import Period, gaps, subtract


@dataclass(frozen=True, slots=True)
class Rules:
    """When a bar is final, and when silence is believed.

    `delay`: by how much the source trails the market; `margin`: what we wait on top of it; `settle`: a period this much
    older than the answer is covered even where no bar came; `silence`: a shorter one without any bar is left for later,
    because being sure of it costs requests.
    """

    delay: timedelta
    margin: timedelta = timedelta(seconds=60)
    settle: timedelta = timedelta(hours=24)
    silence: timedelta = timedelta(hours=6)

    def watermark(self, series: Series, as_of: Timestamp) -> Timestamp:
        """Return the moment up to which bars are final (I4)."""
        return series.timeframe.floor(as_of - self.delay - self.margin)

    def settled(self, series: Series, as_of: Timestamp) -> Timestamp:
        """Return the moment up to which silence is believed (I7b); never behind the watermark."""
        return min(series.timeframe.floor(as_of - self.settle), self.watermark(series, as_of))


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive pages of one answer, ready to be written in one transaction.

    `period` is what they prove, from where the batch before ended; empty when they hold nothing final. Candles beyond
    it still form. `seen_till`: up to here earlier batches gave the candles of the answer.
    """

    series: Series
    period: Period
    candles: CandlePage
    rejected: Sequence[QuarantinedRow]
    as_of: Timestamp
    watermark: Timestamp
    seen_till: Timestamp
    conflicts: int = 0

    @property
    def answered(self) -> Period:
        """The period of which the batch tells anything."""
        return Period(self.period.time_from, max(self.period.time_till, self.given_till))

    @property
    def given_till(self) -> Timestamp:
        """Where the last candle given so far ends."""
        return _end(self.candles, -1) if self.candles else self.seen_till

    @property
    def holes(self) -> list[Period]:
        """The slots of rejected rows."""
        return [Period(row.begin, row.series.timeframe.after(row.begin)) for row in self.rejected]


def batch_of(
    series: Series,
    asked: Period,
    pages: Sequence[SourcePage],
    rules: Rules,
    *,
    seen_till: Timestamp | None = None,
    goes_on: bool = False,
) -> Batch:
    """Put pages together and say what they prove (I7).

    They cover up to the end of their last final bar; where the source showed that nothing follows, what is settled too.
    The last bar of an answer is final only when it has settled: a source that lags shows it half, and our clock cannot
    tell. `goes_on`: a later bar of the same answer is at hand.
    """
    as_of = pages[0].as_of
    watermark, settled = rules.watermark(series, as_of), rules.settled(series, as_of)
    candles = CandlePage.join(series, (page.candles for page in pages))
    is_followed = goes_on or any(page.is_followed for page in pages)
    is_open = bool(candles) and not is_followed and _end(candles, -1) > settled
    candles = candles.final_before(min(watermark, candles[-1].timestamp) if is_open else watermark)
    final = sum(candles.finals)
    proven = _end(candles, final - 1) if final else asked.time_from
    if pages[-1].is_last:
        proven = max(proven, settled)
    return Batch(
        series,
        Period(asked.time_from, min(max(proven, asked.time_from), asked.time_till)),
        candles,
        [row for page in pages for row in page.rejected],
        as_of,
        watermark,
        seen_till or asked.time_from,
        sum(page.conflicts for page in pages),
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write so that the store agrees with a batch.

    `new`: candles to insert; `changed`: new values of stored ones; `superseded`: the old values of those that were
    final; `dropped`: forming candles that are gone. `covered`: periods the batch adds to the spans.
    """

    new: CandlePage
    changed: CandlePage
    superseded: CandlePage
    dropped: CandlePage
    covered: Sequence[Period]
    state: SeriesState


def reconcile(
    state: SeriesState,
    spans: Sequence[Period],
    stored: CandlePage,
    batch: Batch,
    *,
    factors: Sequence[float] = (),
) -> Changes:
    """Compare a batch with the store: `spans` and `stored` are what it holds in `batch.answered`.

    A batch older than the last committed one (I15) writes only final candles, and only where nothing is covered.
    `factors`: by which the prices of the security were multiplied on a split; old values that differ by nothing else
    are not kept.
    """
    is_stale = state.as_of is not None and batch.as_of < state.as_of
    is_covered = _membership(spans)
    if stored or spans:
        new, changed, superseded, forming = _compare(stored, batch, is_covered, is_stale=is_stale, factors=factors)
    else:
        new, changed, superseded, forming = batch.candles, stored, stored, stored
    dropped = stored[:0] if is_stale else forming.between(batch.seen_till, batch.answered.time_till)
    proven = _proven(batch, forming) if is_stale else batch.period
    covered = [part for claim in subtract([proven], batch.holes) for part in gaps(spans, claim)]
    is_changed = bool(new or changed or dropped or covered)
    is_history = bool(spans) and any(map(is_covered, [*new.begins, *changed.begins]))
    state = _next_state(state, batch, is_changed=is_changed, is_history=is_history)
    return Changes(new, changed, superseded, dropped, covered, state)


def _compare(
    stored: CandlePage,
    batch: Batch,
    is_covered: Callable[[int], bool],
    *,
    is_stale: bool,
    factors: Sequence[float],
) -> tuple[CandlePage, CandlePage, CandlePage, CandlePage]:
    """Return what is new, changed and superseded, and the stored forming candles that the answer lacks."""
    old = {row[0]: row for row in stored.rows}
    new, changed, superseded = [], [], []
    for row in batch.candles.rows:
        before = old.pop(row[0], None)
        if is_stale and (is_covered(row[0]) or not row[7]):
            continue
        if before is None:
            new.append(row)
        elif before != row and row[7] >= before[7]:  # a final candle never forms again (I5)
            changed.append(row)
            if before[7] and not is_rescaled(before, row, factors):
                superseded.append(before)
    forming = [row for row in old.values() if not row[7]]
    new_page, changed_page, superseded_page, forming_page = (
        CandlePage.from_rows(batch.series, rows) for rows in (new, changed, superseded, forming)
    )
    return new_page, changed_page, superseded_page, forming_page


def _proven(batch: Batch, forming: CandlePage) -> Period:
    """Return what a stale batch may cover: nothing behind a forming candle that it lacks and a newer one wrote."""
    end = forming[0].timestamp if forming else batch.period.time_till
    return batch.period & Period(batch.period.time_from, end)


def _next_state(state: SeriesState, batch: Batch, *, is_changed: bool, is_history: bool) -> SeriesState:
    """Raise the counters (I16), never below the milliseconds of the answer: none comes again after a restore."""
    version = max(state.version + 1, batch.as_of.microseconds // 1000)
    return replace(
        state,
        as_of=max(batch.as_of, state.as_of or batch.as_of),
        watermark=max(batch.watermark, state.watermark or batch.watermark),
        version=version if is_changed else state.version,
        history_version=version if is_history else state.history_version,
    )


def _membership(spans: Sequence[Period]) -> Callable[[int], bool]:
    """Return a test whether a beginning (unix seconds) lies in one of the sorted spans."""
    begins = [span.time_from.unix for span in spans]
    ends = [span.time_till.unix for span in spans]

    def is_covered(begin: int) -> bool:
        index = bisect_right(begins, begin) - 1
        return index >= 0 and begin < ends[index]

    return is_covered


def _end(candles: CandlePage, index: int) -> Timestamp:
    return candles.series.timeframe.after(Timestamp.from_unix(candles.begins[index]))
