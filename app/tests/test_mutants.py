"""Every bug that is planted is noticed by the test that is there for it, and by an assertion."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.tests.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


def run(*tests: str, mutant: str = "") -> "subprocess.CompletedProcess[str]":
    """Run tests in a process of their own, with this bug planted."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    plugins = ["-p", "app.tests.mutants", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *tests],
        cwd=ROOT,
        env={**environment, "MUTANT": mutant},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_killers_pass_where_nothing_is_planted() -> None:
    done = run(*{mutant.killer for mutant in MUTANTS.values()})

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_noticed(name: str) -> None:
    done = run(MUTANTS[name].killer, mutant=name)

    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert re.search(r"^E +(\| *)*(assert |AssertionError|Failed: DID NOT RAISE)", done.stdout, re.MULTILINE), (
        done.stdout
    )
