"""Answers of the exchange, and what they prove and change; moments are minutes after a trading noon."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.core.batches import Batch, Rules, batch_of
from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Security, Series, SeriesState, Timeframe
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.reconciliation import Changes, reconcile
from app.core.spans import Period

SERIES = Series(Security("SBER", "TQBR"), Timeframe.M1)
RULES = Rules(delay=timedelta(minutes=15))
CALENDAR = TradingCalendar("stock")
NOON = Timestamp(datetime(2024, 1, 3, 12, tzinfo=UTC))


def minute(number: int) -> Timestamp:
    return NOON + timedelta(minutes=number)


SEEN = minute(1_000)
DAY_AFTER = minute(2_000)


def period(begin: int, end: int) -> Period:
    return Period(minute(begin), minute(end))


def page(*numbers: int, volume: float = 10, final: bool = False) -> CandlePage:
    return CandlePage.from_rows(SERIES, ((minute(n).unix, 1, 2, 0.5, 1.5, volume, 15, final) for n in numbers))


def answer(*numbers: int, as_of: Timestamp, is_last: bool = True, volume: float = 10) -> SourcePage:
    return SourcePage(page(*numbers, volume=volume), as_of, is_last=is_last)


def read(asked: Period, *pages: SourcePage) -> Batch:
    return batch_of(SERIES, asked, pages, RULES, CALENDAR)


def apply(
    batch: Batch,
    *,
    spans: Sequence[Period] = (),
    stored: CandlePage | None = None,
    as_of: Timestamp | None = None,
    quarantined: Sequence[QuarantinedRow] = (),
    factors: Sequence[float] = (),
) -> Changes:
    state = SeriesState(SERIES, followed_from=minute(0), as_of=as_of, watermark=as_of)
    return reconcile(state, spans, stored or page(), batch, quarantined=quarantined, factors=factors)


def minutes(candles: CandlePage) -> list[int]:
    return [(candle.timestamp - NOON) // timedelta(minutes=1) for candle in candles]
