"""The quick source of the benchmarks answers what the simulator answers, byte for byte."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.bench.source import NOW, Connection, Source, begin_of_days
from app.simulator.clock import SimulatedClock
from app.simulator.server import Simulator

DAYS = 4
SIM000 = "/iss/engines/stock/markets/shares/boards/TQBR/securities/SIM000"
OURS = "iss.meta=off&iss.only=candles&candles.columns=begin,open,high,low,close,volume,value"
PEERS = "iss.json=extended&iss.meta=off&iss.only=candles,history.cursor"
FROM = f"interval=1&from={begin_of_days(DAYS).moscow:%Y-%m-%d %H:%M:%S}"


@pytest.fixture
async def source() -> AsyncIterator[aiohttp.ClientSession]:
    answers = Source(begin_of_days(DAYS).moscow.date())
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answers, 0.001), "127.0.0.1", 0)
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as session:
        yield session


@pytest.fixture
async def exchange() -> AsyncIterator[aiohttp.ClientSession]:
    clock = SimulatedClock(NOW, stopped=True)
    async with Simulator(clock=clock).serve() as simulator, aiohttp.ClientSession(simulator.url) as session:
        yield session


@pytest.mark.parametrize(
    "asked",
    [
        f"{SIM000}/candles.json?{FROM}",
        f"{SIM000}/candles.json?{FROM}&{OURS}",
        f"{SIM000}/candles.json?{FROM}&{OURS}&start=500",
        f"{SIM000}/candles.json?{OURS}&interval=1&from=2024-01-18 10:00:00&till=2024-01-18 10:20:59",
        f"{SIM000}/candles.json?{OURS}&interval=1&from=2024-01-19 23:40:00&till=2024-01-20 11:59:59",
        f"{SIM000}/candles.json?{OURS}&interval=1&from=2024-01-20 00:00:00",
        f"{SIM000}/candles.json?{OURS}&interval=1&from=2023-12-01",
        f"{SIM000}/candles.json?{OURS}&interval=10&from=2024-01-18",
        f"{SIM000}/candles.json?{FROM}&{PEERS}&candles.columns=begin,open,close,high,low,value,volume&start=1000",
        f"{SIM000}/candles.json?{FROM}&{PEERS}&start=100000",
        f"{SIM000}/candles.json?{FROM}&iss.json=extended",
        f"{SIM000}/candles.json?{FROM}&iss.reverse=true",
        f"{SIM000}/candles.json?{FROM}&iss.data=off",
        f"{SIM000}/candles.json?{FROM}&iss.only=nothing",
        f"{SIM000}/candleborders.json?iss.meta=off",
        f"{SIM000}.json?iss.only=securities",
        "/iss/securities/SIM000.json",
        "/iss/securities/SIM417.json",
        "/iss/index.json",
        "/iss/statistics/engines/stock/splits.json",
        "/iss/history/engines/stock/markets/shares/securities/changeover.json",
        "/iss/calendars/stock.json?from=2024-01-01&till=2024-01-20",
    ],
)
async def test_it_answers_what_the_simulator_does(
    source: aiohttp.ClientSession, exchange: aiohttp.ClientSession, asked: str
) -> None:
    async with source.get(asked) as quick, exchange.get(asked) as real:
        assert (quick.status, quick.headers["Date"]) == (real.status, real.headers["Date"])
        assert await quick.read() == await real.read()


async def test_every_ticker_has_the_same_minutes(source: aiohttp.ClientSession) -> None:
    asked = f"{SIM000}/candles.json?{FROM}&{OURS}"

    async with source.get(asked) as one, source.get(asked.replace("SIM000", "SIM417")) as other:
        assert await one.read() == await other.read()


async def test_who_asks_for_the_time_gets_no_body(source: aiohttp.ClientSession) -> None:
    async with source.head("/iss/index.json") as told:
        assert told.headers["Date"] == "Sat, 20 Jan 2024 09:00:00 GMT"
        assert await told.read() == b""
