"""A server that is measured, in a process of its own."""

import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_PATIENCE = 60


class Process:
    """A server of `app.bench.apps`, until it is stopped."""

    def __init__(self, *arguments: object) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "app.bench.apps", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        self.pid = self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def get(self, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask once."""
        try:
            with urlopen(Request(self.url + target, headers=headers), timeout=_PATIENCE) as answer:  # noqa: S310
                return answer.status, dict(answer.headers), answer.read()
        except HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()
