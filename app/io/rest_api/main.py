"""The REST API: `uvicorn --factory app.io.rest_api.main:create_app`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from pydantic.json_schema import models_json_schema
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from taskiq import AsyncBroker

from app import __version__
from app.answers.kept import Kept
from app.bootstrap import Service, bootstrap, configure_logging
from app.io.rest_api import docs, errors, health, metrics
from app.io.rest_api.coding import COMPRESS_FROM, LEVEL, Compression
from app.io.rest_api.middleware import BodyLimit, HeadAsGet, RequestContext
from app.io.rest_api.recent import RecentOutlook
from app.io.rest_api.v1 import boards, calendar, candles, export, search, securities, timeframes, updates
from app.io.rest_api.v1.candle_lane import CandleLane
from app.io.rest_api.wish_desk import WishDesk
from app.settings import Settings
from app.tasks.broker import kicking
from app.tasks.stream_broker import StreamBroker

if TYPE_CHECKING:  # importing it takes longer than a start should
    from app.metrics import Metrics

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
    {"name": "updates", "description": "What somebody asked to have loaded, and how far that is."},
    {"name": "calendar", "description": "When the exchange trades."},
    {"name": "health", "description": "For orchestrators, load balancers and Prometheus."},
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
    settings: Settings | None = None,
    *,
    service: Service | None = None,
    broker: AsyncBroker | None = None,
    with_schedule: bool = True,
) -> FastAPI:
    """Build the app around a service, or one that opens its own when it starts, from settings or the environment.

    `broker`: of who loads what is asked for; without one the schedule sees to it. An own service brings its own, which
    also runs the updates in this process when there is no Redis that takes them to workers.
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
                Compression,
                minimum_size=COMPRESS_FROM,
                compresslevel=LEVEL,
                exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *export.BINARY),
            ),
            Middleware(BodyLimit),
        ],
    )
    app.state.metrics, app.state.queue = None, metrics.no_queue
    errors.install(app)
    app.include_router(_v1())
    app.include_router(health.router)
    app.include_router(metrics.router)
    docs.install(app)
    if service is not None:
        _equip(app, service, broker)
    return app


def _equip(app: FastAPI, service: Service, broker: AsyncBroker | None) -> WishDesk:
    """Give the app what its routes ask for."""
    app.state.service = service
    app.state.recent_outlook = RecentOutlook(service.freshness)
    app.state.metrics = _metrics(service)
    app.state.is_draining = False
    settings = service.settings
    app.state.kept = Kept.within(settings.answer_cache_mb * 2**20, settings.cache_ttl, service.cache)
    app.state.desk = desk = WishDesk(service, broker)
    return desk


@asynccontextmanager
async def loading(app: FastAPI, service: Service) -> AsyncIterator[None]:
    """Let the app wake up who loads: workers, or without a Redis this process, which then updates as well."""
    async with kicking(service) as broker:
        app.state.desk.broker = broker
        if isinstance(broker, StreamBroker):
            app.state.queue = partial(_backlog, broker)
        try:
            yield
        finally:
            app.state.desk.broker = None


async def _backlog(broker: StreamBroker) -> Mapping[str, float]:
    return asdict(await broker.backlog())


def _metrics(service: Service) -> "Metrics | None":
    """Begin to count requests, if anybody will be told."""
    if not service.settings.metrics:
        return None
    from app.metrics import Metrics  # noqa: PLC0415  # its library takes a while, and is not always wanted

    return Metrics(service.tally)


def _v1() -> APIRouter:
    v1 = APIRouter(prefix="/v1")
    for part in (boards, calendar, candles, export, search, securities, timeframes, updates):
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
            stack.push_async_callback(_equip(app, service, None).close)
            if with_schedule:
                await stack.enter_async_context(loading(app, service))
            yield

    return lifespan
