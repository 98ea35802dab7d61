"""One measured run in a process of its own: `python -m app.bench.ways NAME LOAD`, started by the benchmarks."""

import json
import sys
from collections.abc import Mapping
from importlib import import_module

import uvloop

from app.bench.loads import Load
from app.bench.measuring import child

_MODULES = {
    "app.bench.downloads": ("raw", "http", "with_aiomoex", "with_apimoex"),
    "app.bench.stores": ("decoded", "stored", "again", "watched", "copied", "executed"),
    "app.bench.profiles": ("profiled",),
}


def run(way: str, load: Load) -> Mapping[str, float]:
    """Measure a way in a new process: `rows`, `seconds`, `cpu`, `peak`, and `server` for that of PostgreSQL."""
    found: Mapping[str, float] = child("app.bench.ways", way, load)
    return found


async def _run(way: str, load: Load) -> Mapping[str, float]:
    """Import what the way needs, and nothing that others do: it counts as its memory."""
    name = next(name for name, ways in _MODULES.items() if way in ways)
    found: Mapping[str, float] = await getattr(import_module(name), way)(load)
    return found


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(sys.argv[1], Load.read(sys.argv[2])))))
