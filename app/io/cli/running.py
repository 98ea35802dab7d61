"""From a command to the service and back: one event loop, one service, one place where errors become exit codes."""

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer
from typer.core import TyperGroup

from app.core.errors import (
    CandleServiceError,
    InputError,
    NotFoundError,
    SeriesNotFoundError,
    SourceError,
    StorageError,
)

if TYPE_CHECKING:  # importing them takes longer than `--help` may
    import asyncio

    from app.bootstrap import Service
    from app.settings import Settings

Result = TypeVar("Result")

FAILED, WRONG_INPUT, NOT_FOUND, SOURCE_FAILED, STORE_FAILED, INTERRUPTED = 1, 2, 3, 4, 5, 130

_CODES = (
    (InputError, WRONG_INPUT),
    (NotFoundError, NOT_FOUND),
    (SourceError, SOURCE_FAILED),
    (StorageError, STORE_FAILED),
)


class ErrorsToExitCodes(TyperGroup):
    """Ends a command that failed with one sentence and a code; an unexpected error keeps its traceback."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own name for click's context
        try:
            return super().invoke(ctx)
        except CandleServiceError as error:
            from app.io.cli import output  # noqa: PLC0415  # heavy: only who works waits for it

            output.complain(_sentence(error))
            raise typer.Exit(_code(error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error


@contextmanager
def importing() -> Iterator[None]:
    """Let nobody look for garbage among what is imported, again and again: a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def run(work: "Callable[[Service], Awaitable[Result]]") -> Result:
    """Do the work of a command with a service built from the settings."""
    import asyncio  # noqa: PLC0415  # heavy, as above
    import logging  # noqa: PLC0415

    with importing():
        from app.bootstrap import bootstrap, configure_logging  # noqa: PLC0415

    settings = read_settings()
    configure_logging("WARNING")
    logging.getLogger("stamina").setLevel(logging.ERROR)  # people see the last failure, not each try

    async def use() -> Result:
        async with bootstrap(settings) as service:
            return await work(service)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(use())


def read_settings() -> "Settings":
    """Read the settings; InputError names each wrong variable, or the file that cannot be read."""
    from pydantic import ValidationError  # noqa: PLC0415  # heavy, as above

    from app.settings import Settings  # noqa: PLC0415

    try:
        return Settings()
    except ValidationError as error:
        wrong = {str(each["loc"][0]).upper(): each["msg"].removeprefix("Value error, ") for each in error.errors()}
        (first, message), *others = wrong.items()
        more = "".join(f"; {name}: {what}" for name, what in others)
        raise InputError(first, f"{message}{more} (in the environment or .env)") from None  # the error shows secrets
    except OSError as error:
        raise InputError(".env", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(".env", "is no UTF-8 text: write it anew, or set the variables in the environment") from None


def loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """Return what makes the fastest event loop there is; None for the usual one."""
    try:
        import uvloop  # noqa: PLC0415  # not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _code(error: CandleServiceError) -> int:
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def _sentence(error: CandleServiceError) -> str:
    match error:
        case InputError():
            return f"{error.field}: {error}"
        case SeriesNotFoundError():
            return f"{error} (candles securities lists what is followed)"
        case _:
            return str(error)
