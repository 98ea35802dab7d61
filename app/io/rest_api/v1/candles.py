"""Candles of a series."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from app.io.rest_api import errors
from app.io.rest_api.dependencies import BlocksDependency, ServiceDependency
from app.io.rest_api.v1 import candle_answer, candle_call
from app.io.rest_api.v1.candle_call import Call
from app.io.rest_api.v1.candle_wish import CandleWish, candle_wish

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
    blocks: BlocksDependency,
    request: Request,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an answer that is at hand")] = None,
) -> Response:
    """Read the candles that begin in `[from, till)`, and learn whether the period is complete.

    Both ends are rounded up to the timeframe. A long period comes page by page: follow `next_cursor`, or the `Link`,
    until it is missing. Reading never asks the exchange: what is not stored yet stands in `coverage.gaps`.
    """
    query = request.query_params.multi_items()
    coding = request.headers.get("accept-encoding", "")
    call = Call(wish, request.url.path, query, is_zipped="gzip" in coding, if_none_match=if_none_match)
    answer = await candle_call.answer(service, blocks, call)
    if answer.status == HTTPStatus.OK:
        answer.headers["Vary"] = "Accept"  # the compressing middleware adds its own word
    return Response(answer.body or None, answer.status, answer.headers)
