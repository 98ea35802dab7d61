"""Which tasks somebody waits for."""

from taskiq import BrokerMessage


def is_urgent(message: BrokerMessage) -> bool:
    """Tell whether it was kicked `.with_labels(urgent=True)`; TaskIQ writes the values of labels as text."""
    return message.labels.get("urgent") == str(True)
