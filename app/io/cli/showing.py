"""Candles: show them, say what is covered, what is missing and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.errors import InputError
from app.io import charts
from app.io.cli import output
from app.io.cli.options import AsJson, Board, From, OneTimeframe, Ticker, Till, Utc
from app.io.cli.running import run
from app.io.parameters import parse_security
from app.use_cases import get_candles, get_spans
from app.use_cases.explain_gaps import Gap, GapReason
from app.use_cases.get_candles import CandleAnswer
from app.use_cases.get_spans import SeriesCoverage

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service

NEWEST = 20

_Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        min=1,
        help=f"At most so many candles, the newest. By default {NEWEST}, in a chart {charts.WIDTH}; "
        "--json and --csv give a whole period.",
    ),
]
_AsCsv = Annotated[bool, typer.Option("--csv", help="CSV with a header for scripts, times in UTC.")]
_Chart = Annotated[bool, typer.Option("--chart", help="Draw the candles instead.")]


def show(  # noqa: PLR0913  # options of a command, not arguments of a call
    ticker: Ticker,
    board: Board = None,
    timeframe: OneTimeframe = Timeframe.D1,
    time_from: From = None,
    time_till: Till = None,
    limit: _Limit = None,
    *,
    as_json: AsJson = False,
    as_csv: _AsCsv = False,
    chart: _Chart = False,
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
