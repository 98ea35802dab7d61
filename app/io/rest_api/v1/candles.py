"""Candles of a series."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response

from app.io.rest_api import errors
from app.io.rest_api.coding import COMPRESS_FROM, coding_of
from app.io.rest_api.dependencies import DeskDependency, KeptDependency
from app.io.rest_api.v1 import candle_answer
from app.io.rest_api.v1.candle_call import Call
from app.io.rest_api.v1.candle_wish import CandleWish, candle_wish

router = APIRouter(prefix="/candles", tags=["candles"])

_HEADERS = {
    "ETag": {"description": "Strong; send it as `If-None-Match`", "schema": {"type": "string"}},
    "Cache-Control": {
        "description": "Long where the whole period is covered, else `no-cache`",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": '`rel="next"`: the next page; missing at the end. `rel="monitor"`: how far the load is that was '
        "asked for",
        "schema": {"type": "string"},
    },
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
    **errors.responses(400, 404, 406, 409, 422, 429, 502),
}


@router.get("", responses=_RESPONSES, response_class=Response)
async def read_candles(
    wish: Annotated[CandleWish, Depends(candle_wish)],
    desk: DeskDependency,
    kept: KeptDependency,
    request: Request,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an answer that is at hand")] = None,
) -> Response:
    """Read the candles that begin in `[from, till)`, and learn whether the period is complete.

    Both ends are rounded up to the timeframe. A long period comes page by page: follow `next_cursor`, or the `Link`,
    until it is missing. What is not stored yet stands in `coverage.gaps`.

    What nobody follows is followed from now on because of the question, in this timeframe and since `from` (unless the
    service is set up not to, `FOLLOW_ON_QUERY`), and so is a time before what is followed begins. It is then loaded
    before all else, newest candles first: `coverage` calls it `in_progress`, the `Link` with `rel="monitor"` tells how
    far that is, and with `wait` the answer is held until the candles of this page are there, or time is up.
    """
    query = request.query_params.multi_items()
    coding = coding_of(request.headers.get("accept-encoding", ""))
    answer = await desk.answer(kept, Call(wish, request.url.path, query, coding, if_none_match))
    if len(answer.body) >= COMPRESS_FROM and "Content-Encoding" not in answer.headers:
        answer.headers["Vary"] = "Accept"  # the compressing middleware adds its own word
    return Response(answer.body or None, answer.status, answer.headers)
