"""The files around the program agree with it and with each other."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parents[2]
TARGETS = ["help", "setup", "check", "fix", "test", "soak", "bench", "demo", "run", "migrate", "lock"]
LOCKS = ("requirements.txt", "requirements-arrow.txt", "requirements-dev.txt")
REGISTRIES = [
    ".".join(parts)  # in pieces, or this file would be the first to be found
    for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("docker", "io"), ("ghcr", "io"))
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def files() -> Iterator[Path]:
    """What belongs to the project: no caches, no environments, nothing that is built."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name == ".ci" or not (name.startswith((".", "__pycache__", "node_modules", "build", "dist")))
        ]
        yield from (Path(folder, name) for name in names if name != ".env" and ".db" not in name)


def examples() -> dict[str, str]:
    """The variables that .env.example explains, with the values it says they have."""
    return dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", text(".env.example"), re.MULTILINE))


def settings() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def without(variables: set[str], patch: pytest.MonkeyPatch) -> None:
    for name in variables | {name.lower() for name in variables}:
        patch.delenv(name, raising=False)


def test_the_example_of_env_explains_every_setting() -> None:
    of_compose = set(re.findall(r"\$\{(\w+)", text("compose.yaml")))

    assert set(examples()) == settings() | of_compose


def test_the_example_of_env_tells_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    without(settings(), monkeypatch)
    defaults = Settings(_env_file=None)
    for name, value in examples().items():
        if value:
            monkeypatch.setenv(name, value)

    assert Settings(_env_file=None) == defaults
    assert {name.lower() for name, value in examples().items() if not value} == {
        name for name, value in defaults if value is None
    }


def test_compose_hands_every_setting_to_the_program() -> None:
    program = text("compose.yaml").partition("x-program:")[2].partition("services:")[0]

    assert set(re.findall(r"^    ([A-Z][A-Z0-9_]*):", program, re.MULTILINE)) == settings()


def test_help_tells_every_target() -> None:
    make = shutil.which("make")
    assert make, "apt-get install make"
    answer = subprocess.run(
        [make, "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert [line.split()[0] for line in answer.stdout.splitlines()] == TARGETS
    assert all(len(line.split()) > 1 for line in answer.stdout.splitlines())


def test_the_gate_is_what_a_developer_runs() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert re.findall(r"^make (\w+)$", text(".ci/run"), re.MULTILINE) == ["check", "test"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_address(lock: str) -> None:
    pins = text(lock).replace("\\\n", "").splitlines()

    assert "://" not in text(lock)
    assert [pin for pin in pins if not re.match(r"[\w.\-]+(\[[\w,\-]+\])?==\S+ .*--hash=sha256:", pin)] == []


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ()), (LOCKS[1], ("arrow",)), (LOCKS[2], ("arrow", "dev"))])
def test_a_lock_holds_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    asked = project["dependencies"] + [one for extra in extras for one in project["optional-dependencies"][extra]]
    pinned = set(re.findall(r"^([\w.\-]+)(?:\[[\w,\-]+\])?==", text(lock), re.MULTILINE))

    assert {re.split(r"[^\w.\-]", one)[0] for one in asked} <= pinned


def test_the_image_holds_a_pinned_set_that_is_let_in() -> None:
    installed = set(re.findall(r"--requirement (\S+)", text("Dockerfile")))

    assert installed == {LOCKS[1]}
    assert f"!{LOCKS[1]}" in text(".dockerignore").splitlines()
    assert f"COPY {LOCKS[1]} ./" in text("Dockerfile").splitlines()


def test_no_file_names_a_registry() -> None:
    naming = [
        path.relative_to(ROOT).as_posix()
        for path in files()
        if any(registry in path.read_text(encoding="utf-8", errors="replace") for registry in REGISTRIES)
    ]

    assert naming == []
