"""What a load noticed, for the log."""

from collections.abc import Sequence

import structlog

from app.core.corporate_actions import Split
from app.core.market_data import LoadOutcome

_log = structlog.stdlib.get_logger(__name__)


def log_oddities(series: str, outcome: LoadOutcome) -> None:
    """Tell what the exchange changed, spoiled or said twice; that new candles came is no news."""
    found = {
        "revised": outcome.revised,
        "withdrawn": outcome.withdrawn,
        "quarantined": outcome.quarantined,
        "conflicts": outcome.conflicts,
    }
    if counts := {name: sum(of_series.values()) for name, of_series in found.items() if of_series}:
        _log.warning("the exchange contradicted itself", series=series, **counts)
    log_splits(outcome.splits)


def log_splits(splits: Sequence[Split]) -> None:
    """Tell of each that was not known before."""
    for split in splits:
        _log.warning("a share was split", security=str(split.security), day=str(split.day), factor=split.factor)
