"""The short way to candles: past the framework, which takes longer to read a query than we to answer it.

Whatever is not a plain and good request, and whatever goes wrong, goes the framework's way, on which it is read and
refused as on any other route. So there is one description, one set of errors and one set of limits.
"""

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
    headers = dict(reversed(scope["headers"]))  # the first of a name counts
    if scope["method"] != "GET":
        return None
    try:
        coding = coding_of(headers.get(b"accept-encoding", b"").decode("latin-1"))
        query = _pairs(scope["query_string"].decode("latin-1"))
        sent = CandleParameters.model_validate(dict(query))
        wish = checked(query, sent, headers.get(b"accept", b"*/*").decode("latin-1"))
    except (InputError, HTTPException, ValueError):
        return None
    known = headers.get(b"if-none-match")
    return Call(wish, PATH, query, coding, None if known is None else known.decode("latin-1"))


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
