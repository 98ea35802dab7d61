"""Tasks that no worker finished: look at them, queue them again, drop them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.core.errors import InputError, NotFoundError
from app.io.cli import output
from app.io.cli.options import AsJson
from app.io.cli.running import importing, loop_factory, read_settings

if TYPE_CHECKING:  # importing them takes longer than `--help` may
    from app.tasks.dead_letters import DeadLetter
    from app.tasks.stream_broker import StreamBroker

Result = TypeVar("Result")


def dead(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Which ones to queue again or to drop.", show_default=False)
    ] = None,
    *,
    retry: Annotated[bool, typer.Option("--retry", help="Queue them again; needs an ID or --all.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Delete them for good; needs an ID or --all.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tasks that no worker finished, and queue them again.

    Several workers died of such a task, or nobody could read it, or no worker knew it for a day. Nothing is lost with
    it: the next update loads whatever is missing. Needs REDIS_URL.
    """
    if retry and drop:
        raise InputError("retry", "either --retry or --drop")
    if not (retry or drop):
        if ids or everything:
            raise InputError("retry", "say what to do with them: --retry or --drop")
        _show(_ask(lambda queue: queue.dead.read()), as_json=as_json)
        return
    if bool(ids) == everything:
        raise InputError("id", "name some, or --all")
    _tell(*_ask(lambda queue: (_retry if retry else _drop)(queue, ids)))


def _ask(work: "Callable[[StreamBroker], Awaitable[Result]]") -> Result:
    with importing():
        from app.bootstrap import configure_logging  # noqa: PLC0415  # heavy: only who works waits for it
        from app.tasks.broker import open_queue  # noqa: PLC0415

    settings = read_settings()
    configure_logging("ERROR")  # the sentence at the end says it

    async def ask() -> Result:
        async with open_queue(settings) as queue:
            return await work(queue)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(ask())


async def _retry(queue: "StreamBroker", ids: Sequence[str] | None) -> tuple[str, int, int]:
    letters = await _choose(queue, ids)
    readable = [letter for letter in letters if letter.message is not None]
    for letter in readable:
        if letter.message is not None:
            await queue.kick(letter.message)
            await queue.dead.drop([letter])
    return "queued again", len(readable), len(letters) - len(readable)


async def _drop(queue: "StreamBroker", ids: Sequence[str] | None) -> tuple[str, int, int]:
    letters = await _choose(queue, ids)
    await queue.dead.drop(letters)
    return "dropped", len(letters), 0


async def _choose(queue: "StreamBroker", ids: Sequence[str] | None) -> "list[DeadLetter]":
    letters = await queue.dead.read()
    if not ids:
        return letters
    if missing := set(ids) - {letter.letter_id for letter in letters}:
        raise NotFoundError(f"no dead task has the id {', '.join(sorted(missing))}")
    return [letter for letter in letters if letter.letter_id in ids]


def _tell(what: str, done: int, left: int) -> None:
    output.say(f"{done} {what}")
    if left:
        output.say(f"nobody can read {left} of them: --drop deletes what stays dead", "yellow")


def _show(letters: "Sequence[DeadLetter]", *, as_json: bool) -> None:
    if as_json:
        output.show_json(map(_object, letters))
        return
    rows = ((letter.letter_id, _task(letter), output.when(letter.buried_at), letter.reason) for letter in letters)
    output.show_rows(("id", "task", "when", "reason"), rows)


def _task(letter: "DeadLetter") -> str:
    return letter.message.task_id if letter.message else ""


def _object(letter: "DeadLetter") -> dict[str, object]:
    return {
        "id": letter.letter_id,
        "task": letter.message and letter.message.task_id,
        "name": letter.message and letter.message.task_name,
        "when": str(letter.buried_at),
        "reason": letter.reason,
    }
