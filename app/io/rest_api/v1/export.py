"""Candles of a series as a file of any size."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import Send

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import InputError
from app.io.exporting import CandleWriter, open_writer, write_out
from app.io.forms import FileForm
from app.io.parameters import parse_moment, parse_security, parse_timeframe, parse_zone
from app.io.rest_api import caching, errors
from app.io.rest_api.dependencies import DeskDependency, ServiceDependency
from app.use_cases.export_candles import CandleExport, export_candles, export_period

router = APIRouter(prefix="/candles/export", tags=["candles"])

_MEDIA_TYPES = {
    FileForm.CSV: "text/csv",
    FileForm.NDJSON: "application/x-ndjson",
    FileForm.ARROW: "application/vnd.apache.arrow.stream",
    FileForm.PARQUET: "application/vnd.apache.parquet",
}
BINARY = tuple(media_type for form, media_type in _MEDIA_TYPES.items() if not form.is_text)
"""Media types that are packed already, or read without being unpacked."""

_PIECE = 256 * 1024
_PATIENCE = 60  # seconds for a piece: slower than a modem is gone
_STRING = {"schema": {"type": "string"}}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_HEADERS = {
    "ETag": {"description": "Strong; send it as `If-None-Match`", **_STRING},
    "Cache-Control": {"description": "Long where the whole period is covered, else `no-cache`", **_STRING},
    "Candles-Complete": {
        "description": "Whether all that the exchange has of the period is stored and final",
        "schema": {"enum": ["true", "false"]},
    },
    "Content-Disposition": {"description": "A name for the file", **_STRING},
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The candles. A file that could not be written to its end has no last chunk",
        "content": {media: _STRING if form.is_text else _BYTES for form, media in _MEDIA_TYPES.items()},
        "headers": _HEADERS,
    },
    304: {"description": "What `If-None-Match` names still holds", "headers": {"ETag": _HEADERS["ETag"]}},
    **errors.responses(404, 406, 422, 501),
}


class ExportParameters(BaseModel):
    """The query as it is sent. A parameter nobody knows is refused: a slip would go unnoticed."""

    model_config = ConfigDict(extra="forbid")

    security: str = Field(description="The security, as `BOARD:TICKER`", examples=["TQBR:SBER"])
    timeframe: str = Field(
        description="`M1 M5 M10 M15 M30 H1 H2 H4 D1 W1 MN1 Q1`, or an alias such as `1h`", examples=["M1"]
    )
    time_from: str | None = Field(
        None,
        alias="from",
        description="Where the period begins. By default where the series does",
        examples=["2024-01-03"],
    )
    till: str | None = Field(
        None,
        description="Where it ends, not included; a bare date means through that day. By default where the series is "
        "covered: with everything that is final",
        examples=["2024-01-31"],
    )
    tz: str = Field("UTC", description="The zone in which times are written, an IANA name", examples=["Europe/Moscow"])
    format: FileForm | None = Field(None, description="By default what `Accept` asks for, else CSV")


@dataclass(frozen=True, slots=True)
class ExportWish:
    """A checked request: open ends are None."""

    series: Series
    time_from: Timestamp | None
    time_till: Timestamp | None
    zone: tzinfo
    form: FileForm


async def export_wish(request: Request, sent: Annotated[ExportParameters, Query()]) -> ExportWish:
    """Read and check the query."""
    if twice := [name for name in request.query_params if len(request.query_params.getlist(name)) > 1]:
        raise InputError(twice[0], "is given more than once: one value a request")
    return ExportWish(
        Series(parse_security(sent.security), parse_timeframe(sent.timeframe)),
        None if sent.time_from is None else parse_moment(sent.time_from, "from"),
        None if sent.till is None else parse_moment(sent.till, "till", is_end=True),
        parse_zone(sent.tz),
        sent.format or _accepted(request.headers.get("accept", "*/*")),
    )


@router.get("", responses=_RESPONSES, response_class=StreamingResponse)
async def export(
    wish: Annotated[ExportWish, Depends(export_wish)],
    service: ServiceDependency,
    desk: DeskDependency,
    request: Request,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of an answer that is at hand")] = None,
) -> Response:
    """Read all candles that begin in `[from, till)`, however many, as CSV, NDJSON, an Arrow IPC stream or Parquet.

    Columns are those of `GET /v1/candles`; Arrow and Parquet say in their metadata what is said there in the envelope.
    All of a file is of one history: where a covered candle changes meanwhile, the file breaks off, and the connection
    with it. A file makes nothing followed: ask `GET /v1/candles` first, and for the file when the load it tells of is
    done.
    """
    period = await export_period(
        service.storage, service.clock, wish.series, time_from=wish.time_from, time_till=wish.time_till
    )
    found = await export_candles(service.storage, wish.series, period)
    desk.note(wish.series)
    headers = _headers(request, wish, found)
    if caching.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers={**headers, "Vary": "Accept, Accept-Encoding"})
    writer = await asyncio.to_thread(open_writer, wish.form, found, wish.zone)
    return _CandleFile(found, writer, headers, _MEDIA_TYPES[wish.form])


class _CandleFile(StreamingResponse):
    """Sends a file as it is written, no faster than it is read. What fails before the first byte can be told."""

    def __init__(self, found: CandleExport, writer: CandleWriter, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__((), headers=headers, media_type=media_type)
        self._found = found
        self._writer = writer

    async def stream_response(self, send: Send) -> None:
        is_begun = False

        async def hand_out(data: bytes) -> None:
            nonlocal is_begun
            if not is_begun:
                is_begun = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for at in range(0, len(data), _PIECE):
                async with asyncio.timeout(_PATIENCE):
                    await send({"type": "http.response.body", "body": data[at : at + _PIECE], "more_body": True})

        await write_out(self._found, self._writer, hand_out)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _accepted(accept: str) -> FileForm:
    """Choose the form: the range is read for what it names, not for its weights."""
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    for form, media_type in _MEDIA_TYPES.items():
        if media_type in ranges:
            return form
    if ranges & {"", "*/*", "text/*"}:
        return FileForm.CSV
    raise HTTPException(406, f"files of candles are written as {', '.join(_MEDIA_TYPES.values())}")


def _headers(request: Request, wish: ExportWish, found: CandleExport) -> dict[str, str]:
    """Tag the file without building it, as answers are tagged (I16)."""
    is_packed = wish.form.is_text and "gzip" in request.headers.get("accept-encoding", "")
    coverage = found.coverage
    form = ("file", str(wish.zone), wish.form, is_packed)
    return {
        "ETag": caching.strong_etag(str(wish.series), form, coverage.period, coverage.gaps, coverage.version),
        "Cache-Control": caching.CLOSED if coverage.is_covered else caching.OPEN,
        "Vary": "Accept",  # the compressing middleware adds its own word
        "Candles-Complete": str(coverage.is_complete).lower(),
        "Content-Disposition": f'attachment; filename="{wish.form.file_name(wish.series)}"',
    }
