"""What a request for candles asks for, read and checked."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from app.answers.writing import Form, Writing
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import InputError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.io.parameters import parse_moment, parse_security, parse_timeframe, parse_zone
from app.io.rest_api import cursors
from app.io.rest_api.remembering import remembering
from app.io.rest_api.v1.missing import told_in_progress
from app.use_cases.get_candles import Coverage

MAX_ROWS = 10_000
MAX_WAIT = 30
_POSITION = struct.Struct(">III")  # unix seconds: the period's ends, and where the page before ended; until 2106
_SECOND = timedelta(seconds=1)
_moment = remembering(parse_moment)
_security = remembering(parse_security)


class CandleParameters(BaseModel):
    """The query as it is sent. A parameter nobody knows is refused: a slip would go unnoticed."""

    model_config = ConfigDict(extra="forbid")

    security: str = Field(description="The security, as `BOARD:TICKER`; one a request for now", examples=["TQBR:SBER"])
    timeframe: str = Field(
        description="`M1 M5 M10 M15 M30 H1 H2 H4 D1 W1 MN1 Q1`, or an alias such as `1h`", examples=["H1"]
    )
    time_from: str | None = Field(
        None,
        alias="from",
        description="Where the period begins: a date, RFC 3339 (without an offset it is Moscow time), or unix seconds "
        "or milliseconds. By default where the series begins",
        examples=["2024-01-03"],
    )
    till: str | None = Field(
        None,
        description="Where the period ends, not included; a bare date means through that day. By default now",
        examples=["2024-01-03T19:00:00+03:00"],
    )
    limit: int = Field(1000, ge=1, le=MAX_ROWS, description="How many candles an answer has at most")
    cursor: str | None = Field(None, description="The `next_cursor` of the answer before; the rest of the query stays")
    order: Literal["asc", "desc"] = Field("asc", description="Oldest or newest first")
    last: int | None = Field(
        None, ge=1, le=MAX_ROWS, description="Only the newest so many, oldest first; without limit, order and cursor"
    )
    tz: str = Field("UTC", description="The zone in which times are written, an IANA name", examples=["Europe/Moscow"])
    shape: Literal["objects", "columns"] = Field("objects", description="JSON: an object a candle, or arrays")
    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT,
        allow_inf_nan=False,
        description="How many seconds to wait for candles of this page that are being loaded, if there are any",
        examples=[5],
    )
    format: Literal["json", "csv"] | None = Field(None, description="By default what `Accept` asks for, else JSON")


@dataclass(frozen=True, slots=True)
class CandleWish:
    """A checked request: open ends are None, `part` is what is left behind a cursor.

    `asked` are the ends as the query has them, where a cursor has filled in `time_from` and `time_till`. `under_way`:
    what is being loaded for who asks.
    """

    series: Series
    time_from: Timestamp | None
    time_till: Timestamp | None
    limit: int
    order: Literal["asc", "desc"]
    is_last: bool
    zone: tzinfo
    form: Form
    asked: tuple[Timestamp | None, Timestamp | None]
    part: Period | None = None
    wait: float = 0
    under_way: Period | None = None

    @property
    def is_newest_first(self) -> bool:
        return self.is_last or self.order == "desc"

    @property
    def writing(self) -> Writing:
        return Writing(self.form, self.zone, self.order == "desc")

    def told(self, coverage: Coverage) -> Coverage:
        """Say of what is under way that it is in progress."""
        if self.under_way is None or coverage.is_covered:
            return coverage
        return replace(coverage, gaps=told_in_progress(coverage.gaps, self.under_way))

    def shown(self, period: Period, page: CandlePage) -> Period:
        """Return the part of a period that a page shows: a full one up to its last candle, whatever lies behind."""
        window = period if self.part is None else period & self.part
        if len(page) < self.limit:
            return window
        if self.is_newest_first:
            return replace(window, time_from=page[0].timestamp)
        return replace(window, time_till=page[-1].timestamp + _SECOND)

    def behind(self, cursor: str) -> "CandleWish":
        """Return the wish for what a cursor leaves, in the period that the first page had."""
        position = cursors.unseal(cursor, *self._identity)
        if len(position) != _POSITION.size:
            raise cursors.BadCursorError
        time_from, time_till, begin = map(Timestamp.from_unix, _POSITION.unpack(position))
        if not time_from <= begin < time_till:
            raise cursors.BadCursorError
        part = Period(time_from, begin) if self.is_newest_first else Period(begin + _SECOND, time_till)
        return replace(self, time_from=time_from, time_till=time_till, part=part)

    def cursor(self, period: Period, begin: int) -> str:
        """Write the cursor behind the candle that begins there (unix seconds)."""
        return cursors.seal(_POSITION.pack(period.time_from.unix, period.time_till.unix, begin), *self._identity)

    @property
    def _identity(self) -> tuple[str, ...]:
        """What makes a cursor this query's; page size and form may change on the way."""
        return (str(self.series), *map(str, self.asked), self.order)


async def candle_wish(request: Request, sent: Annotated[CandleParameters, Query()]) -> CandleWish:
    """Read and check the query."""
    return checked(request.query_params.multi_items(), sent, request.headers.get("accept", "*/*"))


def checked(pairs: Sequence[tuple[str, str]], sent: CandleParameters, accept: str) -> CandleWish:
    """Check what the model cannot."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(twice[0], "is given more than once: one value a request")
    if sent.last is not None and sent.model_fields_set & {"limit", "order", "cursor"}:
        raise InputError("last", "goes without limit, order and cursor: it is all of them at once")
    ends = (
        None if sent.time_from is None else _moment(sent.time_from, "from"),
        None if sent.till is None else _moment(sent.till, "till", is_end=True),
    )
    wish = CandleWish(
        Series(_security(sent.security), parse_timeframe(sent.timeframe)),
        *ends,
        sent.last or sent.limit,
        sent.order,
        sent.last is not None,
        parse_zone(sent.tz),
        _form(sent, accept),
        ends,
        wait=sent.wait,
    )
    return wish if sent.cursor is None else wish.behind(sent.cursor)


def _form(sent: CandleParameters, accept: str) -> Form:
    """Choose the form: `format` wins over `Accept`, which is read for what it names, not for its weights."""
    if sent.format is None:
        ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        if not ranges & {"", "*/*", "application/*", "application/json", "text/*", "text/csv"}:
            raise HTTPException(406, "candles are written as application/json and text/csv")
        is_csv = not ranges & {"", "*/*", "application/*", "application/json"}
    else:
        is_csv = sent.format == "csv"
    return Form.CSV if is_csv else Form(sent.shape)
