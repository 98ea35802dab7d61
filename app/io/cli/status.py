"""How current what is followed is, and how the service stands with the exchange."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.freshness import Freshness, Outlook, Verdict
from app.io.cli import output
from app.io.cli.options import AsJson, Utc
from app.io.cli.running import FAILED, run

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.core.market_data import SourceStatus

WORST = 20

_WORDS = {
    "ok": "nothing keeps us from asking the exchange",
    "paused": "the exchange asked for patience",
    "open": "the exchange failed too often and is left alone",
    "half_open": "the exchange failed too often; the next request tries for all",
}
_COLUMNS = ("series", "verdict", "lag", "current till", "last success", "last change", "fails", "next try", "error")
_LONGEST_ERROR = 80
_PATH = re.compile(r"(?<=://)([^/\s]+)/\S+")


def status(
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=0, help=f"At most so many series. By default {WORST}; --json gives all."),
    ] = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 unless everything is fresh.")] = False,
    as_json: AsJson = False,
    utc: Utc = False,
) -> None:
    """Tell how current what is followed is, and how we stand with the exchange.

    The worst come first. lag is the open time for which bars are owed that could be final; closed time is none, and it
    is counted back a year at most. A series that owes a bar for longer than two of its ticks is behind; or source down
    or paused, while the exchange is left alone or asked for patience. One that fails is tried again later and later:
    next try.

    The exchange is not asked. Processes that share a Redis share how they stand with it; without one each knows only
    its own.
    """
    found = run(lambda service: service.freshness())
    shown = found.series[: limit if limit is not None or as_json else WORST]
    if as_json:
        output.show_json([_object(found, shown)])
    else:
        source = found.source
        output.show_rows(("state", "until", "reason"), [(source.state, output.when(source.until), source.reason)])
        if shown:
            output.show_rows(_COLUMNS, (_row(each, utc=utc) for each in shown), numbers=("lag", "fails"))
        _say(found)
    if check and found.verdict is not Verdict.FRESH:
        raise typer.Exit(FAILED)


def _say(found: Outlook) -> None:
    output.say(_WORDS[found.source.state])
    counts = [f"{number} {_name(verdict)}" for verdict, number in found.counts.items() if number]
    output.say(", ".join(counts) if counts else "nothing is followed: begin with candles create-security SBER TQBR")


def _row(found: Freshness, *, utc: bool) -> tuple[str, ...]:
    state = found.state
    moments = (found.current_till, state.checked_at, found.changed_at)
    return (
        str(state.series),
        _name(found.verdict),
        _length(found.lag),
        *(output.when(moment, utc=utc) for moment in moments),
        str(state.failures or ""),
        output.when(found.retry_at, utc=utc),
        _shortened(state.failure or ""),
    )


def _name(verdict: Verdict) -> str:
    return verdict.replace("_", " ")


def _length(lag: timedelta) -> str:
    """Write open time for people: `1:05` are an hour and five minutes."""
    minutes = lag // timedelta(minutes=1)
    return f"{minutes // 60}:{minutes % 60:02}" if minutes else ""


def _shortened(text: str) -> str:
    """Leave out of addresses all but the host, and the end of what would break the table; --json gives all of it."""
    line = _PATH.sub(r"\1/...", " ".join(text.split()))
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 3]}..."


def _object(found: Outlook, shown: Sequence[Freshness]) -> dict[str, object]:
    return {
        **_source(found.source),
        "verdict": found.verdict,
        "at": str(found.at),
        "counts": found.counts,
        "series": [_series(each) for each in shown],
    }


def _source(source: "SourceStatus") -> dict[str, object]:
    return {
        "state": source.state,
        "until": output.optional(source.until),
        "reason": source.reason,
        "shared": source.is_shared,
    }


def _series(found: Freshness) -> dict[str, object]:
    state = found.state
    return {
        "security": str(state.series.security),
        "timeframe": state.series.timeframe,
        "verdict": found.verdict,
        "lag_seconds": int(found.lag.total_seconds()),
        "owed_since": output.optional(found.owed_since),
        "current_till": output.optional(found.current_till),
        "watermark": output.optional(state.watermark),
        "checked_at": output.optional(state.checked_at),
        "changed_at": output.optional(found.changed_at),
        "failed_at": output.optional(state.failed_at),
        "failure": state.failure,
        "failures": state.failures,
        "retry_at": output.optional(found.retry_at),
    }
