"""Signing in to the simulated exchange, which stands at Wednesday 2024-05-15 14:48:20 Moscow."""

from collections.abc import Mapping
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import encode_basic_auth

from app.simulator.access import COOKIE, MARKER, Access
from app.simulator.server import Simulator

CANDLES = "/iss/engines/stock/markets/shares/boards/TQBR/securities/SBER/candles.json"
TODAY = {"interval": "1", "from": "2024-05-15 14:00:00", "candles.columns": "begin"}


@pytest.fixture
def exchange(exchange: Simulator) -> Simulator:
    exchange.access = Access({"user": "right"}, frozenset(["token"]))
    return exchange


async def sign_in(exchange: Simulator, password: str) -> tuple[str | None, str]:
    headers = {"Authorization": encode_basic_auth("user", password)}
    async with aiohttp.request("GET", f"{exchange.url}/authenticate", headers=headers) as response:
        cookie = response.cookies.get(COOKIE)
        assert response.status == 200
        return cookie.value if cookie else None, response.headers[MARKER]


async def read(exchange: Simulator, headers: Mapping[str, str]) -> tuple[int, str, str | None]:
    """Return the status, the marker, and the last minute told of."""
    async with aiohttp.request("GET", exchange.url + CANDLES, params=TODAY, headers=headers) as response:
        rows = (await response.json())["candles"]["data"] if response.status == 200 else []
        return response.status, response.headers[MARKER], rows[-1][0] if rows else None


async def test_anybody_is_late(exchange: Simulator) -> None:
    assert await read(exchange, {}) == (200, "denied", "2024-05-15 14:33:00")


async def test_the_cookie_of_an_account_ends_the_delay_until_it_expires(exchange: Simulator) -> None:
    cookie, marker = await sign_in(exchange, "right")
    headers = {"Cookie": f"{COOKIE}={cookie}"}

    assert marker == "granted"
    assert await read(exchange, headers) == (200, "granted", "2024-05-15 14:48:00")
    exchange.access.expire()
    assert await read(exchange, headers) == (200, "denied", "2024-05-15 14:33:00")


async def test_a_sign_in_lasts_by_the_simulated_clock(exchange: Simulator) -> None:
    cookie, _ = await sign_in(exchange, "right")
    exchange.clock.advance(timedelta(hours=13))

    _, marker, _ = await read(exchange, {"Cookie": f"{COOKIE}={cookie}"})

    assert marker == "denied"


async def test_a_wrong_password_gets_no_cookie_and_no_401(exchange: Simulator) -> None:
    assert await sign_in(exchange, "wrong") == (None, "denied")


async def test_a_token_ends_the_delay_and_a_wrong_one_is_refused(exchange: Simulator) -> None:
    right, wrong = [await read(exchange, {"Authorization": f"Bearer {token}"}) for token in ("token", "none")]

    assert right == (200, "granted", "2024-05-15 14:48:00")
    assert wrong == (401, "denied", None)


async def test_who_is_not_entitled_gets_late_data_or_403(exchange: Simulator) -> None:
    exchange.access.is_denied = True
    cookie, _ = await sign_in(exchange, "right")

    assert (await read(exchange, {"Cookie": f"{COOKIE}={cookie}"}))[:2] == (200, "denied")
    assert (await read(exchange, {"Authorization": "Bearer token"}))[:2] == (403, "denied")
