"""Securities as JSON."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, Field

from app.core.entities import Timeframe
from app.core.freshness import Freshness
from app.io.chains import chain_object
from app.io.rest_api.freshness_answer import SeriesFreshness, utc
from app.io.rest_api.v1.coverage import MissingSpan, Span, missing_spans
from app.use_cases.create_security import FollowedSecurity
from app.use_cases.get_spans import SeriesCoverage

_ORDER = list(Timeframe)


class FollowedSeries(SeriesFreshness):
    """What is followed in one timeframe, and how current it is."""

    followed_from: datetime | None
    as_of: datetime | None = Field(description="When the exchange gave the freshest answer that is stored")
    watermark: datetime | None = Field(description="Bars that end at or before this can be final")
    version: int
    history_version: int

    @classmethod
    def of(cls, found: Freshness) -> Self:
        state = found.state
        return cls(
            followed_from=utc(state.followed_from),
            as_of=utc(state.as_of),
            watermark=utc(state.watermark),
            version=state.version,
            history_version=state.history_version,
            **cls.fields(found),
        )


class FormerName(BaseModel):
    """A ticker that the security had before."""

    ticker: str = Field(examples=["TCSG"])
    until: date = Field(description="Its last day")


class NextName(BaseModel):
    """The security that this one continues as: ask for its candles there."""

    security: str = Field(examples=["TQBR:T"])
    since: date = Field(description="Its first day")


class Move(BaseModel):
    """A change of the board on which the ticker mainly trades."""

    from_board: str = Field(examples=["TQTF"])
    to_board: str = Field(examples=["TQBR"])
    since: date = Field(description="The first day on the new board")


class SecurityAnswer(BaseModel):
    """A security as the exchange describes it, and what is followed of it."""

    security: str = Field(examples=["TQBR:SBER"])
    ticker: str
    board: str
    engine: str
    market: str
    name: str
    short_name: str
    isin: str | None
    kind: str | None
    decimals: int | None
    is_traded: bool
    is_primary: bool
    listed_from: date | None
    listed_till: date | None
    secid: str = Field(description="The ticker as the exchange spells it", examples=["SBER"])
    latin_name: str
    lot: int | None = Field(description="How many units a lot has")
    currency: str | None
    primary_board: str | None
    history_from: date | None
    history_till: date | None
    expires: date | None = Field(description="The last day of a contract, or the day a bond is repaid")
    formerly: list[FormerName] = Field(description="Latest first. Candles of other tickers are never stitched on")
    continues_as: NextName | None = Field(description="Set when this ticker was replaced")
    moves: list[Move] = Field(description="From board to board, oldest first")
    series: list[FollowedSeries] = Field(description="Shortest timeframe first")

    @classmethod
    def of(cls, followed: FollowedSecurity, judged: Iterable[Freshness]) -> Self:
        security = followed.card.security
        ordered = sorted(judged, key=lambda each: _ORDER.index(each.state.series.timeframe))
        series = [FollowedSeries.of(each) for each in ordered]
        named = {"security": str(security), "ticker": security.ticker, "board": security.board, "series": series}
        return cls.model_validate({**asdict(followed.card), **chain_object(followed), **named})


class SecurityList(BaseModel):
    """A page of securities, by board and ticker."""

    securities: list[SecurityAnswer]
    count: int = Field(description="How many securities this page has")
    next_cursor: str | None = Field(description="Asks for the next page; null at the end, and only there")


class SeriesSpans(BaseModel):
    """What is stored of one timeframe and what is missing, both oldest first."""

    timeframe: Timeframe
    followed_from: datetime | None
    watermark: datetime | None
    version: int
    history_version: int
    spans: list[Span]
    gaps: list[MissingSpan]

    @classmethod
    def of(cls, coverage: SeriesCoverage) -> Self:
        return cls(
            timeframe=coverage.series.timeframe,
            followed_from=utc(coverage.followed_from),
            watermark=utc(coverage.watermark),
            version=coverage.version,
            history_version=coverage.history_version,
            spans=[Span.of(span.time_from, span.time_till) for span in coverage.spans],
            gaps=missing_spans(coverage.gaps),
        )


class SecuritySpans(BaseModel):
    """The coverage of a security."""

    security: str = Field(examples=["TQBR:SBER"])
    series: list[SeriesSpans] = Field(description="Shortest timeframe first")
