"""The program: its commands in the order in which people meet them."""

import typer

from app.io.cli import calendar, candles, export, many, processes, securities, status
from app.io.cli.options import Version
from app.io.cli.running import ErrorsToExitCodes

app = typer.Typer(
    cls=ErrorsToExitCodes,
    no_args_is_help=True,
    rich_markup_mode=None,  # loading what draws frames would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    securities.create_security,
    many.import_securities,
    securities.find,
    securities.securities,
    securities.remove_security,
    candles.update_candles,
    candles.show,
    export.export,
    candles.spans,
    candles.verify,
    calendar.calendar,
    status.status,
    processes.serve,
    processes.worker,
    processes.scheduler,
    processes.migrate,
    processes.demo,
):
    app.command()(command)


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
      1    something failed: a series could not be loaded, verify found a broken promise,
           or an unexpected error, which shows its traceback
      2    wrong input
      3    not found
      4    the exchange failed
      5    the store failed
      130  interrupted by Ctrl-C
    """  # noqa: D301  # the backspace itself tells typer to keep the lines
