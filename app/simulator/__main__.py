"""`python -m app.simulator`: run the simulated exchange until SIGINT or SIGTERM."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from app.core.date_time import Timestamp
from app.simulator.access import Access
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.generated import GeneratedTape
from app.simulator.replay import ReplayTape, TapeError
from app.simulator.server import DELAY, Simulator
from app.simulator.tape import Tape

_LAST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 2 if the tape is none or the port is taken."""
    options = _parser().parse_args(arguments)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # broken requests are a client's business here
    try:
        tape = ReplayTape(options.tape) if options.tape else GeneratedTape(options.seed)
        asyncio.run(_run(tape, options))
    except (TapeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  # a command line tool
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.simulator", description="The Moscow Exchange in a box.")
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=_port, default=8010, help="0 for a free one (default: 8010)")
    add("--tape", type=Path, metavar="FOLDER", help="replay FOLDER/BOARD/TICKER/INTERVAL.csv")
    add("--seed", type=int, default=0, help="of the generated market (default: 0)")
    add("--clock", type=_moment, metavar="ISO", help="start here; without a zone it is Moscow time")
    add("--speed", type=_number(0, 1e6), default=1.0, help="simulated seconds to a real one (default: 1)")
    add("--stopped", action="store_true", help="let the clock stand")
    add("--delay", type=_number(0, 1e6), default=DELAY.total_seconds(), help="seconds behind the clock (default: 900)")
    add(
        "--account",
        type=_account,
        metavar="LOGIN:PASSWORD",
        help="who signs in with this at /authenticate gets data without delay",
    )
    add("--token", help="and so does the holder of this token")
    add("--gzip", action="store_true", help="compress for clients that accept it")
    return parser


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (number := float(text)) <= most:
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {least:,.0f} to {most:,.0f}")

    return read


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {_LAST_PORT}")
    return int(text)


def _moment(text: str) -> Timestamp:
    try:
        return read_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment: write 2024-01-17T12:00") from error


def _account(text: str) -> str:
    if not all(text.partition(":")):
        raise argparse.ArgumentTypeError("write LOGIN:PASSWORD")
    return text


async def _run(tape: Tape, options: argparse.Namespace) -> None:
    start = options.clock or (Timestamp.from_moscow(tape.start) if tape.start else None)
    clock = SimulatedClock(start, speed=options.speed, stopped=options.stopped)
    login, _, password = (options.account or "").partition(":")
    access = Access({login: password} if login else {}, frozenset([options.token] if options.token else []))
    delay = timedelta(seconds=options.delay)
    simulator = Simulator(tape, clock=clock, delay=delay, gzip=options.gzip, access=access)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with simulator.serve(options.host, options.port):
        pace = "stopped" if clock.stopped else f"speed {clock.speed:g}"
        now = f"{clock.now().moscow:%Y-%m-%d %H:%M:%S}"
        print(f"ISS at {simulator.url}/iss, its clock {now} Moscow, {pace}", flush=True)  # noqa: T201  # as above
        await ended.wait()


if __name__ == "__main__":
    sys.exit(main())
