"""A simulated exchange in a process of its own, so that it does not take turns with whoever loads from it.

It ends when its stdin does: with the `with` block, and also when the process that began it is killed.
"""

import asyncio
import subprocess
import sys
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 5


class DemoExchange:
    """Starts at once; `url()` waits until it answers."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at the terminal is for the parent
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def url(self) -> str:
        """Return its root, like `https://iss.moex.com`."""
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the simulated exchange did not start: exit code {self._process.wait()}")
        return line.strip()


async def _run() -> None:
    from app.simulator.server import Simulator  # noqa: PLC0415  # the parent has no use for it

    async with Simulator().serve() as simulator:
        print(simulator.url, flush=True)  # noqa: T201  # that is how the parent learns it
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run())
