"""Putting a reply on the wire, whole or in the ways in which connections fail."""

import asyncio
import socket
import struct

from aiohttp import web

from app.simulator.faults import Reply

_TICK = 0.05
_LINGER_NOT = struct.pack("ii", 1, 0)


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send the reply, or the part of it that is meant to arrive."""
    if reply.pause:
        await asyncio.sleep(reply.pause)
    if reply.is_reset:
        _reset(request)
    if request.method == "HEAD" or (reply.cut_at is None and reply.bytes_per_second is None):
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await _trickle(response, reply.body[: reply.cut_at], reply.bytes_per_second)
    if reply.cut_at is not None and request.transport:
        request.transport.close()
    return response


async def _trickle(response: web.StreamResponse, body: bytes, bytes_per_second: float | None) -> None:
    size = max(int(bytes_per_second * _TICK), 1) if bytes_per_second else max(len(body), 1)
    for at in range(0, len(body), size):
        if at and bytes_per_second:
            await asyncio.sleep(size / bytes_per_second)
        await response.write(body[at : at + size])


def _reset(request: web.Request) -> None:
    if transport := request.transport:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
