"""One request for candles and its answer, whatever framework brought it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote_plus

from app.answers.kept import Kept
from app.answers.written import Written
from app.bootstrap import Service
from app.core.errors import SeriesChangedError
from app.io.rest_api import caching
from app.io.rest_api.coding import Coding
from app.io.rest_api.remembering import remembering
from app.io.rest_api.v1.candle_answer import MEDIA_TYPES
from app.io.rest_api.v1.candle_wish import CandleWish
from app.io.rest_api.v1.candle_writer import CandleWriter
from app.use_cases.look_at_candles import Look, look_at_candles

_LOOKS = 3
"""How often a series may be corrected during a request before all is read in one transaction."""
_quoted = remembering(quote_plus)


@dataclass(frozen=True, slots=True)
class Call:
    """What was sent. `query` holds names and values in their order."""

    wish: CandleWish
    path: str
    query: Sequence[tuple[str, str]]
    coding: Coding
    if_none_match: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back. `look`: what is known of the period, None where all of it is covered."""

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes
    look: Look | None = None


async def answer(service: Service, kept: Kept, call: Call) -> Answer:
    """Answer with candles, or that the caller has them already. Raises what `get_candles` does."""
    wish, writer = call.wish, CandleWriter(service.storage, kept, call.wish, call.coding)
    ahead = writer.ahead
    if ahead is None and call.if_none_match is None and (written := await writer.at_first_sight()) is not None:
        return _answer(call, written) if written.is_complete else await _looked_at(service, call, written)
    till = wish.time_till or await service.clock.now()
    for _ in range(_LOOKS):
        look = await look_at_candles(service.storage, wish.series, wish.time_from, till, is_open=wish.time_till is None)
        coverage = look.coverage
        tag = writer.tag(coverage)
        if call.if_none_match is not None and caching.is_known(call.if_none_match, tag):
            headers = _headers(tag, is_covered=coverage.is_covered, is_complete=coverage.is_complete)
            return Answer(HTTPStatus.NOT_MODIFIED, headers, b"", look)
        try:
            return replace(_answer(call, await writer.written(look, tag, ahead)), look=look)
        except SeriesChangedError:
            continue
    return replace(_answer(call, await writer.all_at_once(look)), look=look)


async def _looked_at(service: Service, call: Call, written: Written) -> Answer:
    """Answer with what was written at first sight, and say what of it is missing."""
    wish = call.wish
    till = wish.time_till or await service.clock.now()
    look = await look_at_candles(service.storage, wish.series, wish.time_from, till, is_open=False)
    return replace(_answer(call, written), look=look)


def _answer(call: Call, written: Written) -> Answer:
    headers = _headers(written.tag, is_covered=written.is_covered, is_complete=written.is_complete)
    headers["Content-Type"] = MEDIA_TYPES[call.wish.form]
    if written.is_packed:
        headers["Content-Encoding"] = "gzip"
    if written.next_cursor is not None:
        query = [f"{_quoted(name)}={_quoted(value)}" for name, value in call.query if name != "cursor"]
        headers["Link"] = f'<{call.path}?{"&".join([*query, f"cursor={written.next_cursor}"])}>; rel="next"'
    return Answer(HTTPStatus.OK, headers, written.body)


def _headers(tag: str, *, is_covered: bool, is_complete: bool) -> dict[str, str]:
    return {
        "ETag": tag,
        "Cache-Control": caching.CLOSED if is_covered else caching.OPEN,
        "Candles-Complete": str(is_complete).lower(),
        "Vary": "Accept, Accept-Encoding",
    }
