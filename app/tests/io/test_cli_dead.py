"""`candles dead`: what no worker finished."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from app.io.cli import app
from app.tests.conftest import run_apart
from app.tests.tasks.jobs import Journal, a_worker, broker_with_jobs, kick
from app.tests.tasks.queues import DEAD, QUEUE
from app.tests.tasks.waiting import eventually

Candles = Callable[..., Result]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def candles(redis_url: str, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candles:
    """The commands, while two tasks are dead: one of a name that no worker knew, and one that nobody can read."""
    monkeypatch.chdir(tmp_path)
    run_apart(bury(redis_url, client, Journal(tmp_path / "journal")))

    def run(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(app, arguments, env={"REDIS_URL": redis_url, **more}, catch_exceptions=False)

    return run


async def bury(url: str, client: redis.Redis, journal: Journal) -> None:
    newer = broker_with_jobs(url, journal, knows_tomorrow=True)
    await kick(newer, "later", task="of_tomorrow")
    await asyncio.to_thread(client.xadd, QUEUE, {"data": "junk"})
    async with a_worker(broker_with_jobs(url, journal, patience=0)):
        await eventually(lambda: client.xlen(DEAD) == 2)
    await newer.shutdown()


def test_the_dead_are_shown_with_the_reason(candles: Candles) -> None:
    shown = candles("dead")
    told = json.loads(candles("dead", "--json").stdout)

    header, later, junk = shown.stdout.splitlines()
    assert header.split("\t") == ["id", "task", "when", "reason"]
    assert later.split("\t")[1::2] == ["later", "no worker knew the task of_tomorrow"]
    assert junk.split("\t")[1] == ""
    assert [(each["task"], each["name"]) for each in told] == [("later", "of_tomorrow"), (None, None)]
    assert [each["id"] for each in told] == [later.split("\t")[0], junk.split("\t")[0]]
    assert all(each["when"].endswith("Z") for each in told)


def test_a_dead_task_is_queued_again_by_its_id(candles: Candles, client: redis.Redis) -> None:
    [later, junk] = [each["id"] for each in json.loads(candles("dead", "--json").stdout)]

    retried = candles("dead", "--retry", later)

    assert (retried.exit_code, retried.stderr) == (0, "1 queued again\n")
    assert client.xlen(QUEUE) == 1
    assert [each["id"] for each in json.loads(candles("dead", "--json").stdout)] == [junk]


def test_all_are_queued_again_but_what_nobody_can_read(candles: Candles, client: redis.Redis) -> None:
    retried = candles("dead", "--retry", "--all")

    assert retried.stderr.splitlines() == [
        "1 queued again",
        "nobody can read 1 of them: --drop deletes what stays dead",
    ]
    assert (client.xlen(QUEUE), client.xlen(DEAD)) == (1, 1)


def test_the_dead_are_dropped(candles: Candles, client: redis.Redis) -> None:
    [later, _] = [each["id"] for each in json.loads(candles("dead", "--json").stdout)]

    assert candles("dead", "--drop", later).stderr == "1 dropped\n"
    assert client.xlen(DEAD) == 1
    assert candles("dead", "--drop", "--all").stderr == "1 dropped\n"
    assert (client.xlen(QUEUE), client.xlen(DEAD)) == (0, 0)
    assert candles("dead", "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--retry", "1-1"), 3, "no dead task has the id 1-1"),
        (("--retry",), 2, "name some, or --all"),
        (("--drop", "--all", "1-1"), 2, "name some, or --all"),
        (("--retry", "--drop", "--all"), 2, "either --retry or --drop"),
        (("--all",), 2, "--retry or --drop"),
        (("1-1",), 2, "--retry or --drop"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    candles: Candles, client: redis.Redis, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = candles("dead", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert client.xlen(DEAD) == 2


def test_a_redis_out_of_reach_is_said_in_one_sentence(candles: Candles) -> None:
    result = candles("dead", REDIS_URL="redis://127.0.0.1:1/0")

    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in result.stderr
