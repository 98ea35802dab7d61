"""One request for candles and its answer, whatever framework brought it."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote_plus

from app.bootstrap import Service
from app.core.errors import SeriesChangedError
from app.core.repository import IStorage
from app.core.spans import Period
from app.io.rest_api import caching
from app.io.rest_api.blocks import Blocks
from app.io.rest_api.remembering import remembering
from app.io.rest_api.v1 import candle_answer
from app.io.rest_api.v1.candle_rows import Cut, Rows, covered_rows, is_wanted, open_rows
from app.io.rest_api.v1.candle_wish import CandleWish
from app.use_cases.get_candles import Coverage, aligned, get_candles
from app.use_cases.look_at_candles import Look, look_at_candles, read_at_once

COMPRESS_FROM = 1024
"""Bytes of a body that is worth compressing."""

_LOOKS = 3
"""How often a series may be corrected during a request before all is read in one transaction."""
_VARY = "Accept, Accept-Encoding"
_quoted = remembering(quote_plus)


@dataclass(frozen=True, slots=True)
class Call:
    """What was sent. `query` holds names and values in their order; `is_zipped`: the answer will be compressed."""

    wish: CandleWish
    path: str
    query: Sequence[tuple[str, str]]
    is_zipped: bool
    if_none_match: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back."""

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes


async def answer(service: Service, blocks: Blocks, call: Call) -> Answer:
    """Answer with candles, or that the caller has them already. Raises what `get_candles` does."""
    if (found := await _at_first_sight(service.storage, blocks, call)) is not None:
        return found
    wish = call.wish
    till = wish.time_till or await service.clock.now()
    for _ in range(_LOOKS):
        look = await look_at_candles(service.storage, wish.series, wish.time_from, till, is_open=wish.time_till is None)
        if call.if_none_match is not None:
            headers = _headers(call, look.coverage)
            if caching.is_known(call.if_none_match, headers["ETag"]):
                return Answer(HTTPStatus.NOT_MODIFIED, {**headers, "Vary": _VARY}, b"")
        try:
            rows = await _rows(service.storage, blocks, look, wish)
        except SeriesChangedError:
            continue
        if rows is not None:
            return _answer(call, look.coverage, rows)
        break
    return _answer(call, *await _all_at_once(service.storage, look, wish))


async def _at_first_sight(storage: IStorage, blocks: Blocks, call: Call) -> Answer | None:
    """Answer with one question where both ends are known and nothing is kept; None where that is not enough."""
    wish = call.wish
    if wish.time_from is None or wish.time_till is None or call.if_none_match or wish.series.timeframe.is_derived:
        return None
    period = aligned(wish.series.timeframe, wish.time_from, wish.time_till)
    cut = _cut(wish, period)
    if not cut.window or is_wanted(blocks, wish.series, cut):
        return None
    found = await read_at_once(
        storage, wish.series, period, cut.window, limit=cut.limit + 1, newest_first=cut.newest_first
    )
    return None if found is None else _answer(call, found[0].coverage, cut.rows(found[1]))


async def _rows(storage: IStorage, blocks: Blocks, look: Look, wish: CandleWish) -> Rows | None:
    """Return candles that belong to what was looked at; None if there are none to be had without a transaction."""
    cut = _cut(wish, look.coverage.period)
    if not look.coverage.is_covered:
        return await open_rows(storage, look, cut)
    return await covered_rows(storage, blocks, look, cut)


def _cut(wish: CandleWish, period: Period) -> Cut:
    window = period if wish.part is None else period & wish.part
    return Cut(window, wish.limit, wish.is_newest_first, wish.writing)


async def _all_at_once(storage: IStorage, look: Look, wish: CandleWish) -> tuple[Coverage, Rows]:
    """Read coverage and candles in one transaction."""
    period = look.coverage.period
    answer = await get_candles(
        storage,
        wish.series,
        time_from=period.time_from,
        time_till=period.time_till,
        limit=wish.limit,
        newest_first=wish.is_newest_first,
        part=wish.part,
    )
    newest_first, has_more = wish.is_newest_first, answer.has_more
    return answer, Rows.of(answer.page, wish.writing, newest_first=newest_first, has_more=has_more)


def _answer(call: Call, coverage: Coverage, rows: Rows) -> Answer:
    wish, next_cursor = call.wish, None
    if rows.has_more and rows.edge is not None and not wish.is_last:
        next_cursor = wish.cursor(coverage.period, rows.edge)
    body = candle_answer.body(wish, coverage, rows, next_cursor)
    headers = {
        **_headers(call, coverage),
        "Vary": _VARY if len(body) >= COMPRESS_FROM else "Accept",
        "Content-Type": candle_answer.MEDIA_TYPES[wish.form],
    }
    if next_cursor is not None:
        query = [f"{_quoted(name)}={_quoted(value)}" for name, value in call.query if name != "cursor"]
        headers["Link"] = f'<{call.path}?{"&".join([*query, f"cursor={next_cursor}"])}>; rel="next"'
    return Answer(HTTPStatus.OK, headers, body)


def _headers(call: Call, coverage: Coverage) -> dict[str, str]:
    """Tag the answer without building it. The gaps are part of the tag: they narrow while the counters rest (I16)."""
    wish, period, part = call.wish, coverage.period, call.wish.part
    etag = caching.strong_etag(
        str(wish.series),
        wish.order,
        wish.limit,
        wish.is_last,
        wish.writing.key,
        call.is_zipped,
        period.time_from.unix,
        period.time_till.unix,
        part and (part.time_from.unix, part.time_till.unix),
        [*coverage.gaps],
        coverage.version,
    )
    return {
        "ETag": etag,
        "Cache-Control": caching.CLOSED if coverage.is_covered else caching.OPEN,
        "Candles-Complete": str(coverage.is_complete).lower(),
    }
