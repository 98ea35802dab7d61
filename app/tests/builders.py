"""Small builders of entities: what a test does not say does not matter to it."""

from collections.abc import Iterable
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import (
    Candle,
    CandleRevision,
    CandleSpan,
    QuarantinedRow,
    Security,
    SecurityCard,
    Series,
    SeriesState,
    Timeframe,
)
from app.core.pages import CandlePage
from app.core.storage import IStorage

SBER = Security("SBER", "TQBR")
GAZP = Security("GAZP", "TQBR")
SBER_M1 = Series(SBER, Timeframe.M1)
SBER_D1 = Series(SBER, Timeframe.D1)
GAZP_M1 = Series(GAZP, Timeframe.M1)
T0 = Timestamp.from_unix(1_704_265_200)
"""2024-01-03 10:00 in Moscow."""


def minute(n: int) -> Timestamp:
    """Return T0 and so many minutes."""
    return T0 + timedelta(minutes=n)


def a_card(security: Security = SBER, *, name: str = "", decimals: int | None = 2) -> SecurityCard:
    return SecurityCard(security, "stock", "shares", name, decimals=decimals)


def a_state(series: Series = SBER_M1, *, followed_from: Timestamp | None = T0, version: int = 0) -> SeriesState:
    return SeriesState(series, followed_from, version=version)


def a_candle(n: int = 0, series: Series = SBER_M1, *, close: float = 1.5, is_final: bool = True) -> Candle:
    """Build the bar of minute n after T0; for longer timeframes that is merely a distinct beginning."""
    low, high = min(0.5, close), max(2.0, close)
    return Candle(series.security, series.timeframe, minute(n), 1.0, high, low, close, 10.0, 15.0, is_final)


def a_page(
    minutes: Iterable[int], series: Series = SBER_M1, *, close: float = 1.5, is_final: bool = True
) -> CandlePage:
    return CandlePage.from_candles(series, [a_candle(n, series, close=close, is_final=is_final) for n in minutes])


def a_span(n_from: int, n_till: int, series: Series = SBER_M1) -> CandleSpan:
    return CandleSpan(series.security, series.timeframe, minute(n_from), minute(n_till))


def a_revision(n: int = 0, revision: int = 1, series: Series = SBER_M1, *, close: float = 1.5) -> CandleRevision:
    return CandleRevision(a_candle(n, series, close=close), revision, "changed", minute(60))


def a_quarantined_row(n: int = 0, series: Series = SBER_M1, *, reason: str = "high < low") -> QuarantinedRow:
    return QuarantinedRow(series, minute(n), "[1, 2, 3]", reason, T0)


async def follow(storage: IStorage, *series: Series) -> None:
    """Store the securities and states of these series, so that candles can be stored."""
    async with storage.begin() as unit_of_work:
        await unit_of_work.securities.add(a_card(security) for security in {one.security for one in series})
        await unit_of_work.series.add(a_state(one) for one in series)
