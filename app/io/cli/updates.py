"""What an update would take, and how far those are that somebody asked for."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.updates import UpdateState
from app.io.cli import output
from app.io.cli.options import AsJson, From, Securities, Till, Timeframes
from app.io.cli.progress import UpdateWatch
from app.io.cli.running import FAILED, run
from app.use_cases.get_update import PartProgress, UpdateProgress, get_update, list_updates
from app.use_cases.plan_updates import PlannedLoad, UpdatePlan, plan_updates

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.bootstrap import Service

_POLL_SECONDS = 0.5
_OVER = {UpdateState.DONE, UpdateState.FAILED}


def plan(
    security: Securities = None,
    timeframe: Timeframes = None,
    time_from: From = None,
    time_till: Till = None,
    *,
    again: Annotated[bool, typer.Option("--again", help="As if what is covered were read too; needs --from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what update-candles would take: requests, candles and minutes.

    Nothing is loaded, and the exchange is not asked. How dense candles are is judged by those that are stored.
    """

    async def work(service: "Service") -> UpdatePlan:
        return await plan_updates(
            service.storage,
            service.loader,
            service.clock,
            securities=security or (),
            timeframes=timeframe or (),
            time_from=time_from,
            time_till=time_till,
            again=again,
            rate=service.settings.iss_rate,
        )

    _show_plan(run(work), as_json=as_json)


def updates(
    update_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only this one; at a terminal, until it is over.")
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, without an ID.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Tell how far what was asked for is.

    The newest first. It was asked for over REST: updates, securities to follow, and candles that nobody followed. With
    an ID the exit code is 1 if something of it could not be loaded.
    """
    if update_id is None:
        _show(run(lambda service: list_updates(service.storage, service.clock, limit=limit)), as_json=as_json)
        return
    is_watched = output.is_terminal() and not as_json
    found = run(lambda service: _followed(service, update_id, is_watched=is_watched))
    if as_json:
        _show([found], as_json=True)
    else:
        _show_parts(found.parts)
    if found.state is UpdateState.FAILED:
        raise typer.Exit(FAILED)


async def _followed(service: "Service", update_id: str, *, is_watched: bool) -> UpdateProgress:
    """Return how far it is now, or draw a bar until it is over."""
    found = await get_update(service.storage, service.clock, update_id)
    if is_watched:
        with UpdateWatch(update_id) as watch:
            watch.show(found)
            while found.state not in _OVER:
                await asyncio.sleep(_POLL_SECONDS)
                found = await get_update(service.storage, service.clock, update_id)
                watch.show(found)
    return found


def _show_plan(found: UpdatePlan, *, as_json: bool) -> None:
    if as_json:
        output.show_json(_load_object(load, found) for load in found.loads)
        return
    rows = [
        (
            str(load.series.security),
            load.series.timeframe,
            output.when(load.missing[0].time_from),
            output.when(load.missing[-1].time_till),
            str(load.requests),
            str(load.rows),
        )
        for load in found.loads
    ]
    numbers = ("requests", "candles")
    if rows:
        output.show_rows(("security", "timeframe", "from", "till", *numbers), rows, numbers=numbers)
    output.say(_summary(found))


def _summary(found: UpdatePlan) -> str:
    if not found.loads:
        return "nothing is missing"
    cost = f"about {found.requests:,} requests and {found.rows:,} candles"
    if found.duration is None:
        return f"{cost}; there is no limit of requests a second (ISS_RATE)"
    return f"{cost}: {found.duration.total_seconds() / 60:.1f} minutes at the rate of ISS_RATE"


def _load_object(load: PlannedLoad, found: UpdatePlan) -> dict[str, object]:
    share = None if found.duration is None else found.duration.total_seconds() * load.requests / found.requests
    return {
        "security": str(load.series.security),
        "timeframe": load.series.timeframe,
        "missing": [{"from": str(part.time_from), "till": str(part.time_till)} for part in load.missing],
        "requests": load.requests,
        "rows": load.rows,
        "minutes": None if share is None else round(share / 60, 2),
    }


def _show(found: Sequence[UpdateProgress], *, as_json: bool) -> None:
    if as_json:
        output.show_json(map(_object, found))
        return
    rows = [
        (
            each.update.id,
            output.when(each.update.asked_at),
            each.state,
            _percent(each.covered, each.requested),
            f"{each.rows}",
            output.when(each.expected_end or each.done_at),
        )
        for each in found
    ]
    if not rows:
        output.say("nobody asked for anything lately")
        return
    output.show_rows(("id", "asked at", "state", "loaded", "candles", "end"), rows, numbers=("loaded", "candles"))


def _show_parts(parts: Sequence[PartProgress]) -> None:
    rows = [
        (
            str(each.part.series.security),
            each.part.series.timeframe,
            output.when(each.part.period.time_from),
            output.when(each.part.period.time_till),
            each.state,
            _percent(each.covered, each.requested),
            f"{each.rows}",
            each.failure or "",
        )
        for each in parts
    ]
    columns = ("security", "timeframe", "from", "till", "state", "loaded", "candles", "failed")
    output.show_rows(columns, rows, numbers=("loaded", "candles"))


def _percent(covered: int, requested: int) -> str:
    return f"{100 * covered // requested if requested else 100}%"


def _object(found: UpdateProgress) -> dict[str, object]:
    return {
        "id": found.update.id,
        "asked_at": str(found.update.asked_at),
        "state": found.state,
        "requested": found.requested,
        "covered": found.covered,
        "rows": found.rows,
        "rate": found.rate,
        "expected_end": output.optional(found.expected_end),
        "done_at": output.optional(found.done_at),
        "parts": [_part_object(each) for each in found.parts],
    }


def _part_object(found: PartProgress) -> dict[str, object]:
    return {
        "security": str(found.part.series.security),
        "timeframe": found.part.series.timeframe,
        "from": str(found.part.period.time_from),
        "till": str(found.part.period.time_till),
        "again": found.part.again,
        "state": found.state,
        "requested": found.requested,
        "covered": found.covered,
        "rows": found.rows,
        "failed_at": output.optional(found.failed_at),
        "failure": found.failure,
    }
