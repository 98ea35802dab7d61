"""A missing period as a question to the exchange, and its answer as batches; knows only the ports of the core."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta

from app.core.batches import Batch, Rules, batch_of
from app.core.calendar import TradingCalendar
from app.core.cutting import FEWEST_BARS
from app.core.date_time import Timestamp
from app.core.entities import SecurityCard, Series
from app.core.errors import SourceBadAnswerError, SourceError, SourceShiftError
from app.core.market_data import IMarketDataAdapter, SourcePage, Wish
from app.core.repository import ICandleRepository
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork

BATCH_SECONDS = 5.0
"""What a slow source gave in so long is written, be it ever so little: a crash then loses no more."""

OVERLAP_BARS = 30
"""Stored candles that are read again, and compared, with what follows them."""

_WITNESSES = 2  # so that one that the exchange withdrew does not keep a gap open
_TRIES = 3
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A wish, or a part of one, as a source of batches.

    Stored candles that adjoin it are read again, as what the exchange must still know. `failed`: series whose other
    windows need not be tried.
    """

    storage: IStorage
    adapter: IMarketDataAdapter
    rules: Rules
    calendar: TradingCalendar
    card: SecurityCard
    wish: Wish
    failed: set[Series]

    @property
    def series(self) -> Series:
        return self.wish.series

    async def __aiter__(self) -> AsyncIterator[Batch]:
        """Read it; when rows moved meanwhile, begin again behind the last batch, a few times."""
        rest = Period(await self._known_from() or self.wish.period.time_from, self.wish.period.time_till)
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
        asked = Period(period.time_from, await self._witnessed_till())
        pages: list[SourcePage] = []
        rows = 0
        due = time.monotonic() + BATCH_SECONDS
        seen_till = period.time_from
        failure: SourceError | None = None

        def batch(*, goes_on: bool = False) -> Batch:
            return batch_of(
                self.series,
                period,
                pages,
                self.rules,
                self.calendar,
                seen_till=seen_till,
                read_till=asked.time_till,
                goes_on=goes_on,
            )

        try:
            async for page in self._pages(asked, period):
                rows += len(page.candles)
                is_enough = rows > self.storage.batch_rows or time.monotonic() > due
                if pages and page.candles and is_enough:
                    given, due = batch(goes_on=True), time.monotonic() + BATCH_SECONDS
                    period, seen_till = replace(period, time_from=given.period.time_till), given.given_till
                    pages, rows = _left_over(given), len(page.candles)
                    yield given
                pages.append(page)
        except SourceShiftError:
            raise
        except SourceError as error:
            failure = error
        if pages:
            yield batch()
        if failure is not None:
            raise failure

    async def _pages(self, asked: Period, period: Period) -> AsyncIterator[SourcePage]:
        """Read pages until there are no more, or until what more may follow proves nothing yet.

        Silence over a whole settled period is believed only when the source repeats it, and still knows what it told
        before.
        """
        question: Period | None = asked
        for is_repeated in (False, True):
            is_silent = True
            async for page in self._inside(question or asked, period):
                is_silent = is_silent and not (page.candles or page.rejected or page.is_followed)
                if is_silent and page.is_last:
                    if not is_repeated:
                        break
                    self._require_unknown(period)
                yield page
                if page.is_short and page.candles and self._is_enough(page, period):
                    return
            else:
                return
            question = await self._doubted(asked, period, self._settled(page))
            if question is None:
                return

    def _require_unknown(self, period: Period) -> None:
        """Raise SourceBadAnswerError if candles of a silent period are known: the exchange told them before."""
        if period.time_from < self.wish.period.time_from:
            raise SourceBadAnswerError(
                f"{self.series}: the exchange answers nothing of {period}, nor the candles it told before"
            )

    def _is_enough(self, page: SourcePage, period: Period) -> bool:
        """Tell whether asking what follows a short page proves nothing, or not enough to be worth a request.

        Nothing is left to be proven where the exchange was closed since the last bar.
        """
        settled, last = self._settled(page), page.candles[-1].timestamp
        begin = max(period.time_from, self.wish.period.time_from)
        if last >= settled or (last < begin and not self._is_worth_asking(begin, settled)):
            return True
        return self.calendar.closed_until(self.series.timeframe.after(last)) >= period.time_till

    def _is_worth_asking(self, begin: Timestamp, settled: Timestamp) -> bool:
        """Tell whether to be sure of the silence from here on: an intraday stretch that is short can wait."""
        return begin < settled and (not self.series.timeframe.step or settled - begin >= self.rules.silence)

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

    async def _known_from(self) -> Timestamp | None:
        """Return the stored final candle from which on to read again what adjoins the period; None without any.

        It is the last one before an inner gap, and one of the last `OVERLAP_BARS` before any other. Asked when the
        window's turn comes: a plan for thousands of series should not wait for so many answers.
        """
        begin, since = self.wish.period.time_from, self.wish.covered_since
        if self.wish.again or since is None:
            return None
        async with self.storage.read() as uow:
            covered = _final(uow, self.series).filter_by_timestamp_gte(since).filter_by_timestamp_lt(begin)
            known = await covered.newest_first()[: 1 if self.wish.is_inner else OVERLAP_BARS].page(self.series)
        return known[0].timestamp if known else None

    async def _witnessed_till(self) -> Timestamp:
        """Ask for the next known candles too, where coverage goes on: they show that all before them is told."""
        end = self.wish.period.time_till
        if not self.wish.is_inner:
            return end
        async with self.storage.read() as uow:
            spans = uow.spans.filter_by_series(self.series).filter_touching(Period(end, end))
            ends = [span.time_till async for span in spans if end < span.time_till]
            after = _final(uow, self.series).filter_by_timestamp_gte(end).filter_by_timestamp_lt(max(ends, default=end))
            known = await after[:_WITNESSES].page(self.series)
        return self.series.timeframe.after(known[-1].timestamp) if known else end

    async def _doubted(self, asked: Period, period: Period, settled: Timestamp) -> Period | None:
        """Return what to ask to be sure that a silent period is silent: from a known candle on; None to leave it open.

        Where the store has no candle before the period, the source's own borders must say that it has one before, or
        none in it.
        """
        begin = max(period.time_from, self.wish.period.time_from)
        if not self._is_worth_asking(begin, settled):
            return None
        if period.time_from < begin:
            return asked
        if known := await self._known_before(begin):
            return await self._from(known, asked, period)
        border = (await self.adapter.borders(self.card)).get(self.series.timeframe)
        if border is None:
            return None
        if border.time_from in period:
            raise SourceBadAnswerError(f"{self.series}: the exchange answers nothing of {period}, but begins in it")
        if period.time_till <= border.time_from:
            return asked
        return await self._from(border.time_from, asked, period)

    async def _from(self, known: Timestamp, asked: Period, period: Period) -> Period:
        """Return the question with a known candle before it; one that is far away is asked for by itself."""
        step = self.series.timeframe.step
        if step is None or asked.time_from - known <= step * FEWEST_BARS:
            return replace(asked, time_from=known)
        witness = Period(known, self.series.timeframe.after(known))
        async for _ in self._inside(witness, period):
            pass
        return asked

    async def _known_before(self, moment: Timestamp) -> Timestamp | None:
        """Return the last stored candle before that nothing speaks against."""
        async with self.storage.read() as uow:
            doubted = {row.begin async for row in uow.quarantine.filter_by_series(self.series)}
            before = _final(uow, self.series).filter_by_timestamp_lt(moment).newest_first()
            known = await before[: len(doubted) + 1].page(self.series)
        return max((candle.timestamp for candle in known if candle.timestamp not in doubted), default=None)

    def _settled(self, page: SourcePage) -> Timestamp:
        return self.rules.settled(self.series, page.as_of)


def _final(uow: IUnitOfWork, series: Series) -> ICandleRepository:
    return uow.candles.filter_by_series(series).filter_by_final(True)  # noqa: FBT003  # a column's value


def _left_over(batch: Batch) -> list[SourcePage]:
    """Return the bad rows behind what a batch covers: the next one must not cover their slots either."""
    rejected = [row for row in batch.rejected if row.begin >= batch.period.time_till]
    return [SourcePage(batch.candles[:0], batch.as_of, rejected)] if rejected else []
