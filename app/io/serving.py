"""The REST API on a socket, within the event loop of the caller."""

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import uvicorn

from app.bootstrap import Service, bootstrap
from app.core.errors import InputError
from app.io.rest_api.main import create_app
from app.settings import Settings
from app.tasks.broker import embedded

_GRACE_SECONDS = 3


def listen(host: str, port: int) -> socket.socket:
    """Take an address; InputError when that is not possible."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                "host", f"cannot listen on {host} ({error.strerror}): give an address of this machine, like 127.0.0.1"
            ) from error
        raise InputError("port", f"cannot listen on {host}:{port} ({error}): give another --port, or 0") from error


async def run_api(settings: Settings, listener: socket.socket, *, announce: Callable[[], None]) -> None:
    """Serve until SIGTERM or cancellation; announced once it answers. Without Redis it updates the candles as well."""
    async with AsyncExitStack() as stack:
        told = stack.enter_context(until_terminated())
        service = await stack.enter_async_context(bootstrap(settings))
        if settings.redis_url is None:
            await stack.enter_async_context(embedded(service))
        await stack.enter_async_context(serving(service, listener))
        announce()
        await told.wait()


@asynccontextmanager
async def serving(service: Service, listener: socket.socket) -> AsyncIterator[None]:
    """Answer on this socket; on leaving, requests under way get a few seconds."""
    app = create_app(service=service)
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not (server.started or running.done()):  # noqa: ASYNC110  # uvicorn tells no other way
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await running


@contextmanager
def until_terminated() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM sets; SIGINT cancels, as everywhere."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    try:
        yield told
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn's own way repeats them when it is done, before we could close the rest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
