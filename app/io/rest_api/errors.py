"""Every error as problem details (RFC 9457): one table from what went wrong to what the caller gets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from app.core.errors import (
    BoardNotFoundError,
    CandleServiceError,
    FollowLimitError,
    InputError,
    LookupLimitError,
    NotFoundError,
    SchemaMismatchError,
    SecurityNotFoundError,
    SeriesChangedError,
    SeriesNotFoundError,
    SourceError,
    SourceMismatchError,
    SourcePausedError,
    SourceSignInError,
    SourceUnavailableError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
    UpdateNotFoundError,
)
from app.io.columnar import MissingArrowError
from app.io.rest_api.cursors import BadCursorError

MEDIA_TYPE = "application/problem+json"

_log = structlog.stdlib.get_logger(__name__)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class InputProblem(BaseModel):
    """One thing that is wrong with the request."""

    parameter: str = Field(description="The parameter, or the field of the body", examples=["from"])
    detail: str = Field(description="What is wrong with it, and what would be right")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="The kind of problem, stable; `about:blank` where the status says it all",
        examples=["urn:moex-candles:problem:invalid-input"],
    )
    title: str = Field(description="The kind of problem for people", examples=["The request makes no sense"])
    status: int = Field(description="The HTTP status", examples=[422])
    detail: str = Field(description="What went wrong this time, and the way out")
    instance: str = Field(description="The path that was asked for", examples=["/v1/candles"])
    request_id: str = Field(description="The `X-Request-ID` of the answer, by which the log knows it")
    errors: list[InputProblem] | None = Field(None, description="For input errors: what is wrong, by parameter")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of problem. `detail` is set where the error's own words concern the operator and stay in the log."""

    status: int
    slug: str
    title: str
    detail: str | None = None
    retry_after: int | None = None


_KINDS: Mapping[type[Exception], _Kind] = {
    BadCursorError: _Kind(400, "bad-cursor", "The cursor belongs to another query"),
    InputError: _Kind(422, "invalid-input", "The request makes no sense"),
    RequestValidationError: _Kind(422, "invalid-input", "The request makes no sense"),
    SecurityNotFoundError: _Kind(404, "security-not-found", "There is no such security"),
    BoardNotFoundError: _Kind(404, "board-not-found", "No such board"),
    SeriesNotFoundError: _Kind(404, "series-not-found", "Nobody follows this series"),
    UpdateNotFoundError: _Kind(404, "update-not-found", "There is no such update"),
    FollowLimitError: _Kind(409, "follow-limit", "No more is followed for who asks"),
    LookupLimitError: _Kind(429, "lookup-limit", "Too many unknown codes were asked for", retry_after=600),
    NotFoundError: _Kind(404, "not-found", "There is no such thing"),
    SeriesChangedError: _Kind(503, "series-changed", "The candles changed while they were read", retry_after=1),
    MissingArrowError: _Kind(501, "arrow-missing", "This form was not installed"),
    SourcePausedError: _Kind(
        503,
        "source-paused",
        "The exchange is left alone",
        "The exchange failed too often and is left alone for now",
        30,
    ),
    SourceSignInError: _Kind(
        502, "source-sign-in", "The exchange refuses our sign-in", "The exchange refuses our sign-in: the log says more"
    ),
    SourceUnavailableError: _Kind(
        503, "source-unavailable", "The exchange does not answer", "The exchange does not answer: try again later", 30
    ),
    SourceError: _Kind(
        502, "source-failed", "The exchange failed us", "The exchange gave no usable answer: the log says more"
    ),
    StorageBusyError: _Kind(
        503, "storage-busy", "The database is busy", "Other writers took longer than the patience: try again", 1
    ),
    StorageUnavailableError: _Kind(
        503, "storage-unavailable", "The database is away", "The database cannot be reached: try again later", 5
    ),
    SchemaMismatchError: _Kind(
        503, "schema-mismatch", "The database has other tables", "The database waits for its migration", 60
    ),
    SourceMismatchError: _Kind(
        503, "source-mismatch", "The database is another exchange's", "The database was filled from another source", 60
    ),
    StorageError: _Kind(500, "storage-failed", "The database failed us", "The database refused: the log says more"),
}
_UNEXPECTED = _Kind(
    500, "internal-error", "An error of ours", "Something is wrong with this service: the log says more"
)


def install(app: FastAPI) -> None:
    """Answer every error the routes raise; what nobody foresaw is the middleware's (`unexpected`)."""
    for kind in (CandleServiceError, RequestValidationError):
        app.add_exception_handler(kind, answer_known)
    app.add_exception_handler(HTTPException, _answer_http)


def unexpected(path: str, request_id: str) -> Response:
    """Answer an error nobody foresaw, without a word of it."""
    return _answer(_problem(_UNEXPECTED, _UNEXPECTED.title, path, request_id), {})


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe these errors, and the ones that can meet any request, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in (*statuses, 500, 503)}


async def answer_known(request: Request, error: Exception) -> Response:
    """Answer an error of ours."""
    kind = next(_KINDS[cls] for cls in type(error).__mro__ if cls in _KINDS)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("request failed", kind=kind.slug, error=str(error))
    found = _input_problems(error)
    detail = "; ".join(f"{one.parameter}: {one.detail}" for one in found) or str(error)
    problem = _problem(kind, detail, request.scope["path"], request.state.request_id, found)
    return _answer(problem, _retry_after(kind, error))


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what the framework raises: unknown paths, other methods, bodies it cannot read."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for it
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail=str(error.detail),
        instance=quote(request.scope["path"]),
        request_id=request.state.request_id,
    )
    return _answer(problem, headers)


def _problem(kind: _Kind, detail: str, path: str, request_id: str, found: Sequence[InputProblem] = ()) -> Problem:
    return Problem(
        type=f"urn:moex-candles:problem:{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=kind.detail or detail,
        instance=quote(path),
        request_id=request_id,
        errors=list(found) or None,
    )


def _answer(problem: Problem, headers: Mapping[str, str]) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, {**headers, "Cache-Control": "no-store"}, MEDIA_TYPE)


def _input_problems(error: Exception) -> list[InputProblem]:
    if isinstance(error, InputError):
        return [InputProblem(parameter=error.field, detail=str(error))]
    if isinstance(error, RequestValidationError):
        return [InputProblem(parameter=_name(one["loc"]), detail=one["msg"]) for one in error.errors()]
    return []


def _name(location: Sequence[int | str]) -> str:
    """Name the parameter, or the path within the body; a caller's own names may hold what is no text."""
    name = ".".join(map(str, location[1:])) or str(location[0])
    return name.encode(errors="backslashreplace").decode()


def _retry_after(kind: _Kind, error: Exception) -> dict[str, str]:
    asked = error.retry_after if isinstance(error, SourceUnavailableError) else None
    seconds = kind.retry_after if asked is None else math.ceil(asked)
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _allowed(request: Request) -> list[str]:
    """List what the path can do: the framework names the methods of the first route only."""
    routes: Sequence[BaseRoute] = request.app.routes
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, "HEAD"] if "GET" in found else found
