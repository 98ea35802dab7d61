"""What a process tells Prometheus: its own counts, and what the store says of the whole service."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core.errors import InputError
from app.core.freshness import Outlook
from app.core.tally import Tally

WORST = 20
"""So many series are named at most: names of ten thousand would cost who collects them more than they tell."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STATES = ("ok", "paused", "open", "half_open")
_QUEUE = {
    "waiting": ("candles_queue_waiting", "Tasks that no worker runs"),
    "running": ("candles_queue_running", "Tasks that a worker took and has not finished"),
    "dead": ("candles_queue_dead", "Tasks that were given up"),
    "oldest_age": ("candles_queue_oldest_age_seconds", "How long the oldest waiting task waits"),
    "workers": ("candles_queue_workers", "Workers that were seen lately"),
}


# Nobody needs lines that tell since when a line is there.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it takes and returns nothing


class Metrics:
    """The counts of one process. The registry is its own: libraries add nothing to it."""

    def __init__(self, tally: Tally) -> None:
        """Tell these counts, and those of the system about this process."""
        self._registry = CollectorRegistry()
        self._registry.register(_Counted(tally))
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "candles_http_request_seconds",
            "How long requests took, by route and status",
            ("route", "status"),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._answered: dict[tuple[str, int], Histogram] = {}

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        key = (route, status)
        if key not in self._answered:  # looked up there it would cost four times as much
            self._answered[key] = self._requests.labels(*key)
        self._answered[key].observe(seconds)

    def text(self, outlook: Outlook | None, queue: Mapping[str, float]) -> bytes:
        """Write all of it, with what was seen of the service: None if the store does not tell.

        `queue`: how many tasks wait and so on, by the names that a backlog has; empty without a queue.
        """
        seen = CollectorRegistry()
        seen.register(_Seen(outlook, queue))
        return generate_latest(self._registry) + generate_latest(seen)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[None]:
        """Answer on a port of its own, in a thread; InputError if that cannot be had."""
        try:
            server, thread = start_http_server(port, host, self._registry)
        except OSError as error:
            raise InputError("METRICS_PORT", f"cannot listen on {host}:{port} ({error}): give another one") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Counted(Collector):
    """The counts that are kept without this library."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        tally = self._tally
        yield _counter("exchange_requests", "Requests to the exchange", ("outcome",), _single(tally.requests))
        yield _counter("rows_stored", "Candles written, new or changed", ("timeframe",), _single(tally.rows))
        yield _counter("tasks", "Tasks that ended", ("task", "outcome"), dict(tally.tasks))
        yield _counter("task_seconds", "How long tasks ran", ("task",), _single(tally.task_seconds))


class _Seen(Collector):
    """What was seen of the service at one moment."""

    def __init__(self, outlook: Outlook | None, queue: Mapping[str, float]) -> None:
        self._outlook = outlook
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("candles_store_up", "Whether the store tells", value=self._outlook is not None)
        for what in self._queue.keys() & _QUEUE.keys():
            yield GaugeMetricFamily(*_QUEUE[what], value=self._queue[what])
        if self._outlook is not None:
            yield from _of_outlook(self._outlook)


def _of_outlook(outlook: Outlook) -> Iterator[Metric]:
    counts = GaugeMetricFamily("candles_series", "Followed series by verdict", labels=["verdict"])
    for verdict, number in outlook.counts.items():
        counts.add_metric([verdict], number)
    yield counts
    lags = GaugeMetricFamily(
        "candles_lag_seconds", "Open time that is owed, of the worst series", labels=["security", "timeframe"]
    )
    for each in outlook.series[:WORST]:
        if each.lag:
            series = each.state.series
            lags.add_metric([str(series.security), series.timeframe], each.lag.total_seconds())
    yield lags
    most = max((each.lag.total_seconds() for each in outlook.series), default=0)
    yield GaugeMetricFamily("candles_lag_most_seconds", "Open time that the series owes which owes most", value=most)
    failing = sum(each.state.failures > 0 for each in outlook.series)
    yield GaugeMetricFamily("candles_series_failing", "Followed series whose last load failed", value=failing)
    source = GaugeMetricFamily("candles_source_state", "How we stand with the exchange", labels=["state"])
    for state in _STATES:
        source.add_metric([state], outlook.source.state == state)
    yield source


def _single(counts: Mapping[Any, float]) -> dict[tuple[str, ...], float]:
    return {(name,): number for name, number in dict(counts).items()}  # copied at once: others go on counting


def _counter(name: str, what: str, labels: tuple[str, ...], counts: Mapping[Any, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"candles_{name}", what, labels=labels)
    for values, number in counts.items():
        family.add_metric(values, number)
    return family
