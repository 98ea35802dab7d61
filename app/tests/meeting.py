"""Requests that meet at the exchange, however long a busy machine takes to send them."""

import asyncio

import pytest
from aiohttp import web

from app.simulator import wire
from app.simulator.faults import Reply


def let_meet(monkeypatch: pytest.MonkeyPatch, number: int, *, of: str = "") -> None:
    """Let the exchange answer nobody until so many have asked, and everybody from then on.

    `of`: how paths end that are meant; others are answered at once.
    """
    asked, have_met = 0, asyncio.Event()

    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        nonlocal asked
        if not request.path.endswith(of):
            return await wire.send(request, reply)
        asked += 1
        if asked >= number:
            have_met.set()
        await have_met.wait()
        return await wire.send(request, reply)

    monkeypatch.setattr("app.simulator.server.send", send)
