"""Many securities at once: a plan, a question, then one after another."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.entities import Timeframe
from app.core.errors import InputError
from app.io.cli import output
from app.io.cli.options import AsJson, Yes
from app.io.cli.running import FAILED, run
from app.io.import_file import BadLine, Entry, read_entries
from app.use_cases import create_securities as creation
from app.use_cases.create_securities import Created, Plan, Wanted
from app.use_cases.create_security import Since

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service


def import_securities(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="CSV with a header that names columns: ticker, and board, timeframes, since as far as wanted; "
            "or lines of TICKER BOARD, BOARD:TICKER or TICKER. - reads stdin.",
        ),
    ],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Follow every security of a file.

    A plan comes first: what it will take at most to follow and load them. A line that makes no sense, or names what
    the exchange does not know, is told by its number and stops nobody else; the exit code is then 1.
    """
    entries = read_entries(_text(file))
    bad = [entry for entry in entries if isinstance(entry, BadLine)]
    for each in bad:
        output.complain(f"line {each.line}: {each.error.field}: {each.error}")
    good = [entry for entry in entries if isinstance(entry, Entry)]
    run(lambda service: _follow_entries(service, good, yes=yes, as_json=as_json, bad=len(bad)))


async def follow_board(
    service: "Service", board: str, timeframes: Sequence[Timeframe], since: Since | None, *, yes: bool, as_json: bool
) -> None:
    """Follow everything a board lists, after a plan; exit code 1 when something could not be followed."""
    wishes = await service.since(timeframes, since)
    wanted = await creation.want_board(service.storage, service.directory, service.clock, board, since=wishes)
    await _follow(service, wanted, yes=yes, as_json=as_json)


async def _follow_entries(service: "Service", entries: Sequence[Entry], *, yes: bool, as_json: bool, bad: int) -> None:
    wanted, late = [], 0
    for entry in entries:
        try:
            since = await service.since(entry.timeframes, entry.since)
        except InputError as error:
            output.complain(f"line {entry.line}: {error.field}: {error}")
            late += 1
        else:
            wanted.append(Wanted(entry.security, since, entry.line))
    if not wanted and not (bad or late):
        raise InputError("file", "it names no security")
    await _follow(service, wanted, yes=yes, as_json=as_json, failed=bad + late)


async def _follow(service: "Service", wanted: Sequence[Wanted], *, yes: bool, as_json: bool, failed: int = 0) -> None:
    if wanted:
        rate = service.settings.iss_rate
        _say_plan(creation.plan_creation(wanted, now=await service.clock.now(), rate=rate), rate)
        _ask(yes=yes)
    ended = []
    with output.counting("following", len(wanted)) as count:
        async for created in creation.create_securities(service.storage, service.adapter, wanted):
            ended.append(created)
            count()
    for created in ended:
        if created.error is not None:
            output.complain(f"{_where(created.wanted)}: {created.error}")
    _show(ended, as_json=as_json)
    total = failed + len(ended)
    failed += sum(each.error is not None for each in ended)
    if failed:
        output.complain(f"{failed} of {total} could not be followed")
        raise typer.Exit(FAILED)
    output.say("candles update-candles loads them, or a running worker")


def _say_plan(plan: Plan, rate: float | None) -> None:
    what = f"{_counted(plan.securities, 'security', 'securities')} in {plan.series:,} series"
    cost = f"at most {plan.requests:,} requests and {plan.rows:,} candles"
    if plan.duration is None:
        output.say(f"{what}: {cost}; there is no limit of requests a second (ISS_RATE)")
    else:
        minutes = _counted(max(round(plan.duration.total_seconds() / 60), 1), "minute", "minutes")
        output.say(f"{what}: {cost}, {minutes} at {rate:g} requests a second (ISS_RATE)")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _ask(*, yes: bool) -> None:
    """Go on after a yes; without a terminal there is nobody to say it."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError("yes", "nobody is there to agree to this plan: add --yes")
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(FAILED)


def _show(ended: Sequence[Created], *, as_json: bool) -> None:
    if as_json:
        output.show_json(map(_object, ended))
        return
    rows = [(_name(each), each.followed.card.short_name if each.followed else "", _state(each)) for each in ended]
    if rows:
        output.show_rows(("security", "name", "state"), rows)


def _object(created: Created) -> dict[str, object]:
    return {
        "security": _name(created),
        "line": created.wanted.line,
        "state": _state(created),
        "error": None if created.error is None else str(created.error),
    }


def _name(created: Created) -> str:
    return str(created.followed.card.security if created.followed else created.wanted.security)


def _state(created: Created) -> str:
    if created.followed is None:
        return "failed"
    return "followed now" if created.followed.is_new else "followed already"


def _where(wanted: Wanted) -> str:
    return f"line {wanted.line}" if wanted.line is not None else str(wanted.security)


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError("file", f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError("file", f"{file} is no UTF-8 text: {error}") from error
