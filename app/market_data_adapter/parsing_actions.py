"""Lists of corporate actions -> splits and renames. Pure: bytes in, checked values out; bad rows are left out."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import date
from math import isfinite
from typing import Any, TypeVar

from app.core.corporate_actions import ListedSplit, Rename
from app.core.markets import Listed
from app.market_data_adapter.parsing import read_table

Action = TypeVar("Action")
Row = Mapping[str, Any]

_PLACEHOLDER = "XXXXXX"  # the exchange's, where a code was given up


def parse_splits(body: bytes) -> Listed[ListedSplit]:
    """Read the splits. A row that repeats ticker and day replaces the one before."""
    rows = read_table(body, "splits", ("tradedate", "secid", "before", "after"))
    return _listed(rows, _split, lambda split: (split.ticker, split.day))


def parse_renames(body: bytes) -> Listed[Rename]:
    """Read which tickers were replaced. A row that repeats old ticker and day replaces the one before."""
    rows = read_table(body, "changeover", ("action_date", "old_secid", "new_secid"))
    return _listed(rows, _rename, lambda rename: (rename.old, rename.day))


def _listed(rows: Iterable[Row], read: Callable[[Row], Action], key: Callable[[Action], Hashable]) -> Listed[Action]:
    found, skipped = {}, []
    for row in rows:
        try:
            action = read(row)
        except (ValueError, TypeError, ArithmeticError) as error:
            skipped.append(f"{list(row.values())}: {error}")
        else:
            found[key(action)] = action
    return Listed(list(found.values()), skipped)


def _split(row: Row) -> ListedSplit:
    before, after = row["before"], row["after"]
    factor = after / before
    if not (factor > 0 and isfinite(factor) and before > 0):
        raise ValueError("shares before and after are no two positive numbers")
    if factor == 1:
        raise ValueError("as many shares after as before")
    return ListedSplit(_ticker(row["secid"]), date.fromisoformat(row["tradedate"]), factor)


def _rename(row: Row) -> Rename:
    old, new = _ticker(row["old_secid"]), _ticker(row["new_secid"])
    if new in {old, _PLACEHOLDER}:
        raise ValueError("there is no new ticker")
    return Rename(old, new, date.fromisoformat(row["action_date"]))


def _ticker(code: str | float | None) -> str:
    if not isinstance(code, str) or not code.strip():
        raise ValueError("no ticker")
    return code.strip().upper()
