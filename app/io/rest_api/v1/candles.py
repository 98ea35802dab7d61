"""Candles of a series."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from app.bootstrap import Service
from app.core.spans import Period
from app.io.rest_api import caching, errors
from app.io.rest_api.dependencies import ServiceDependency
from app.io.rest_api.v1 import candle_answer
from app.io.rest_api.v1.candle_wish import CandleWish, candle_wish
from app.use_cases.get_candles import CandleAnswer, Coverage, first_covered, get_candles, get_coverage

router = APIRouter(prefix="/candles", tags=["candles"])

_HEADERS = {
    "ETag": {"description": "Strong; send it as `If-None-Match`", "schema": {"type": "string"}},
    "Cache-Control": {
        "description": "Long where the whole period is covered, else `no-cache`",
        "schema": {"type": "string"},
    },
    "Link": {"description": '`rel="next"`: the next page; missing at the end', "schema": {"type": "string"}},
    "Candles-Complete": {
        "description": "`coverage.complete`, for forms without an envelope",
        "schema": {"enum": ["true", "false"]},
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The candles",
        "model": candle_answer.CandleObjects | candle_answer.CandleColumns,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": candle_answer.CSV_EXAMPLE}},
        "headers": _HEADERS,
    },
    304: {"description": "What `If-None-Match` names still holds", "headers": {"ETag": _HEADERS["ETag"]}},
    **errors.responses(400, 404, 406, 422),
}


@router.get("", responses=_RESPONSES, response_class=Response)
async def read_candles(
    wish: Annotated[CandleWish, Depends(candle_wish)],
    service: ServiceDependency,
    request: Request,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an answer that is at hand")] = None,
) -> Response:
    """Read the candles that begin in `[from, till)`, and learn whether the period is complete.

    Both ends are rounded up to the timeframe. A long period comes page by page: follow `next_cursor`, or the `Link`,
    until it is missing. Reading never asks the exchange: what is not stored yet stands in `coverage.gaps`.
    """
    period = await _period(service, wish)
    if if_none_match is not None:
        headers = _headers(request, wish, await get_coverage(service.storage, wish.series, period))
        if caching.is_known(if_none_match, headers["ETag"]):
            return Response(status_code=304, headers={**headers, "Vary": "Accept, Accept-Encoding"})
    answer = await _read(service, wish, period)
    next_cursor = _next_cursor(wish, answer)
    return Response(
        candle_answer.body(wish, answer, next_cursor),
        headers={**_headers(request, wish, answer), **_link(request, next_cursor)},
        media_type=candle_answer.MEDIA_TYPES[wish.form],
    )


async def _read(service: Service, wish: CandleWish, period: Period) -> CandleAnswer:
    return await get_candles(
        service.storage,
        wish.series,
        time_from=period.time_from,
        time_till=period.time_till,
        limit=wish.limit,
        newest_first=wish.is_newest_first,
        part=wish.part,
    )


async def _period(service: Service, wish: CandleWish) -> Period:
    """Fill in the open ends, so that a default never contradicts what was asked for."""
    time_from = wish.time_from or await first_covered(service.storage, wish.series)
    if wish.time_till is None:
        return Period(time_from, max(time_from, await service.clock.now()))
    return Period(time_from if wish.time_from else min(time_from, wish.time_till), wish.time_till)


def _headers(request: Request, wish: CandleWish, coverage: Coverage) -> dict[str, str]:
    """Tag the answer without building it. The gaps are part of the tag: they narrow while the counters rest (I16)."""
    coding = "gzip" if "gzip" in request.headers.get("accept-encoding", "") else "identity"
    form = (str(wish.zone), wish.form, coding)
    etag = caching.strong_etag(
        wish.identity, wish.limit, wish.is_last, wish.part, form, coverage.period, coverage.gaps, coverage.version
    )
    return {
        "ETag": etag,
        "Cache-Control": caching.CLOSED if coverage.is_covered else caching.OPEN,
        "Vary": "Accept",  # the compressing middleware adds its own word
        "Candles-Complete": str(coverage.is_complete).lower(),
    }


def _next_cursor(wish: CandleWish, answer: CandleAnswer) -> str | None:
    if wish.is_last or not answer.has_more:
        return None
    return wish.cursor(answer.period, answer.page.begins[0 if wish.is_newest_first else -1])


def _link(request: Request, next_cursor: str | None) -> Mapping[str, str]:
    if next_cursor is None:
        return {}
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return {"Link": f'<{request.url.path}?{urlencode([*query, ("cursor", next_cursor)])}>; rel="next"'}
