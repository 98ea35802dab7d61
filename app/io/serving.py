"""The REST API on a socket, within the event loop of the caller."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from taskiq import AsyncBroker

from app.bootstrap import Service, bootstrap
from app.core.errors import InputError
from app.io.draining import DrainingServer
from app.io.rest_api.main import create_app, loading
from app.io.signals import either, until_renewed, until_terminated
from app.io.succession import notify, start_successor
from app.settings import Settings


def listen(host: str, port: int) -> socket.socket:
    """Take an address; InputError when that is not possible."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                "host", f"cannot listen on {host} ({reason}): give an address of this machine, like 127.0.0.1"
            ) from error
        raise InputError("port", f"cannot listen on {host}:{port} ({reason}): give another --port, or 0") from error


async def run_api(settings: Settings, listener: socket.socket, *, announce: Callable[[], None]) -> None:
    """Serve until told to end, or until a new process does in our place; announced once it answers.

    Without Redis it updates the candles as well, but not while the new process begins.
    """
    async with AsyncExitStack() as stack:
        end = stack.enter_context(until_terminated())
        renew = stack.enter_context(until_renewed())
        service = await stack.enter_async_context(bootstrap(settings))
        app, server = await stack.enter_async_context(serving(service, listener))
        announce()
        is_succeeded = False
        while not (end.is_set() or is_succeeded):
            async with loading(app, service):
                await either(end, renew)
                if end.is_set():
                    server.retire()
            if renew.is_set():
                is_succeeded = await _hand_over(settings, listener, unless=end)
                renew.clear()
        if not is_succeeded:
            server.retire()
            await asyncio.sleep(settings.drain_seconds)
        app.state.desk.end_waits()
        await server.drain()


@asynccontextmanager
async def serving(
    service: Service, listener: socket.socket, broker: AsyncBroker | None = None
) -> AsyncIterator[tuple[FastAPI, DrainingServer]]:
    """Answer on this socket; on leaving, requests under way get a few seconds. `broker`: see `create_app`."""
    app = create_app(service=service, broker=broker)
    server = DrainingServer(app)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not (server.started or running.done()):  # noqa: ASYNC110  # uvicorn tells no other way
            await asyncio.sleep(0.01)
        yield app, server
    finally:
        app.state.desk.end_waits()
        server.should_exit = True
        await running
        await app.state.desk.close()


async def _hand_over(settings: Settings, listener: socket.socket, *, unless: asyncio.Event) -> bool:
    """Tell whether another process answers now."""
    successor = await start_successor(listener, unless=unless)
    if successor is not None and settings.notify_socket is not None:
        notify(settings.notify_socket, f"MAINPID={successor}")
    return successor is not None
