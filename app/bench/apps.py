"""What `app.bench.serve` compares, each a server of its own: `python -m app.bench.apps fixed|peer|service ...`.

`fixed`: the same bytes for everybody, through the framework and nothing else. `peer`: how such a route is usually
written, rows of SQLAlchemy into a model of pydantic. `service`: ours, as it is started in production.
"""

import argparse
import os
import signal
import socket
import sys
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import column, make_url, select, table
from sqlalchemy.ext.asyncio import create_async_engine

from app.bootstrap import configure_logging
from app.io.rest_api.main import create_app
from app.settings import Settings

_PRICES = ("open", "high", "low", "close", "volume", "value")
_CANDLE = table("candle", *map(column, ("series_id", "timeframe", "is_final", "begin", *_PRICES)))


class PeerCandle(BaseModel):
    """A candle of the peer."""

    begin: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    value: float
    final: bool


class PeerAnswer(BaseModel):
    """An answer of the peer."""

    candles: list[PeerCandle]


def main() -> None:
    """Listen, say where, and serve with so many processes."""
    options = _options()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # the log is written, and read by nobody
    workers = [worker for _ in range(options.processes - 1) if (worker := os.fork())]
    if len(workers) == options.processes - 1:
        signal.signal(signal.SIGTERM, lambda *_: _end(workers))
    config = uvicorn.Config(_app(options), log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.bench.apps", description=__doc__)
    parser.add_argument("kind", choices=("fixed", "peer", "service"))
    parser.add_argument("--database", default="")
    parser.add_argument("--bytes", type=int, nargs="*", default=[])
    parser.add_argument("--cache", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    return parser.parse_args()


def _end(workers: list[int]) -> None:
    for worker in workers:
        os.kill(worker, signal.SIGTERM)
    sys.exit()


def _app(options: argparse.Namespace) -> FastAPI:
    if options.kind == "fixed":
        return _fixed(options.bytes)
    if options.kind == "peer":
        return _peer(options.database)
    settings = Settings(
        _env_file=None, database_url=options.database, source_name="bench", redis_url=None,
        answer_cache_mb=options.cache,
    )  # fmt: skip
    configure_logging(settings.log_level)
    return create_app(settings, with_schedule=False)


def _fixed(sizes: list[int]) -> FastAPI:
    app, bodies = FastAPI(), {size: b"x" * size for size in sizes}

    @app.get("/fixed/{size}")
    async def fixed(size: int) -> Response:
        return Response(bodies[size], media_type="application/json")

    return app


def _peer(database: str) -> FastAPI:
    app, engine = FastAPI(), create_async_engine(database)
    is_sqlite = make_url(database).get_backend_name() == "sqlite"

    @app.get("/peer")
    async def peer(time_from: datetime, limit: int) -> PeerAnswer:
        first = int(time_from.timestamp()) * 1_000_000 if is_sqlite else time_from
        wanted = select(_CANDLE).where(_CANDLE.c.series_id == 1, _CANDLE.c.timeframe == 1, _CANDLE.c.begin >= first)
        async with engine.connect() as connection:
            rows = (await connection.execute(wanted.order_by(_CANDLE.c.begin).limit(limit))).all()
        return PeerAnswer(
            candles=[
                PeerCandle(
                    begin=datetime.fromtimestamp(row.begin / 1_000_000, UTC) if is_sqlite else row.begin,
                    final=row.is_final,
                    **{name: getattr(row, name) for name in _PRICES},
                )
                for row in rows
            ]
        )

    return app


if __name__ == "__main__":
    main()
