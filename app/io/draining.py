"""An HTTP server that ends without a request that fails."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI

_GRACE_SECONDS = 3
_IDLE_SECONDS = 6.0  # longer than uvicorn keeps a connection on which nothing is asked
_UNDER_WAY_SECONDS = 14.0
_CLOSE = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """Ends in steps, and leaves signals to us: uvicorn's own way repeats them before we could close the rest."""

    def __init__(self, app: FastAPI) -> None:
        """Take what answers. Unless it was drained, requests under way get a few seconds in the end."""
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS)
        )
        self._app = app

    def retire(self) -> None:
        """Be ready no more, but answer: nobody succeeds us at this address."""
        self._app.state.is_draining = True
        self._send_elsewhere()

    async def drain(self) -> None:
        """Accept nobody any more, and return when who is here is gone: in 20 s, if a request takes that long."""
        self._send_elsewhere()
        await self._accept_nobody()
        await self._until_alone(_IDLE_SECONDS)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._until_alone(_UNDER_WAY_SECONDS)

    def _send_elsewhere(self) -> None:
        """Have every answer ask its client to come back on another connection."""
        if _CLOSE not in self.config.encoded_headers:
            self.config.encoded_headers.append(_CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]

    async def _accept_nobody(self) -> None:
        """Leave to a successor who is not accepted yet; greet who is, for which asyncio takes a turn or two."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        await asyncio.sleep(0.01)
        for server in self.servers:
            server.close()

    async def _until_alone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.connections:  # noqa: ASYNC110  # uvicorn tells no other way
                    await asyncio.sleep(0.02)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
