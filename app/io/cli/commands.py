"""The program: its commands in the order in which people meet them. A command is imported when it is called."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from app import __version__
from app.io.cli.running import ErrorsToExitCodes

COMMANDS = {
    "create-security": ("securities", "Follow a security that the exchange knows, or a whole board."),
    "import-securities": ("many", "Follow every security of a file."),
    "find": ("securities", "Search the exchange, followed or not."),
    "securities": ("securities", "List what is followed."),
    "remove-security": ("securities", "Stop following a security."),
    "update-candles": ("candles", "Load what is followed and not stored yet."),
    "plan": ("updates", "Tell what update-candles would take: requests, candles and minutes."),
    "updates": ("updates", "Tell how far what was asked for is."),
    "show": ("showing", "Print stored candles, oldest first."),
    "export": ("export", "Write all candles of a period into files, however many, times in UTC."),
    "spans": ("showing", "Show what is covered, and what is missing and why."),
    "verify": ("candles", "Check that the store keeps its promises."),
    "calendar": ("calendar", "Show which days are traded, why, and when."),
    "status": ("status", "Tell how current what is followed is, and how we stand with the exchange."),
    "serve": ("processes", "Answer the REST API, documented at /docs."),
    "worker": ("processes", "Load candles when the scheduler asks."),
    "scheduler": ("processes", "Wake the workers up for what is due."),
    "dead": ("dead", "Show the tasks that no worker finished, and queue them again."),
    "migrate": ("processes", "Bring the tables of DATABASE_URL up to date."),
    "demo": ("processes", "See it all at work without the exchange."),
}
"""The module of each command, and the first sentence of its help: the list of them imports nothing."""


class _Commands(ErrorsToExitCodes):
    """Lists commands by name, and reads the one that is wanted."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401  # typer's own
        super().__init__(**attributes)
        for name, (_, sentence) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=sentence))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # noqa: ANN401  # as above
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _read(args[0]), rest


def _read(name: str) -> object:
    module = import_module(f"app.io.cli.{COMMANDS[name][0]}")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(getattr(module, name.replace("-", "_")))
    return get_command(alone)


def _show_version(is_wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if is_wanted:
        typer.echo(__version__)
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]
app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # loading what draws frames would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _candles(*, _: Version = False) -> None:
    """Candles of the Moscow Exchange: collected completely, stored provably, served fast.

    To begin:

    \b
      candles create-security SBER TQBR
      candles update-candles
      candles show SBER TQBR

    To see it all without the exchange: candles demo

    Settings come from the environment and from .env (DATABASE_URL, REDIS_URL, ISS_URL, ...); .env.example explains
    each. Data goes to stdout, everything else to stderr; in a pipe lines are plain, columns apart by tabs.

    \b
    Exit codes:
      0    done
      1    something failed: a series could not be loaded, verify found a broken promise, status --check found
           what is not fresh,
           or an unexpected error, which shows its traceback
      2    wrong input
      3    not found
      4    the exchange failed
      5    the store failed
      130  interrupted by Ctrl-C
    """  # noqa: D301  # the backspace itself tells typer to keep the lines
