"""A load that is killed twice: `python -m app.bench.killed`. It must end equal to one that was not.

The update is the user's own command in a process of its own, ended by SIGKILL when a third and when two thirds are
covered, and then run once more. Compared with a load into another database that nobody disturbed: how many candles of
each series, a checksum over all columns of all of them in order, and the spans; then the store is verified. `--full`
loads fifty million rows, if the disk has room for twice as many.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory

from app.bench.grow import LOG_BYTES, require_room
from app.bench.loads import Load
from app.bench.measuring import create_database, publish, server, versions
from app.bench.source import NOW
from app.bench.stores import follow, program, settings
from app.bootstrap import bootstrap
from app.core.entities import Series
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.simulator.servers import Postgresql
from app.use_cases.roll_up_candles import key_pages
from app.use_cases.verify import verify

KILLS = (1 / 3, 2 / 3)
"""At which covered parts of the whole a load is killed."""

_LOAD = Load(securities=8, days=112, at_once=8, source="")
_FULL = Load(securities=250, days=360, at_once=8, source="")
_ROWS_A_DAY = 560
_BYTES_A_ROW = 125
_LOOK = 0.05
_KILLED = -9


@dataclass(frozen=True, slots=True)
class Contents:
    """What is stored of a series: candles, a checksum over all their columns, what is covered."""

    rows: int
    checksum: str
    spans: Sequence[Period]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load left, how long it took with all its deaths, and at which covered parts it died."""

    contents: Mapping[Series, Contents]
    seconds: float
    killed_at: Sequence[float]

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.contents.values())


def main() -> None:
    """Load twice, compare, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.killed", description=__doc__)
    parser.add_argument("--full", action="store_true", help="fifty million rows")
    load = _FULL if parser.parse_args().full else _LOAD
    require_room(2 * load.securities * load.days * _ROWS_A_DAY * _BYTES_A_ROW + LOG_BYTES)
    with (
        Postgresql(durable=True) as postgresql,
        server("app.bench.source", "--days", load.days) as source,
        TemporaryDirectory() as folder,
    ):
        ways = {}
        for name, kills in (("undisturbed", ()), ("killed twice", KILLS)):
            database = name.replace(" ", "_")
            create_database(postgresql.url, database)
            chosen = replace(load, source=source, database=postgresql.url_of(database))
            ways[name] = asyncio.run(load_killed(chosen, kills, Path(folder)))
    assert ways["undisturbed"].contents == ways["killed twice"].contents, "the killed load left something else"
    publish(
        "killed",
        f"A load of {ways['undisturbed'].rows:,} rows into PostgreSQL, and one killed twice",
        ("load", "rows", "seconds", "killed when so much was covered"),
        [
            (name, f"{found.rows:,}", f"{found.seconds:.1f}", ", ".join(f"{at:.0%}" for at in found.killed_at))
            for name, found in ways.items()
        ],
        "Equal in candles, in a checksum over all their columns, and in spans; both verified."
        f" {versions('asyncpg', 'aiohttp')}",
    )


async def load_killed(load: Load, kills: Sequence[float], folder: Path) -> Loaded:
    """Load into an empty store with the command line, killing it on the way; return what is there, verified.

    `folder`: one without a `.env`, where the command runs.
    """
    await follow(load)
    async with bootstrap(settings(load, load.source)) as service:
        began, killed_at = time.monotonic(), []
        for kill in kills:
            process = await _update(load, folder)
            while (covered := await _covered(service.storage, load)) < kill:
                assert process.returncode is None, f"the load ended, {covered:.0%} covered, before it was killed"
                await asyncio.sleep(_LOOK)
            process.kill()
            assert await process.wait() == _KILLED, "the load was over before it was killed"
            killed_at.append(covered)
        assert await (await _update(load, folder)).wait() == 0
        seconds = time.monotonic() - began
        assert not await verify(service.storage)
        async with service.storage.read() as uow:
            contents = {series: await _contents(uow, series) for series in load.all_series}
    return Loaded(contents, seconds, killed_at)


async def _update(load: Load, folder: Path) -> asyncio.subprocess.Process:
    command = program(load, "update-candles", "--json")
    return await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.DEVNULL)


async def _covered(storage: IStorage, load: Load) -> float:
    """Return which part of all that is to be loaded is covered."""
    async with storage.read() as uow:
        covered = sum([(span.time_till - span.time_from).total_seconds() async for span in uow.spans])
    return covered / load.securities / (NOW - load.begin).total_seconds()


async def _contents(uow: IUnitOfWork, series: Series) -> Contents:
    rows, checksum = 0, md5(usedforsecurity=False)
    spans = [Period(span.time_from, span.time_till) async for span in uow.spans.filter_by_series(series)]
    async for page in key_pages(uow, series, Period(spans[0].time_from, NOW)):
        rows += len(page)
        checksum.update(b"".join([page.begins.tobytes(), *(column.tobytes() for column in page.prices), page.finals]))
    return Contents(rows, checksum.hexdigest(), spans)


if __name__ == "__main__":
    main()
