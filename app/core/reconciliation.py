"""What an answer of the exchange changes in what is stored (invariants I3 to I9, I15, I16). Pure."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.core.batches import Batch
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, SeriesState
from app.core.market_data import Rescaling
from app.core.pages import CandlePage
from app.core.rescaling import is_rescaled, rescaling
from app.core.spans import Period, gaps, subtract

CORRECTED = "corrected"
"""The reason of a revision: the exchange gave the candle other values."""
WITHDRAWN = "withdrawn"
"""The reason of a revision: the exchange took the candle back (I5)."""
MISSING = "missing from a later answer"
"""The reason of a quarantined row: a final candle that an answer lacks; `raw` is what is stored of it."""

_FIRST_RETRY = timedelta(minutes=5)
_LAST_RETRY = timedelta(hours=24)
_PIECE = 500


@dataclass(frozen=True, slots=True)
class Changes:
    """What to write so that the store agrees with a batch.

    `new`: candles to insert; `changed`: new values of stored ones; `superseded`: the old values of those that were
    final; `dropped`: forming candles that are gone; `withdrawn`: final ones that two answers lack. `doubts`: rows for
    the quarantine, of final candles that this answer lacks. `covered`: periods the batch adds to the spans;
    `uncovered`: those it takes away. `rescaling`: what a split did to the prices of all covered candles that changed.
    """

    new: CandlePage
    changed: CandlePage
    superseded: CandlePage
    dropped: CandlePage
    withdrawn: CandlePage
    doubts: Sequence[QuarantinedRow]
    covered: Sequence[Period]
    uncovered: Sequence[Period]
    state: SeriesState
    rescaling: Rescaling | None


def reconcile(
    state: SeriesState,
    spans: Sequence[Period],
    stored: CandlePage,
    batch: Batch,
    *,
    quarantined: Sequence[QuarantinedRow] = (),
    factors: Sequence[float] = (),
) -> Changes:
    """Compare a batch with the store: `spans` and `stored` are what it holds in `batch.compared`.

    A batch older than the last committed one (I15) writes only final candles, and only where nothing is covered.
    `quarantined`: rows of the series that are in doubt already. `factors`: by which the prices of the security were
    multiplied on a split; old values that differ by nothing else are not kept.
    """
    is_stale = state.as_of is not None and batch.as_of < state.as_of
    batch = _believed(batch, stored)
    is_covered = _membership(spans)
    new, changed, superseded, absent = _compare(stored, batch, is_covered, is_stale=is_stale, factors=factors)
    dropped = withdrawn = doubted = stored[:0]
    if not is_stale:
        dropped = absent.pick(not final for final in absent.finals).between(batch.seen_till, batch.answered.time_till)
        doubted, withdrawn = _missing(batch, absent, quarantined)
    slots = [Period(candle.timestamp, state.series.timeframe.after(candle.timestamp)) for candle in doubted]
    proven = _proven(batch, absent if is_stale else doubted, is_stale=is_stale)
    covered = [part for claim in subtract([proven], [*batch.holes, *slots]) for part in gaps(spans, claim)]
    uncovered = [slot for slot in slots if is_covered(slot.time_from.unix)]
    is_changed = bool(new or changed or dropped or withdrawn or covered or uncovered)
    is_history = bool(uncovered or withdrawn) or any(_lies_in(span, new) or _lies_in(span, changed) for span in spans)
    doubts = _doubts(batch, doubted, quarantined)
    state = _next_state(state, batch, is_changed=is_changed, is_history=is_history)
    rewritten = changed.pick(map(is_covered, changed.begins))
    found = rescaling(stored, rewritten, factors) if rewritten else None
    split = None if found is None else Rescaling(*found, batch.as_of)
    return Changes(new, changed, superseded, dropped, withdrawn, doubts, covered, uncovered, state, split)


def retry_at(row: QuarantinedRow) -> Timestamp:
    """Return when a slot in quarantine is asked for again."""
    pause: timedelta = _FIRST_RETRY * 2 ** min(row.attempts, 12)
    return row.seen_at + min(pause, _LAST_RETRY)


def _believed(batch: Batch, stored: CandlePage) -> Batch:
    """Return what of a batch is believed: less its end, where the store has final candles behind it.

    Such an answer lags, or is an old one: its last candle may be half, and its silence proves nothing.
    """
    newest = next((stored.begins[n] for n in reversed(range(len(stored))) if stored.finals[n]), None)
    last = batch.candles.begins[-1] if batch.candles else batch.period.time_from.unix - 1
    if batch.is_followed or newest is None or newest <= last:
        return batch
    end = max(Timestamp.from_unix(last), batch.period.time_from)
    return replace(
        batch,
        candles=batch.candles.final_before(min(end, batch.watermark)),
        period=batch.period & Period(batch.period.time_from, end),
    )


def _compare(
    stored: CandlePage,
    batch: Batch,
    is_covered: Callable[[int], bool],
    *,
    is_stale: bool,
    factors: Sequence[float],
) -> tuple[CandlePage, CandlePage, CandlePage, CandlePage]:
    """Return what is new, changed and superseded, and the stored candles that the answer lacks.

    Piece by piece, so that only those that are not the same bit for bit are looked at row by row.
    """
    none = stored[:0]
    if not stored and not is_stale and 0 not in batch.candles.finals:
        return batch.candles, none, none, none
    pieces = [(batch.candles[:0], none, none, stored)] if not batch.candles else []
    for old, given in _pieces(stored, batch.candles):
        if old.is_same(given):
            continue
        if old or is_stale or 0 in given.finals:
            pieces.append(_compare_rows(old, given, is_covered, is_stale=is_stale, factors=factors))
        else:
            pieces.append((given, none, none, none))
    new, changed, superseded, absent = (
        kind[0] if len(kind) == 1 else CandlePage.join(batch.series, kind)
        for kind in ([piece[n] for piece in pieces] for n in range(4))
    )
    return new, changed, superseded, absent


def _pieces(stored: CandlePage, given: CandlePage) -> Iterator[tuple[CandlePage, CandlePage]]:
    """Cut both at the same moments, some hundred rows each; all that is stored lies in one of them."""
    begin = 0
    for start in range(0, len(given), _PIECE):
        is_last = start + _PIECE >= len(given)
        end = len(stored) if is_last else bisect_left(stored.begins, given.begins[start + _PIECE])
        yield stored[begin:end], given[start : start + _PIECE]
        begin = end


def _compare_rows(
    stored: CandlePage,
    given: CandlePage,
    is_covered: Callable[[int], bool],
    *,
    is_stale: bool,
    factors: Sequence[float],
) -> tuple[CandlePage, CandlePage, CandlePage, CandlePage]:
    old = {row[0]: row for row in stored.rows}
    new, changed, superseded = [], [], []
    for row in given.rows:
        before = old.pop(row[0], None)
        is_forming = not row[7]
        if (is_stale and is_forming) or ((is_stale or is_forming) and is_covered(row[0])):
            continue
        if before is None:
            new.append(row)
        elif before != row and row[7] >= before[7]:  # a final candle never forms again (I5)
            changed.append(row)
            if before[7] and not is_rescaled(before, row, factors):
                superseded.append(before)
    new_page, changed_page, superseded_page, absent = (
        CandlePage.from_rows(given.series, rows) for rows in (new, changed, superseded, old.values())
    )
    return new_page, changed_page, superseded_page, absent


def _missing(batch: Batch, absent: CandlePage, quarantined: Sequence[QuarantinedRow]) -> tuple[CandlePage, CandlePage]:
    """Return the final candles in doubt and the withdrawn ones: absent, though the answer has later candles.

    A candle is withdrawn when it was missed before, long enough ago. Not so those before the first candle of the
    answer as long as one of them is new in doubt: then it is the answer that may have lost its beginning.
    """
    first, end = _shown(batch)
    is_bad = _membership(batch.holes)
    absent = absent.pick(map(bool, absent.finals)).between(batch.seen_till, end)
    lost = absent.pick(not is_bad(begin) for begin in absent.begins)
    due = {row.begin.unix for row in quarantined if row.reason == MISSING and retry_at(row) <= batch.as_of}
    head = lost.between(batch.period.time_from, first).begins
    if not due.issuperset(head):
        due.difference_update(head)
    return lost.pick(begin not in due for begin in lost.begins), lost.pick(begin in due for begin in lost.begins)


def _shown(batch: Batch) -> tuple[Timestamp, Timestamp]:
    """Return from where to where the answer showed candles: what it lacks there, it lacks on purpose."""
    end = batch.period.time_till
    if not batch.candles:
        return end, end if batch.is_followed else batch.period.time_from
    return batch.candles[0].timestamp, end if batch.is_followed else batch.candles[-1].timestamp


def _doubts(batch: Batch, doubted: CandlePage, quarantined: Sequence[QuarantinedRow]) -> list[QuarantinedRow]:
    """Return rows for the quarantine, less those that wait there."""
    known = {row.begin: row for row in quarantined if row.reason == MISSING}
    rows = []
    for row in doubted.rows:
        begin = Timestamp.from_unix(row[0])
        before = known.get(begin)
        if before is None or retry_at(before) <= batch.as_of:
            attempts = 1 if before is None else before.attempts + 1
            raw = json.dumps(row[1:7])
            rows.append(QuarantinedRow(batch.series, begin, raw, MISSING, batch.as_of, attempts))
    return rows


def _proven(batch: Batch, absent: CandlePage, *, is_stale: bool) -> Period:
    """Return what a batch may cover, if it lacks these candles.

    A stale one nothing behind them, for a newer one wrote them; another one nothing before its first candle, if they
    lie there: then the answer may have lost its beginning.
    """
    if not absent:
        return batch.period
    first, _ = _shown(batch)
    begin, end = batch.period.time_from, batch.period.time_till
    if is_stale:
        return batch.period & Period(begin, absent[0].timestamp)
    return batch.period & Period(first if absent[0].timestamp < first else begin, end)


def _next_state(state: SeriesState, batch: Batch, *, is_changed: bool, is_history: bool) -> SeriesState:
    """Forget the last failure; raise the counters (I16), never below the milliseconds of the answer.

    So none comes again after a restore.
    """
    version = max(state.version + 1, batch.as_of.microseconds // 1000)
    return replace(
        state,
        as_of=max(batch.as_of, state.as_of or batch.as_of),
        watermark=max(batch.watermark, state.watermark or batch.watermark),
        version=version if is_changed else state.version,
        history_version=version if is_history else state.history_version,
        failed_at=None,
        failure=None,
    )


def _lies_in(span: Period, candles: CandlePage) -> bool:
    return bool(candles.between(span.time_from, span.time_till))


def _membership(spans: Sequence[Period]) -> Callable[[int], bool]:
    """Return a test whether a beginning (unix seconds) lies in one of the sorted spans."""
    begins = [span.time_from.unix for span in spans]
    ends = [span.time_till.unix for span in spans]

    def is_covered(begin: int) -> bool:
        index = bisect_right(begins, begin) - 1
        return index >= 0 and begin < ends[index]

    return is_covered
