"""The processes that the service consists of, and the demo."""

import asyncio
from typing import Annotated

import typer

from app.io.cli import output
from app.io.cli.running import importing, loop_factory, read_settings

# Imports inside the commands: each is heavy, and `--help` should not wait for it.


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen: 0.0.0.0 for everyone. Default: HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 picks a free one. Default: PORT.")] = None,
    fd: Annotated[int | None, typer.Option(min=3, help="A socket that listens, handed over: 3 from systemd.")] = None,
    ready_fd: Annotated[int | None, typer.Option(min=3, help="Where to write a newline once it answers.")] = None,
) -> None:
    """Answer the REST API, documented at /docs.

    Without REDIS_URL it updates the candles as well, as they become due. SIGTERM ends it when all is answered;
    SIGHUP, away from a terminal, lets a new process take over without a connection lost.
    """
    with importing():
        from app.bootstrap import configure_logging  # noqa: PLC0415
        from app.io.serving import listen, run_api  # noqa: PLC0415
        from app.io.succession import announce_readiness, taken_over  # noqa: PLC0415

    settings = read_settings()
    configure_logging(settings.log_level)
    listener = listen(host or settings.host, settings.port if port is None else port) if fd is None else taken_over(fd)
    where, taken, *_ = listener.getsockname()
    shown = f"[{where}]" if ":" in where else where

    def announce() -> None:
        announce_readiness(ready_fd, settings.notify_socket)
        output.say(f"the API answers at http://{shown}:{taken}, its documentation at /docs")

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run_api(settings, listener, announce=announce))


def worker() -> None:
    """Load candles when the scheduler asks.

    Start as many workers as you like. Needs REDIS_URL.
    """
    with importing():
        from app.tasks.broker import run_worker  # noqa: PLC0415

    run_worker(read_settings())


def scheduler() -> None:
    """Wake the workers up for what is due.

    It looks what is due every TICK seconds; of several schedulers one asks. Needs REDIS_URL.
    """
    with importing():
        from app.tasks.broker import run_scheduler  # noqa: PLC0415

    run_scheduler(read_settings())


def migrate() -> None:
    """Bring the tables of DATABASE_URL up to date.

    Harmless when they are; an SQLite file does it by itself.
    """
    from app.bootstrap import migrate_store  # noqa: PLC0415

    asyncio.run(migrate_store(read_settings()))
    output.say("the tables are up to date")


def demo(
    *,
    stay: Annotated[
        bool | None,
        typer.Option("--stay/--leave", help="Stay up until Ctrl-C, or leave at once. Default: stay at a terminal."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the REST API listens, if it is free.")] = 8000,
) -> None:
    """See it all at work without the exchange.

    A simulated exchange, a store of its own in .demo/, and the REST API, until Ctrl-C. Run again, it finds what it
    loaded before and is ready in a moment.
    """
    from app.io.demo_exchange import DemoExchange  # noqa: PLC0415

    with DemoExchange() as exchange, asyncio.Runner(loop_factory=loop_factory()) as runner:
        from app.io.demo import run_demo  # noqa: PLC0415  # while the exchange starts

        runner.run(run_demo(exchange.url(), port=port, stay=output.is_terminal() if stay is None else stay))
