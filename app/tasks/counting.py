"""What tasks did, counted, and told where no API tells it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult

from app.bootstrap import Service
from app.core.tally import Tally


class TaskTally(TaskiqMiddleware):
    """Counts what tasks did."""

    def __init__(self, tally: Tally) -> None:
        """Take where to count."""
        super().__init__()
        self._tally = tally

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        outcome = "failed" if result.is_err else "done"
        self._tally.tasks[message.task_name, outcome] += 1
        self._tally.task_seconds[message.task_name] += result.execution_time


@contextmanager
def told_on_a_port(service: Service) -> Iterator[None]:
    """Answer /metrics on METRICS_PORT with what this process did, if one is set; InputError if it cannot be had."""
    if (port := service.settings.metrics_port) is None:
        yield
        return
    from app.metrics import Metrics  # noqa: PLC0415  # its library takes a while, and is not always wanted

    with Metrics(service.tally).served(service.settings.host, port):
        yield
