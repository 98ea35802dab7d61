"""An answer of candles: its documented shape, and its bytes. Only what surrounds the candles passes through a model."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.entities import Timeframe
from app.io.rest_api import encoding
from app.io.rest_api.v1.candle_wish import CandleWish, Form
from app.io.rest_api.v1.coverage import MissingSpan, missing_spans
from app.use_cases.get_candles import CandleAnswer

MEDIA_TYPES = {Form.OBJECTS: "application/json", Form.COLUMNS: "application/json", Form.CSV: "text/csv; charset=utf-8"}
CSV_EXAMPLE = ",".join(encoding.COLUMNS) + "\r\n2024-01-03T07:00:00Z,271.9,272.5,271.8,272.1,1200.0,326520.0,true\r\n"

_COLUMNS = ",".join(f'"{name}"' for name in encoding.COLUMNS).encode()


class PeriodCoverage(BaseModel):
    """Whether all that the exchange has of the whole period is stored and final.

    Gaps where it has nothing do not count: before its first candle, and closed time behind what is covered.
    """

    complete: bool
    gaps: list[MissingSpan] = Field(description="What is not covered and why, oldest first")


class Envelope(BaseModel):
    """What is said of the candles: the same on every page, but for `count` and `next_cursor`."""

    model_config = ConfigDict(populate_by_name=True)

    security: str = Field(examples=["TQBR:SBER"])
    timeframe: Timeframe
    time_from: datetime = Field(alias="from", description="Where the period begins, after alignment to the timeframe")
    till: datetime = Field(description="Where it ends, not included")
    timezone: str = Field(description="The zone of all times in the answer", examples=["UTC"])
    count: int = Field(description="How many candles this page has")
    coverage: PeriodCoverage
    next_cursor: str | None = Field(description="Asks for the next page; null at the end, and only there")
    version: int = Field(description="Of the series: rises when the answer changes")


class Candle(BaseModel):
    """One bar. Prices are doubles exactly as the exchange sends them."""

    begin: datetime = Field(examples=["2024-01-03T07:00:00Z"])
    open: float
    high: float
    low: float
    close: float
    volume: float = Field(description="In units: shares, bonds, contracts")
    value: float = Field(description="In the currency of the quotes")
    final: bool = Field(description="False while the bar still forms")


class CandleObjects(Envelope):
    """The answer with an object for each candle."""

    candles: list[Candle]


class CandleColumns(Envelope):
    """The answer with an array for each candle."""

    columns: list[Literal["begin", "open", "high", "low", "close", "volume", "value", "final"]]
    rows: list[tuple[datetime, float, float, float, float, float, float, bool]]


def body(wish: CandleWish, answer: CandleAnswer, next_cursor: str | None) -> bytes:
    """Write the answer in the form and the order that was asked for."""
    page = answer.page[::-1] if wish.order == "desc" else answer.page
    if wish.form is Form.CSV:
        return encoding.csv(page, wish.zone)
    start = _envelope(wish, answer, next_cursor).model_dump_json(by_alias=True).encode().removesuffix(b"}")
    if wish.form is Form.COLUMNS:
        return b'%b,"columns":[%b],"rows":%b}' % (start, _COLUMNS, encoding.rows(page, wish.zone))
    return b'%b,"candles":%b}' % (start, encoding.objects(page, wish.zone))


def _envelope(wish: CandleWish, answer: CandleAnswer, next_cursor: str | None) -> Envelope:
    return Envelope(
        security=str(wish.series.security),
        timeframe=wish.series.timeframe,
        time_from=answer.period.time_from.utc.astimezone(wish.zone),
        till=answer.period.time_till.utc.astimezone(wish.zone),
        timezone=str(wish.zone),
        count=len(answer.page),
        coverage=PeriodCoverage(complete=answer.is_complete, gaps=missing_spans(answer.gaps, wish.zone)),
        next_cursor=next_cursor,
        version=answer.version,
    )
