"""What an answer of the exchange proves: which of its bars are final, and which time they cover (I4, I7). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Series, Timeframe
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.spans import Period

SETTLE = timedelta(hours=24)
"""After so long silence is believed, unless settings say otherwise."""

SILENCE = timedelta(hours=6)
"""A settled stretch of bars within a day that is shorter and has none is left for later."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a bar is final, and when silence is believed.

    `delay`: by how much the source trails the market; `margin`: what we wait on top of it; `settle`: a period this much
    older than the answer is covered even where no bar came; `silence`: a shorter one without any bar is left for later,
    because being sure of it costs requests.
    """

    delay: timedelta
    margin: timedelta = timedelta(seconds=60)
    settle: timedelta = SETTLE
    silence: timedelta = SILENCE

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
    it still form. `seen_till`: up to here earlier batches gave the candles of the answer. `read_till`: where the
    question ended. `is_followed`: the same answer has later candles.
    """

    series: Series
    period: Period
    candles: CandlePage
    rejected: Sequence[QuarantinedRow]
    as_of: Timestamp
    watermark: Timestamp
    seen_till: Timestamp
    read_till: Timestamp
    is_followed: bool = False
    conflicts: int = 0

    @property
    def compared(self) -> Period:
        """The period of which the store's candles matter: all that was asked for, where the answer ended."""
        return self.answered if self.is_followed else Period(self.period.time_from, self.read_till)

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
    calendar: TradingCalendar,
    *,
    seen_till: Timestamp | None = None,
    read_till: Timestamp | None = None,
    goes_on: bool = False,
) -> Batch:
    """Put pages together and say what they prove (I7).

    They cover up to the end of their last final bar and the closed time behind it; where the source showed that nothing
    follows, what is settled too; where it showed a candle behind what was asked, all of it. The last bar of an answer
    is final only when it has settled, or when it is the last minute before closed time: a source that lags shows a bar
    half, and our clock cannot tell. `goes_on`: a later bar of the same answer is at hand. `read_till`: where the
    question ended, if not with `asked`.
    """
    as_of = pages[0].as_of
    watermark, settled = rules.watermark(series, as_of), rules.settled(series, as_of)
    is_followed = goes_on or any(page.is_followed for page in pages)
    candles = CandlePage.join(series, (page.candles for page in pages))
    is_whole = is_followed or not candles or _end(candles, -1) <= settled or _is_closing(candles, calendar)
    candles = candles.final_before(watermark if is_whole else min(watermark, candles[-1].timestamp))
    final = candles.finals.count(1)
    told_till = _end(candles, final - 1) if final else asked.time_from
    proven = _proven_till(told_till, pages, series.timeframe, calendar, settled=settled, watermark=watermark)
    return Batch(
        series,
        Period(asked.time_from, min(max(proven, asked.time_from), asked.time_till)),
        candles,
        [row for page in pages for row in page.rejected],
        as_of,
        watermark,
        seen_till or asked.time_from,
        read_till or asked.time_till,
        is_followed,
        sum(page.conflicts for page in pages),
    )


def _proven_till(
    told_till: Timestamp,
    pages: Sequence[SourcePage],
    timeframe: Timeframe,
    calendar: TradingCalendar,
    *,
    settled: Timestamp,
    watermark: Timestamp,
) -> Timestamp:
    """Return how far pages prove that nothing is missing, whose last final bar ends at `told_till`."""
    proven = told_till
    if pages[-1].is_last:
        proven = max(proven, settled)
    if pages[-1].is_last or pages[-1].is_short:
        proven = max(proven, timeframe.floor(min(calendar.closed_until(proven), watermark)))
    if any(page.is_followed for page in pages):
        proven = max(proven, watermark)
    return proven


def _is_closing(candles: CandlePage, calendar: TradingCalendar) -> bool:
    """Tell whether the last bar is the minute behind which the exchange closed."""
    end = _end(candles, -1)
    return candles.series.timeframe is Timeframe.M1 and calendar.closed_until(end) > end


def _end(candles: CandlePage, index: int) -> Timestamp:
    return candles.series.timeframe.after(Timestamp.from_unix(candles.begins[index]))
