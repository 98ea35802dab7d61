"""What Prometheus collects: of the API, and of a process without one."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.bootstrap import Service
from app.core.entities import Security, Series, SeriesState, Timeframe
from app.core.errors import InputError, StorageUnavailableError
from app.core.freshness import Freshness, Outlook, Verdict
from app.core.market_data import SourceStatus
from app.core.tally import Tally
from app.io.rest_api.main import create_app
from app.metrics import WORST, Metrics
from app.repository.memory import MemoryStorage
from app.settings import Settings
from app.simulator.servers import free_port
from app.tasks.counting import told_on_a_port
from app.tests.builders import T0
from app.tests.io.rest_client import Answer, Client, a_client

NEW = {"ticker": "SBER", "board": "TQBR", "timeframes": ["M1"], "since": "2024-01-03"}


def a_service(**settings: object) -> Service:
    service: Service = a_client(MemoryStorage()).app.state.service
    return replace(service, settings=Settings.model_validate({"source_name": "fake", **settings}))


def numbers(text: str) -> dict[tuple[str, frozenset[str]], float]:
    """Return values by name and the values of the labels."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Mapping[tuple[str, frozenset[str]], float], name: str, *labels: str) -> float:
    return found[f"candles_{name}", frozenset(labels)]


def read(answer: Answer) -> dict[tuple[str, frozenset[str]], float]:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return numbers(answer.body.decode())


async def test_a20_metrics_are_told_to_nobody_unless_wanted() -> None:
    answer = await Client(create_app(service=a_service())).get("/metrics")

    assert answer.status == 404
    assert "METRICS=on" in answer.json["detail"]


async def test_metrics_tell_how_current_the_service_is_and_what_the_process_did() -> None:
    service = a_service(metrics="on")
    service.tally.requests["ok"] += 3
    service.tally.rows[Timeframe.M1] += 500
    service.tally.tasks["update_series", "failed"] += 2
    service.tally.task_seconds["update_series"] += 1.5
    client = Client(create_app(service=service))
    await client.post("/v1/securities", NEW)

    found = read(await client.get("/metrics"))

    assert of(found, "store_up") == 1
    assert {verdict: of(found, "series", verdict) for verdict in Verdict} == {
        "fresh": 0, "paused": 0, "source_down": 0, "behind": 1,
    }  # fmt: skip
    assert of(found, "lag_seconds", "TQBR:SBER", "M1") == of(found, "lag_most_seconds") == 830 * 60
    assert (of(found, "source_state", "ok"), of(found, "source_state", "open")) == (1, 0)
    assert of(found, "exchange_requests_total", "ok") == 3
    assert of(found, "rows_stored_total", "M1") == 500
    assert of(found, "tasks_total", "update_series", "failed") == 2
    assert of(found, "task_seconds_total", "update_series") == 1.5
    assert ("process_resident_memory_bytes", frozenset()) in found


async def test_requests_are_counted_by_route_of_which_nobody_can_invent_more() -> None:
    client = Client(create_app(service=a_service(metrics="on")))
    for path in ("/v1/securities/TQBR/SBER", "/v1/securities/TQBR/GAZP", "/v1/candles", "/health/live", "/a", "/b"):
        await client.get(path)

    found = read(await client.get("/metrics"))

    name = "http_request_seconds_count"
    assert of(found, name, "/v1/securities/{board}/{ticker}", "404") == 2
    assert of(found, name, "/v1/candles", "422") == 1
    assert of(found, name, "/health/live", "200") == 1
    assert of(found, name, "none", "404") == 2
    assert sum(value for (each, _), value in found.items() if each == f"candles_{name}") == 6


async def test_without_its_store_a_process_tells_what_it_knows() -> None:
    client = Client(create_app(service=a_service(metrics="on")))

    async def away(_: object = ()) -> Outlook:
        raise StorageUnavailableError("away")

    client.app.state.recent_outlook._look = away
    found = read(await client.get("/metrics"))

    assert of(found, "store_up") == 0
    assert not any(name == "candles_series" for name, _ in found)
    assert ("process_resident_memory_bytes", frozenset()) in found


async def test_a_queue_tells_how_much_waits_and_one_that_is_away_nothing() -> None:
    client = Client(create_app(service=a_service(metrics="on")))
    no_queue = read(await client.get("/metrics"))

    async def queue() -> Mapping[str, float]:
        return {"waiting": 3, "running": 1, "dead": 2, "oldest_age": 61.5, "workers": 4}

    async def away() -> Mapping[str, float]:
        raise StorageUnavailableError("away")

    client.app.state.queue = queue
    found = read(await client.get("/metrics"))
    client.app.state.queue = away

    assert of(found, "queue_waiting") == 3
    assert of(found, "queue_running") == 1
    assert of(found, "queue_dead") == 2
    assert of(found, "queue_oldest_age_seconds") == 61.5
    assert of(found, "queue_workers") == 4
    for without in (no_queue, read(await client.get("/metrics"))):
        assert not any(name.startswith("candles_queue") for name, _ in without)


def test_of_ten_thousand_series_the_worst_are_named_and_all_are_counted() -> None:
    series = [
        Freshness(
            SeriesState(Series(Security(f"T{number:05}", "TQBR"), Timeframe.M1), failures=number % 2),
            None,
            None,
            timedelta(seconds=10_000 - number),
            T0,
            Verdict.BEHIND,
        )
        for number in range(10_000)
    ]

    found = numbers(Metrics(Tally()).text(Outlook(T0, SourceStatus(), series), {}).decode())

    named = {labels for name, labels in found if name == "candles_lag_seconds"}
    assert named == {frozenset({f"TQBR:T{number:05}", "M1"}) for number in range(WORST)}
    assert of(found, "series", "behind") == 10_000
    assert of(found, "series_failing") == 5_000


async def test_a_worker_tells_its_counts_on_a_port_of_its_own() -> None:
    port = free_port()
    service = a_service(metrics_port=port)
    with told_on_a_port(service):
        service.tally.tasks["update_series", "done"] += 1
        found = numbers(await asyncio.to_thread(_collected, port))
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"), told_on_a_port(service):
            pass

    assert of(found, "tasks_total", "update_series", "done") == 1
    assert not any(name.startswith("candles_series") for name, _ in found)
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(_collected, port)


def _collected(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text
