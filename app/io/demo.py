"""The whole service in one terminal: a simulated exchange, a store of its own, and the REST API."""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from socket import socket

from rich.console import Console
from rich.text import Text

from app.bootstrap import Service, bootstrap, configure_logging
from app.core.entities import Security, Series, Timeframe
from app.core.errors import InputError
from app.io import charts
from app.io.cli import output
from app.io.cli.progress import LoadProgress
from app.io.serving import listen, serving
from app.io.signals import until_terminated
from app.settings import Settings
from app.tasks.broker import embedded
from app.use_cases.create_security import create_security
from app.use_cases.get_candles import first_covered, get_candles
from app.use_cases.list_securities import final_ends, list_securities
from app.use_cases.update_candles import update_candles

FOLDER = Path(".demo")

_SECURITIES = (Security("SBER", "TQBR"), Security("GAZP", "TQBR"), Security("SU26238RMFS4", "TQOB"))
_SHOWN = Series(_SECURITIES[0], Timeframe.D1)
_SINCE = {
    Timeframe.M1: timedelta(days=60),
    Timeframe.M10: timedelta(days=365),
    Timeframe.H1: timedelta(days=365),
    Timeframe.D1: timedelta(days=365),
}
_HOST = "127.0.0.1"
_REQUEST = "/v1/candles?security=TQBR:SBER&timeframe=D1&last=3"
_LONGEST_ANSWER = 1_500

_console = Console(highlight=False)


async def run_demo(exchange: str, *, port: int, stay: bool, folder: Path = FOLDER) -> None:
    """Load from the simulated exchange at this URL, show, ask; with `stay` serve until SIGTERM or cancellation."""
    configure_logging("WARNING")
    _make(folder)
    async with AsyncExitStack() as stack:
        settings = _settings(folder, exchange)
        service = await stack.enter_async_context(bootstrap(settings))
        _say(f"A simulated exchange: {settings.iss_url}, Moscow time {await _wall(service)}.")
        await _follow(service)
        await _load(service)
        await _show(service)
        listener = _listen(port)
        root = f"http://{_HOST}:{listener.getsockname()[1]}"
        broker = await stack.enter_async_context(embedded(service)) if stay else None
        await stack.enter_async_context(serving(service, listener, broker))
        await _ask(root)
        if stay:
            _tell_addresses(root, settings)
        _tell_what_next(settings)
        if stay:
            told = stack.enter_context(until_terminated())
            _say("It keeps loading what is new. Ctrl-C ends it.")
            await told.wait()
        else:
            _say("The demo is over: make demo STAY=1 keeps it up.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        where = folder.absolute()
        raise InputError("demo", f"cannot make {where} ({error.strerror}): run it where you may write") from error


def _settings(folder: Path, url: str) -> Settings:
    """Leave the environment out: the demo must neither touch the real store nor ask the real exchange."""
    return Settings.model_construct(
        database_url=f"sqlite+aiosqlite:///{folder / 'candles.db'}",
        iss_url=url,
        source_name="demo simulator",
        clock="source",
        iss_rate=None,
        iss_concurrency=16,
        tick=5,
    )


async def _follow(service: Service) -> None:
    now = await service.clock.now()
    since = {timeframe: now - age for timeframe, age in _SINCE.items()}
    for security in _SECURITIES:
        followed = await create_security(service.storage, service.adapter, security, since=since)
        _say(f"  {security} {followed.card.name}: {'followed now' if followed.is_new else 'followed already'}")


async def _load(service: Service) -> None:
    started = time.monotonic()
    with LoadProgress(_console) as progress:
        outcome = await update_candles(service.storage, service.loader, service.clock, progress=progress)
    for series, error in outcome.failures.items():
        output.complain(f"{series}: {error}")
    rows = sum(outcome.rows.values())
    _say(f"{rows:,} candles written in {time.monotonic() - started:.1f} s; what was covered was not asked for.")


async def _show(service: Service) -> None:
    output.show_rows(("security", "timeframe", "candles", "since", "final until"), await _holdings(service))
    begin = await first_covered(service.storage, _SHOWN)
    answer = await get_candles(service.storage, _SHOWN, time_from=begin, time_till=await service.clock.now())
    _say(f"\n{_SHOWN}")
    output.show_lines(charts.draw(answer.page))


async def _holdings(service: Service) -> Sequence[Sequence[str]]:
    rows = []
    ends = await final_ends(service.storage)
    for followed in await list_securities(service.storage):
        async with service.storage.read() as uow:
            for state in followed.series:
                count = await uow.candles.filter_by_series(state.series).count()
                moments = (output.when(state.followed_from), output.when(ends.get(state.series)))
                rows.append((str(state.series.security), state.series.timeframe, f"{count:,}", *moments))
    return rows


def _listen(port: int) -> socket:
    try:
        return listen(_HOST, port)
    except InputError:
        _say(f"Port {port} is taken: another one is used.")
        return listen(_HOST, 0)


async def _ask(root: str) -> None:
    """Ask our own API, as any client would."""
    status, body = await asyncio.to_thread(_get, root.removeprefix("http://"))
    _say(f"\n$ curl '{root}{_REQUEST}'\n{status}\n{body[:_LONGEST_ANSWER]}")


def _get(address: str) -> tuple[str, str]:
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", _REQUEST)
        response = connection.getresponse()
        return f"{response.status} {response.reason}", response.read().decode()
    finally:
        connection.close()


def _tell_addresses(root: str, settings: Settings) -> None:
    _say(
        f"""
  {root}/docs  the API, to try out
  {root}{_REQUEST}
  {settings.iss_url}/iss/index.json  the simulated exchange"""
    )


def _tell_what_next(settings: Settings) -> None:
    _say(
        f"""
The store stays in {settings.database_url.partition("///")[2]}: run the demo again and it is ready at once.
Against the real exchange:
  make setup
  . {_activation()}
  candles create-security SBER TQBR
  candles update-candles"""
    )


def _activation() -> str:
    """Name what `make setup` makes, whatever ran the demo."""
    return ".venv/{}.{}/bin/activate".format(*sys.version_info)


async def _wall(service: Service) -> str:
    return output.when(await service.clock.now())


def _say(text: str) -> None:
    _console.print(Text(text), soft_wrap=True)
