"""An answer of candles: its documented shape, and its bytes. Only what surrounds the candles passes through a model."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.answers import encoding
from app.answers.rows import Rows
from app.answers.writing import Form
from app.core.entities import Timeframe
from app.io.rest_api.v1.candle_wish import CandleWish
from app.io.rest_api.v1.coverage import MissingSpan, missing_spans
from app.use_cases.get_candles import Coverage

MEDIA_TYPES = {Form.OBJECTS: "application/json", Form.COLUMNS: "application/json", Form.CSV: "text/csv; charset=utf-8"}
CSV_EXAMPLE = ",".join(encoding.COLUMNS) + "\r\n2024-01-03T07:00:00Z,271.9,272.5,271.8,272.1,1200.0,326520.0,true\r\n"

_COLUMNS = ",".join(f'"{name}"' for name in encoding.COLUMNS).encode()
_NAMES = {Form.OBJECTS: b',"candles":', Form.COLUMNS: b',"columns":[%b],"rows":' % _COLUMNS}


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


def body(wish: CandleWish, coverage: Coverage, rows: Rows, next_cursor: str | None) -> bytes:
    """Put an answer together in the form that was asked for."""
    pieces = wish.writing.layout.whole(rows.parts)
    if wish.form is Form.CSV:
        return b"".join(pieces)
    if coverage.is_covered and wish.zone is UTC:
        start = _plain(wish, coverage, rows.count, next_cursor)
    else:
        start = _envelope(wish, coverage, rows.count, next_cursor).removesuffix(b"}")
    return b"".join((start, _NAMES[wish.form], *pieces, b"}"))


def _plain(wish: CandleWish, coverage: Coverage, count: int, next_cursor: str | None) -> bytes:
    """Write what `_envelope` does, where there is nothing to explain; none of these texts needs escaping."""
    cursor = "null" if next_cursor is None else f'"{next_cursor}"'
    return (
        f'{{"security":"{wish.series.security}","timeframe":"{wish.series.timeframe}",'
        f'"from":"{coverage.period.time_from}","till":"{coverage.period.time_till}","timezone":"UTC","count":{count},'
        f'"coverage":{{"complete":true,"gaps":[]}},"next_cursor":{cursor},"version":{coverage.version}'
    ).encode()


def _envelope(wish: CandleWish, coverage: Coverage, count: int, next_cursor: str | None) -> bytes:
    envelope = Envelope(
        security=str(wish.series.security),
        timeframe=wish.series.timeframe,
        time_from=coverage.period.time_from.utc.astimezone(wish.zone),
        till=coverage.period.time_till.utc.astimezone(wish.zone),
        timezone=str(wish.zone),
        count=count,
        coverage=PeriodCoverage(complete=coverage.is_complete, gaps=missing_spans(coverage.gaps, wish.zone)),
        next_cursor=next_cursor,
        version=coverage.version,
    )
    return envelope.model_dump_json(by_alias=True).encode()
