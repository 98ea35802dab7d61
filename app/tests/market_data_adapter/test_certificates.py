"""A server that shows a certificate nobody vouches for."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import stamina
from aiohttp import web

from app.core.errors import SourceRefusedError
from app.market_data_adapter.breaker import Breaking
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import IssClient
from app.tests.certificates import self_signed


@dataclass
class Encrypted:
    url: str = ""
    greetings: int = 0
    requests: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=5)
    yield
    stamina.set_testing(False)


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[Encrypted]:
    """A server of its own making, which counts who greets it."""
    server, app = Encrypted(), web.Application()

    async def answer(request: web.Request) -> web.Response:
        server.requests.append(request.path)
        return web.json_response({})

    def greet(*_: object) -> None:
        server.greetings += 1

    app.router.add_get("/{path:.*}", answer)
    runner, context = web.AppRunner(app), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    context.sni_callback = greet
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.url = f"https://localhost:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def test_s13_a_bad_certificate_is_an_error_at_once(
    encrypted: Encrypted, open_client: Callable[..., IssClient]
) -> None:
    budget = Budget(breaking=Breaking(after=1))
    client = open_client(encrypted.url, budget, attempts=5)

    with pytest.raises(SourceRefusedError, match="bad certificate"):
        await client.get("/iss/index.json", {}, bytes)

    assert (encrypted.greetings, encrypted.requests) == (1, [])
    assert (await budget.status()).state == "ok"
