"""Candles: load, show, say what is covered, prove that the store keeps its promises."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.corporate_actions import Split
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.errors import InputError, SourceError
from app.core.market_data import LoadOutcome
from app.io import charts
from app.io.cli import output
from app.io.cli.options import AsJson, Board, From, OneTimeframe, Securities, Ticker, Till, Timeframes, Utc
from app.io.cli.progress import LoadProgress
from app.io.cli.running import FAILED, run
from app.io.parameters import parse_security
from app.use_cases import audit_candles as auditing
from app.use_cases import get_candles, get_spans, list_securities
from app.use_cases import update_candles as updating
from app.use_cases import verify as verifying
from app.use_cases.explain_gaps import Gap, GapReason
from app.use_cases.get_candles import CandleAnswer
from app.use_cases.get_spans import SeriesCoverage
from app.use_cases.record_splits import record_splits
from app.use_cases.verify import Violation

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service

NEWEST = 20


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


def show(  # noqa: PLR0913  # options of a command, not arguments of a call
    ticker: Ticker,
    board: Board = None,
    timeframe: OneTimeframe = Timeframe.D1,
    time_from: From = None,
    time_till: Till = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=1,
            help=f"At most so many candles, the newest. By default {NEWEST}, in a chart {charts.WIDTH}; "
            "--json and --csv give a whole period.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header for scripts, times in UTC.")] = False,
    chart: Annotated[bool, typer.Option("--chart", help="Draw the candles instead.")] = False,
    utc: Utc = False,
) -> None:
    """Print stored candles, oldest first.

    Nothing is asked of the exchange. Without a period: the newest. What of the period is not loaded is said on stderr.
    """
    if as_json + as_csv + chart > 1:
        raise InputError("json", "choose one of --json, --csv and --chart")
    is_whole = (as_json or as_csv) and (time_from or time_till)
    question = _Question(
        Series(parse_security(ticker, board), timeframe or Timeframe.D1),
        time_from,
        time_till,
        limit or (None if is_whole else charts.WIDTH if chart else NEWEST),
    )
    answer = run(question.ask)
    objects = map(output.candle_object, answer.page)
    if as_json:
        output.show_json(objects)
    elif as_csv:
        output.show_csv(output.CANDLE_COLUMNS, objects)
    elif chart:
        output.show_lines(charts.draw(answer.page))
    else:
        _show_page(answer, utc=utc)
    _remark(answer, is_cut=answer.has_more and not limit and bool(time_from or time_till))


def spans(
    ticker: Ticker, board: Board = None, timeframe: OneTimeframe = None, *, as_json: AsJson = False, utc: Utc = False
) -> None:
    """Show what is covered, and what is missing and why.

    closed: the exchange was. before_listing: it has no candles of that time. no_trades: asked, and nothing came yet.
    in_progress: too fresh to be final, or read again since the share was split. source_error: the exchange failed, or
    its row was refused. not_loaded: not asked yet. update-candles loads what can be loaded.
    """
    security = parse_security(ticker, board)
    found = run(lambda service: get_spans.get_spans(service.storage, service.clock, security, timeframe=timeframe))
    if as_json:
        output.show_json(map(_coverage_object, found))
        return
    rows = [
        (coverage.series.timeframe, output.when(time_from, utc=utc), output.when(time_till, utc=utc), state)
        for coverage in found
        for time_from, time_till, state in _stretches(coverage)
    ]
    output.show_rows(("timeframe", "from", "till", "state"), rows)


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


@dataclass(frozen=True, slots=True)
class _Question:
    """Which stored candles are wanted; an end left open is where they begin, or now."""

    series: Series
    time_from: Timestamp | None
    time_till: Timestamp | None
    limit: int | None

    async def ask(self, service: "Service") -> CandleAnswer:
        begin = self.time_from or await get_candles.first_covered(service.storage, self.series)
        end = self.time_till or max(begin, await service.clock.now())
        return await get_candles.get_candles(
            service.storage, self.series, time_from=begin, time_till=end, limit=self.limit, newest_first=True
        )


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


def _show_page(answer: CandleAnswer, *, utc: bool) -> None:
    numbers = ("open", "high", "low", "close", "volume", "value")
    rows = (
        (
            output.when(candle.timestamp, utc=utc),
            *(str(output.plain(getattr(candle, name))) for name in numbers),
            "" if candle.is_final else "forming",
        )
        for candle in answer.page
    )
    output.show_rows(("begin", *numbers, ""), rows, numbers=numbers)


def _remark(answer: CandleAnswer, *, is_cut: bool) -> None:
    if is_cut:
        output.say(f"the newest {len(answer.page)} of the period: --limit, --csv or --json give more")
    missing = [gap.period for gap in answer.gaps if gap.reason in {GapReason.NOT_LOADED, GapReason.SOURCE_ERROR}]
    if missing:
        where = f"{output.when(missing[0].time_from)} to {output.when(missing[-1].time_till)}"
        output.say(
            f"not everything is loaded: {len(missing)} gaps, {where} (candles update-candles loads them)", "yellow"
        )


def _stretches(coverage: SeriesCoverage) -> Iterator[tuple[Timestamp, Timestamp, str]]:
    covered = [(span.time_from, span.time_till, "covered") for span in coverage.spans]
    missing = [(gap.period.time_from, gap.period.time_till, str(gap.reason)) for gap in coverage.gaps]
    yield from sorted([*covered, *missing])


def _coverage_object(coverage: SeriesCoverage) -> dict[str, object]:
    return {
        "timeframe": coverage.series.timeframe,
        "followed_from": output.optional(coverage.followed_from),
        "watermark": output.optional(coverage.watermark),
        "spans": [{"from": str(span.time_from), "till": str(span.time_till)} for span in coverage.spans],
        "gaps": [_gap_object(gap) for gap in coverage.gaps],
    }


def _gap_object(gap: Gap) -> dict[str, str]:
    return {"from": str(gap.period.time_from), "till": str(gap.period.time_till), "reason": gap.reason}


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
