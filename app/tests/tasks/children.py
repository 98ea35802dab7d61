"""Child processes for tests: started from the root of the project, killed when the test is over."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from app.tests.tasks.waiting import eventually

ROOT = Path(__file__).parents[3]


class Child:
    """A running Python program. What it writes goes to the test's own output, or its messages to a file."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        handed: Sequence[int] = (),
        messages: int | None = None,
    ) -> None:
        """`handed` are file descriptors that it inherits, `messages` is the one of that file."""
        paths = [environment.get("PYTHONPATH", ""), str(ROOT)]
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stderr=messages,
            pass_fds=handed,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, *, within: float = 60) -> int:
        """Send SIGTERM and return the exit code."""
        self.tell(signal.SIGTERM)
        return await self.ended(within=within)

    async def ended(self, *, within: float = 60) -> int:
        """Wait for the end and return the exit code."""
        await eventually(lambda: self.has_ended, within=within)
        return self._process.returncode


@asynccontextmanager
async def running(*arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Run a program, in a folder that has no `.env`, for as long as the context lasts."""
    child = Child(arguments, environment or {}, folder)
    try:
        yield child
    finally:
        child.kill()
