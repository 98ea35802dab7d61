"""Which tasks somebody waits for, and that they go first where they queue for the exchange."""

from collections.abc import Mapping

from taskiq import TaskiqMessage, TaskiqMiddleware

from app.core.urgency import in_background


def is_urgent(labels: Mapping[str, object]) -> bool:
    """Tell whether it was kicked `.with_labels(urgent=True)`; on its way TaskIQ writes the values of labels as text."""
    return str(labels.get("urgent")) == str(True)


class PeopleFirst(TaskiqMiddleware):
    """Lets the rest know that nobody waits for it."""

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        in_background.set(not is_urgent(message.labels))
        return message
