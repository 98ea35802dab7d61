"""What surrounds every request. Pure ASGI: Starlette's own base class would lose the context of the log."""

import re
import secrets
import time
from functools import cached_property
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.io.rest_api import errors

REQUEST_ID = "X-Request-ID"
MAX_BODY = 64 * 1024
"""Bytes; the largest body anyone has a reason to send is a hundredth of it."""

_V1 = "/v1"
_SHORT_WAY = "/v1/candles"
"""Answered before any route is looked for."""
_CUT = 499
"""The status of a request that ended before it had one, as others call it."""
_REQUEST_ID_HEADER = REQUEST_ID.lower().encode()
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_log = structlog.stdlib.get_logger(__name__)


class RequestContext:
    """Give each request its id, in the log and in the answer; log one line; answer 500 for what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        """Surround the app: this must be the outermost middleware."""
        self._app = app

    @cached_property
    def _log(self) -> structlog.stdlib.BoundLogger:
        """The logger as it is set up when the first request comes; to ask for it each time costs as much as a line."""
        bound: structlog.stdlib.BoundLogger = _log.bind()
        return bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id)
        begun = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            try:
                await self._app(scope, receive, answer)
            except Exception:
                self._log.exception("request crashed")
                if answer.status is not None:  # half an answer is out: the server must cut the connection
                    raise
                await errors.unexpected(scope["path"], request_id)(scope, receive, answer)
            finally:
                seconds = time.perf_counter() - begun
                if (metrics := scope["app"].state.metrics) is not None:
                    metrics.observe(_route(scope), answer.status or _CUT, seconds)
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=quote(scope["path"]),
                    status=answer.status,
                    ms=round(seconds * 1000, 1),
                )
        finally:
            structlog.contextvars.reset_contextvars(**bound)


class _Answer:
    """The way out of one request: adds the id, remembers the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (_REQUEST_ID_HEADER, self._request_id.encode())]
        await self._send(message)


class HeadAsGet:
    """Answer HEAD wherever GET is answered: the same headers, no body."""

    def __init__(self, app: ASGIApp) -> None:
        """Surround the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        is_over = False

        async def send_headers(message: Message) -> None:
            nonlocal is_over
            if message["type"] == "http.response.body":
                if is_over:
                    return
                is_over = True  # a stream hears of it, and ends there
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_headers)


class BodyLimit:
    """Refuse bodies above `MAX_BODY` before they are read into memory."""

    def __init__(self, app: ASGIApp) -> None:
        """Surround the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def receive_some() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise HTTPException(413, f"a body has at most {MAX_BODY} bytes")
            return message

        await self._app(scope, receive_some, send)


def _route(scope: Scope) -> str:
    """Return the pattern of the path, of which there are few: who asks for what is not there invents no others."""
    if scope["path"] == _SHORT_WAY:
        return _SHORT_WAY
    route = scope.get("route")
    if route is None:
        return "none"
    return f"{_V1 if scope['path'].startswith(_V1) else ''}{route.path}"  # a route does not know what it was put below


def _request_id(given: str | None) -> str:
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
