"""What import-linter cannot see: third parties nobody named, and calls that belong to one place."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Rule = Callable[[ast.AST], bool]

ROOT = Path(__file__).parents[2]
MODULES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("app", "db_schema")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def leaves_the_core(node: ast.AST) -> bool:
    """A relative import leaves it too: the house writes imports in full."""
    return any(
        name.partition(".")[0] not in sys.stdlib_module_names and f"{name}.".removeprefix("app.core.") == f"{name}."
        for name in _imported(node)
    )


def reads_the_environment(node: ast.AST) -> bool:
    return (
        any(_is(node, "os", name) for name in ("environ", "environb", "getenv", "getenvb"))
        or any(name.partition(".")[0] in {"dotenv", "pydantic_settings"} for name in _imported(node))
        or (isinstance(node, ast.keyword) and node.arg == "envvar")
    )


def makes_a_queue(node: ast.AST) -> bool:
    return any(_is(node, "asyncio", name) for name in ("Queue", "LifoQueue", "PriorityQueue"))


def commits(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield "." * node.level + (node.module or "")


def _is(node: ast.AST, module: str, name: str) -> bool:
    """Whether this is `module.name`, or the import of that name."""
    if isinstance(node, ast.ImportFrom):
        return node.module == module and any(alias.name == name for alias in node.names)
    return (
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == module
    )


def where(rule: Rule, *, inside: str = "", but: tuple[str, ...] = ()) -> set[str]:
    """Return the modules that break a rule."""
    return {
        module
        for module, tree in MODULES.items()
        if module.startswith(inside) and not module.startswith(but) and any(map(rule, ast.walk(tree)))
    }


def test_the_core_imports_the_standard_library_and_itself() -> None:
    assert where(leaves_the_core, inside="app/core/") == set()


def test_only_the_settings_read_the_environment() -> None:
    """Tests find servers in theirs, and hand it on to child processes."""
    assert where(reads_the_environment, but=("app/tests/",)) == {"app/settings.py"}


def test_every_queue_is_inside_the_pump() -> None:
    assert where(makes_a_queue) == {"app/core/pipeline.py"}


def test_only_the_repositories_commit() -> None:
    committing = where(commits)

    assert committing
    assert {module for module in committing if not module.startswith("app/repository/")} == set()


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        (leaves_the_core, "import aiohttp"),
        (leaves_the_core, "import json, numpy.linalg"),
        (leaves_the_core, "def late():\n    from sqlalchemy.ext import asyncio"),
        (leaves_the_core, "from app.core_of_another import entities"),
        (leaves_the_core, "from app import settings"),
        (leaves_the_core, "from . import entities"),
        (leaves_the_core, "from ..settings import Settings"),
        (reads_the_environment, "import os\nhome = os.environ['HOME']"),
        (reads_the_environment, "from os import getenv as read"),
        (reads_the_environment, "from pydantic_settings import BaseSettings"),
        (reads_the_environment, "typer.Option(envvar='PORT')"),
        (makes_a_queue, "asyncio.Queue(1)"),
        (makes_a_queue, "from asyncio import PriorityQueue"),
        (commits, "async def save(session):\n    await session.commit()"),
    ],
)
def test_a_planted_offence_is_seen(rule: Rule, planted: str) -> None:
    assert any(map(rule, ast.walk(ast.parse(planted))))


@pytest.mark.parametrize(
    ("rule", "harmless"),
    [
        (leaves_the_core, "import asyncio\nimport xml.etree\nfrom collections.abc import Iterable"),
        (leaves_the_core, "import app.core\nfrom app.core import entities\nfrom app.core.spans import merge"),
        (reads_the_environment, "import os\npath = os.defpath"),
        (makes_a_queue, "import asyncio\nasyncio.Event()"),
        (commits, "commit = repository.head.commit"),
    ],
)
def test_what_is_allowed_passes(rule: Rule, harmless: str) -> None:
    assert not any(map(rule, ast.walk(ast.parse(harmless))))
