"""Candles: load them, and prove that the store keeps its promises."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.corporate_actions import Split
from app.core.entities import Security, Series, Timeframe
from app.core.errors import SourceError
from app.core.market_data import LoadOutcome
from app.io.cli import output
from app.io.cli.options import AsJson, From, Securities, Till, Timeframes
from app.io.cli.progress import LoadProgress
from app.io.cli.running import FAILED, run
from app.use_cases import audit_candles as auditing
from app.use_cases import list_securities
from app.use_cases import update_candles as updating
from app.use_cases import verify as verifying
from app.use_cases.record_splits import record_splits
from app.use_cases.verify import Violation

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service


def update_candles(
    security: Securities = None,
    timeframe: Timeframes = None,
    time_from: From = None,
    time_till: Till = None,
    *,
    again: Annotated[
        bool,
        typer.Option("--again", help="Read what is covered too, and compare it with what is stored; needs --from."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load what is followed and not stored yet.

    Up to now, unless told otherwise; what is covered already costs no request. A series that fails is named at the
    end and stops nobody else; the exit code is then 1. Interrupted at any moment, it goes on from there the next time.
    """
    with LoadProgress() as progress:

        async def update(service: "Service") -> LoadOutcome:
            await _look_for_splits(service)
            return await updating.update_candles(
                service.storage,
                service.loader,
                service.clock,
                securities=security or (),
                timeframes=timeframe or (),
                time_from=time_from,
                time_till=time_till,
                again=again,
                progress=progress,
            )

        outcome = run(update)
    _show_outcome(outcome, progress.series, as_json=as_json)
    _tell_splits(outcome.splits, "its prices show it; what is stored of before is read again by the next update")
    if not progress.series and not run(lambda service: list_securities.list_securities(service.storage)):
        output.say("nothing is followed: begin with candles create-security SBER TQBR")
    if outcome.failures:
        output.complain(f"{len(outcome.failures)} of {len(progress.series)} series could not be loaded completely")
        raise typer.Exit(FAILED)


def verify(
    security: Securities = None,
    timeframe: Timeframes = None,
    *,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit",
            help="Compare M10, H1 and D1 with what the minutes add up to. Bars that differ go to quarantine and are "
            "asked again, with their minutes, by update-candles.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the store keeps its promises.

    Exit code 1 if one is broken. These are the invariants I1 to I6, I8 to I10, I15 and I16 of the documentation; with
    --audit also that the exchange agrees with itself.
    """
    violations = run(lambda service: _verify(service, security or (), timeframe or (), is_audit=audit))
    if as_json:
        output.show_json(map(_violation_object, violations))
    elif violations:
        output.show_rows(("invariant", "series", "what", "first seen at", "times"), map(_violation_row, violations))
    if violations:
        output.complain(f"{len(violations)} promises are broken")
        raise typer.Exit(FAILED)
    output.say("every promise is kept", "green")


async def _look_for_splits(service: "Service") -> None:
    """Once an hour; without the list the update goes on, and says so."""
    try:
        recorded = await record_splits(service.storage, service.directory, service.clock)
    except SourceError as error:
        output.complain(f"whether a share was split is not known: {error}")
        return
    _tell_splits(recorded.splits, "what is stored of before is read again")


def _tell_splits(splits: Sequence[Split], what: str) -> None:
    for split in splits:
        output.say(f"{split.security} was split on {split.day}: {what}", "yellow")


async def _verify(
    service: "Service", securities: Sequence[Security], timeframes: Sequence[Timeframe], *, is_audit: bool
) -> list[Violation]:
    found = await verifying.verify(service.storage, securities=securities, timeframes=timeframes)
    if not is_audit:
        return found
    audit = auditing.audit_candles(service.storage, service.clock, securities=securities, timeframes=timeframes)
    return [*found, *await audit]


def _show_outcome(outcome: LoadOutcome, series: Sequence[Series], *, as_json: bool) -> None:
    touched = sorted({*series, *outcome.rows, *outcome.revised, *outcome.failures}, key=_in_order)
    if as_json:
        output.show_json(_outcome_object(outcome, each) for each in touched)
        return
    if not touched:
        output.say("nothing is missing")
        return
    counted = (outcome.rows, outcome.revised, outcome.withdrawn, outcome.quarantined)
    rows = [
        (
            str(each.security),
            each.timeframe,
            *(str(counts.get(each, 0)) for counts in counted),
            str(outcome.failures.get(each, "")),
        )
        for each in touched
    ]
    numbers = ("written", "revised", "withdrawn", "quarantined")
    output.show_rows(("security", "timeframe", *numbers, "failed"), rows, numbers=numbers)


def _outcome_object(outcome: LoadOutcome, series: Series) -> dict[str, object]:
    failure = outcome.failures.get(series)
    return {
        "security": str(series.security),
        "timeframe": series.timeframe,
        "written": outcome.rows.get(series, 0),
        "revised": outcome.revised.get(series, 0),
        "withdrawn": outcome.withdrawn.get(series, 0),
        "quarantined": outcome.quarantined.get(series, 0),
        "conflicts": outcome.conflicts.get(series, 0),
        "failed": None if failure is None else str(failure),
    }


def _in_order(series: Series) -> tuple[str, str, int]:
    return series.security.board, series.security.ticker, list(Timeframe).index(series.timeframe)


def _violation_row(violation: Violation) -> tuple[str, ...]:
    where = output.when(violation.where)
    return violation.invariant, str(violation.series), violation.what, where, str(violation.times)


def _violation_object(violation: Violation) -> dict[str, object]:
    return {
        "invariant": violation.invariant,
        "security": str(violation.series.security),
        "timeframe": violation.series.timeframe,
        "what": violation.what,
        "where": output.optional(violation.where),
        "times": violation.times,
    }
