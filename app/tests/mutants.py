"""Bugs on purpose: a plugin of pytest that plants the one which the environment names in `MUTANT`.

Each changes a single line of a single function while it runs; the files stay as they are.
"""

import importlib
import inspect
import os
import textwrap
from dataclasses import dataclass
from types import FunctionType
from typing import cast


@dataclass(frozen=True, slots=True)
class Mutant:
    """A line of a function (`module:name`), what stands there instead, and the test that must notice."""

    function: str
    line: str
    instead: str
    killer: str


_CORE = "app/tests/core"
_SCENARIOS = "app/tests/test_loader_scenarios.py"
_BATCHES = "app.core.batches"
_RECONCILIATION = "app.core.reconciliation"

MUTANTS = {
    "the watermark is dropped": Mutant(
        f"{_BATCHES}:Rules.watermark",
        "return series.timeframe.floor(as_of - self.delay - self.margin)",
        "return series.timeframe.after(as_of)",
        f"{_CORE}/test_batches.py::test_i4_bars_are_final_up_to_the_watermark",
    ),
    "the span is committed apart from its candles": Mutant(
        "app.market_data_loader:_write_once",
        "await _apply(uow, batch, changes)",
        "none = batch.candles[:0]\n"
        "        await _apply(uow, batch, replace(changes, new=none, changed=none, superseded=none, dropped=none))\n"
        "    async with storage.begin() as uow:\n"
        "        await _apply(uow, batch, replace(changes, covered=()))",
        f"{_SCENARIOS}::test_a_death_leaves_nothing_covered_that_is_not_stored",
    ),
    "rows of an answer are not sorted": Mutant(
        "app.market_data_adapter.parsing:_fold",
        "return [by_begin[begin] for begin in sorted(by_begin)], len(differing)",
        "return list(by_begin.values()), len(differing)",
        "app/tests/market_data_adapter/test_parsing.py::test_s5_s17_rows_are_sorted_and_equal_repeats_folded",
    ),
    "an upsert is not sorted": Mutant(
        "app.repository.sql.collection:SqlCollection._folded",
        "return [by_key[key] for key in sorted(by_key)]",
        "return list(by_key.values())",
        "app/tests/repository/test_sql_storage.py::test_rows_are_written_in_the_order_of_their_keys",
    ),
    "the last bar of an answer is believed": Mutant(
        f"{_BATCHES}:batch_of",
        "is_whole = is_followed or",
        "is_whole = True or",
        f"{_SCENARIOS}::test_the_last_minute_of_a_source_that_lags_is_not_believed",
    ),
    "silence is believed at once": Mutant(
        "app.market_data_windows:Window._pages",
        "if not is_repeated:",
        "if False:",
        f"{_SCENARIOS}::test_silence_is_not_believed_of_a_source_that_traded",
    ),
    "an older answer overwrites a newer one": Mutant(
        f"{_RECONCILIATION}:reconcile",
        "is_stale = state.as_of is not None and batch.as_of < state.as_of",
        "is_stale = False",
        f"{_CORE}/test_reconciliation.py::test_i15_an_older_answer_writes_only_what_is_uncovered",
    ),
    "a final candle forms again": Mutant(
        f"{_RECONCILIATION}:_compare_rows",
        "elif before != row and row[7] >= before[7]:",
        "elif before != row:",
        f"{_CORE}/test_reconciliation.py::test_i5_a_final_candle_neither_forms_again_nor_vanishes",
    ),
    "the slot of a bad row is covered": Mutant(
        f"{_RECONCILIATION}:reconcile",
        "subtract([proven], [*batch.holes, *slots])",
        "subtract([proven], slots)",
        f"{_CORE}/test_reconciliation.py::test_i8_the_slot_of_a_rejected_row_stays_uncovered",
    ),
    "a period holds its end": Mutant(
        "app.core.spans:Period.__contains__",
        "self.time_from <= moment < self.time_till",
        "self.time_from <= moment <= self.time_till",
        f"{_CORE}/test_spans.py::test_periods_are_half_open",
    ),
    "a period of no length is one": Mutant(
        "app.core.spans:Period.__bool__",
        "self.time_from < self.time_till",
        "self.time_from <= self.time_till",
        f"{_CORE}/test_spans.py::test_periods_are_half_open",
    ),
    "periods that touch stay apart": Mutant(
        "app.core.spans:merge",
        "period.time_from <= united[-1].time_till",
        "period.time_from < united[-1].time_till",
        f"{_CORE}/test_spans.py::test_merging_keeps_the_minutes_in_normal_form",
    ),
    "the minute behind a span counts as covered": Mutant(
        f"{_RECONCILIATION}:_membership",
        "begin < ends[index]",
        "begin <= ends[index]",
        f"{_CORE}/test_reconciliation.py::test_i15_an_older_answer_writes_only_what_is_uncovered",
    ),
    "the later of two clocks is believed": Mutant(
        "app.market_data_adapter.moex:MoexAdapter._as_of",
        "return min(started, given_at)",
        "return max(started, given_at)",
        "app/tests/market_data_adapter/test_moex.py::test_s23_an_answer_is_as_old_as_the_earlier_clock_says",
    ),
    "a row that moved between pages is not noticed": Mutant(
        "app.market_data_adapter.moex:_Edge.continued",
        "if not again or (again[0] != self.candle",
        "if False and (again[0] != self.candle",
        "app/tests/market_data_adapter/test_moex.py::test_s6_a_row_that_moves_between_pages_is_noticed",
    ),
}


def pytest_configure() -> None:
    """Plant the bug before the first test is read."""
    if name := os.environ.get("MUTANT"):
        plant(MUTANTS[name])


def plant(mutant: Mutant) -> None:
    """Give the function another body; whoever imported it has the bug too."""
    module_name, _, path = mutant.function.partition(":")
    module = importlib.import_module(module_name)
    found: object = module
    for part in path.split("."):
        found = getattr(found, part)
    function = cast("FunctionType", found)
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(mutant.line) != 1:
        raise LookupError(f"{mutant.function} has no such line any more: {mutant.line}")
    changed: dict[str, FunctionType] = {}
    exec(source.replace(mutant.line, mutant.instead), vars(module), changed)  # noqa: S102  # our own text
    function.__code__ = changed[function.__name__].__code__
