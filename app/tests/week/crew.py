"""The processes of a service: schedulers and workers, killed and started again."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Literal, Self

from app.tests.tasks.children import Child
from app.tests.tasks.test_processes import a_process

Role = Literal["worker", "scheduler"]


class Crew:
    """All processes of a service but the one that answers."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, schedulers: int, workers: int) -> None:
        self._folder = folder
        self._environment = environment
        self._numbers: Mapping[Role, int] = {"scheduler": schedulers, "worker": workers}
        self._stack = AsyncExitStack()
        self.members: dict[Role, list[Child]] = {role: [] for role in self._numbers}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Start who is missing."""
        for role, number in self._numbers.items():
            while len(self.members[role]) < number:
                child = a_process(role, self._folder, self._environment)
                self.members[role].append(await self._stack.enter_async_context(child))

    async def replace(self, role: Role, random: Random) -> None:
        """Kill one process, and start another one in its place."""
        self._kill(role, random.choice(self.members[role]))
        await self.start()

    def kill_all(self) -> None:
        for role, members in self.members.items():
            for member in list(members):
                self._kill(role, member)

    def _kill(self, role: Role, victim: Child) -> None:
        assert not victim.has_ended, f"a {role} has ended by itself"
        victim.kill()
        self.members[role].remove(victim)
