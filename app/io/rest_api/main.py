"""The REST API: `uvicorn --factory app.io.rest_api.main:create_app`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic.json_schema import models_json_schema
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from app import __version__
from app.bootstrap import Service, bootstrap, configure_logging
from app.io.rest_api import docs, errors, health
from app.io.rest_api.blocks import Blocks
from app.io.rest_api.middleware import BodyLimit, HeadAsGet, RequestContext
from app.io.rest_api.v1 import boards, calendar, candles, export, search, securities, timeframes
from app.io.rest_api.v1.candle_call import COMPRESS_FROM
from app.io.rest_api.v1.candle_lane import CandleLane
from app.settings import Settings
from app.tasks.broker import embedded

_QUICKLY = 1  # a level above costs more time than it saves bytes of numbers

_DESCRIPTION = """
Candles of the Moscow Exchange, stored provably complete.

- Periods are half-open: `from` is included, `till` is not; a bare date in `till` means through that day.
- A time without an offset is Moscow time. Answers are in UTC unless `tz` says otherwise, and echo the effective period.
- A page that is not the last has a `next_cursor` and a `Link` with `rel="next"`; nothing else tells the end.
- `coverage` says whether everything the exchange has of the period is stored and final.
- Every error is a problem (RFC 9457, `application/problem+json`); input errors name the parameter in `errors`.
- `HEAD` is answered wherever `GET` is; `X-Request-ID` is taken or given, and returned.
"""
_TAGS = [
    {"name": "candles", "description": "What was traded."},
    {"name": "securities", "description": "What is followed, and how much of it is stored."},
    {"name": "calendar", "description": "When the exchange trades."},
    {"name": "health", "description": "For orchestrators and load balancers."},
]


class CandleApi(FastAPI):
    """FastAPI whose description tells of our errors as they are."""

    def openapi(self) -> dict[str, Any]:
        """Describe the API; built once."""
        if not self.openapi_schema:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            _, problems = models_json_schema(
                [(errors.Problem, "serialization")], ref_template="#/components/schemas/{model}"
            )
            schemas.update(problems["$defs"])
        return super().openapi()


def create_app(
    settings: Settings | None = None, *, service: Service | None = None, with_schedule: bool = True
) -> FastAPI:
    """Build the app around a service, or one that opens its own when it starts, from settings or the environment.

    Its own service also runs the updates in this process, when there is no Redis that brings them to workers.
    """
    app = CandleApi(
        title="Moscow Exchange candles",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=_lifespan(settings, with_schedule=with_schedule) if service is None else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        middleware=[
            Middleware(RequestContext),
            Middleware(CandleLane),
            Middleware(HeadAsGet),
            Middleware(
                GZipMiddleware,
                minimum_size=COMPRESS_FROM,
                compresslevel=_QUICKLY,
                exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *export.BINARY),
            ),
            Middleware(BodyLimit),
        ],
    )
    errors.install(app)
    app.include_router(_v1())
    app.include_router(health.router)
    docs.install(app)
    if service is not None:
        _equip(app, service)
    return app


def _equip(app: FastAPI, service: Service) -> None:
    """Give the app what its routes ask for."""
    app.state.service = service
    app.state.blocks = Blocks(service.settings.answer_cache_mb * 2**20)


def _v1() -> APIRouter:
    v1 = APIRouter(prefix="/v1")
    for part in (boards, calendar, candles, export, search, securities, timeframes):
        v1.include_router(part.router)
    return v1


def _from_environment() -> Settings:
    """Read the settings, where uvicorn and nobody of ours started the process; then the log is ours to set up, too."""
    settings = Settings()
    configure_logging(settings.log_level)
    return settings


def _lifespan(
    settings: Settings | None, *, with_schedule: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        given = settings or _from_environment()
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(bootstrap(given))
            _equip(app, service)
            if with_schedule and given.redis_url is None:
                await stack.enter_async_context(embedded(service))
            yield

    return lifespan
