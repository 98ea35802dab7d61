"""The short way to candles: past the framework, which takes longer to read a query than we to answer it.

Whatever is not a plain and good request, and whatever goes wrong, goes the framework's way, on which it is read and
refused as on any other route. So there is one description, one set of errors and one set of limits.
"""

from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote_plus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import CandleServiceError, InputError
from app.io.rest_api import errors
from app.io.rest_api.coding import coding_of
from app.io.rest_api.remembering import remembering
from app.io.rest_api.v1.candle_call import Answer, Call
from app.io.rest_api.v1.candle_wish import CandleParameters, checked

PATH = "/v1/candles"

_MOST = 4096
_LONGEST = 512
"""Bytes: what callers send is remembered in bounded memory."""
_unquoted = remembering(unquote_plus)


class CandleLane:
    """Answers GET of candles; leaves everything else to what it surrounds."""

    def __init__(self, app: ASGIApp) -> None:
        """Surround the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _call(scope) if scope["type"] == "http" and scope["path"] == PATH else None
        if call is None:
            await self._app(scope, receive, send)
            return
        state = scope["app"].state
        try:
            found = await state.desk.answer(state.kept, call)
        except CandleServiceError as error:
            await (await errors.answer_known(Request(scope), error))(scope, receive, send)
        else:
            await _send(found, send)


def _call(scope: Scope) -> Call | None:
    """Read a request; None for one that is not for this lane."""
    if scope["method"] != "GET":
        return None
    headers = dict(reversed(scope["headers"]))  # the first of a name counts
    sent = scope["query_string"], headers.get(b"accept", b"*/*"), headers.get(b"accept-encoding", b"")
    call = (_read if sum(map(len, sent)) <= _LONGEST else _read.__wrapped__)(*sent)
    known = headers.get(b"if-none-match")
    return call if known is None or call is None else replace(call, if_none_match=known.decode("latin-1"))


@lru_cache(_MOST)
def _read(query_string: bytes, accept: bytes, accept_encoding: bytes) -> Call | None:
    """Read what was sent; None for what is refused. Many ask for the same again and again."""
    try:
        coding = coding_of(accept_encoding.decode("latin-1"))
        query = _pairs(query_string.decode("latin-1"))
        wish = checked(query, CandleParameters.model_validate(dict(query)), accept.decode("latin-1"))
    except (InputError, HTTPException, ValueError):
        return None
    return Call(wish, PATH, query, coding, None)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Read a query as `parse_qsl` does, blank values kept."""
    fields = (field.partition("=") for field in query.split("&") if field)
    return [(_unquoted(name), _unquoted(value)) for name, _, value in fields]


async def _send(found: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in found.headers.items()]
    if found.body:
        headers.append((b"content-length", b"%d" % len(found.body)))
    await send({"type": "http.response.start", "status": found.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": found.body})
