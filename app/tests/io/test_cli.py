"""What all commands have in common: errors, settings, processes, terminals and help."""

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.core.date_time import Timestamp
from app.io.cli import app
from app.io.cli.commands import COMMANDS
from app.io.cli.output import plain, when
from app.simulator.fault_kinds import Slow, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.io.conftest import Candles
from app.tests.io.terminals import answers, run_at_terminal, start, wait_until


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create-security", "SBER", "XXXX"), 3, "trades on TQBR, SMAL"),
        (("create-security", "NOPE", "TQBR"), 3, "knows no NOPE"),
        (("create-security", "SBERR"), 3, "did you mean SBER (Сбербанк)"),
        (("create-security",), 2, "--board TQBR --all"),
        (("create-security", "--all"), 2, "--board TQBR --all"),
        (("create-security", "SBER", "TQBR", "--all"), 2, "--board TQBR --all"),
        (("create-security", "SBER", "TQBR", "--board", "SMAL"), 2, "named twice"),
        (("create-security", "--board", "TQBX", "--all"), 3, "has no board TQBX: did you mean"),
        (("create-security", "SBER", "--since", "2030-01-01"), 2, "since: 2029-12-31T21:00:00Z is still to come"),
        (("find", " "), 2, "what to search for"),
        (("import-securities", "no-such-file"), 2, "no-such-file cannot be read: No such file or directory"),
        (("create-security", "SBER", "TQBR", "--since", "tomorrow"), 2, "since: "),
        (("create-security", "SBER", "TQBR", "-t", "M7"), 2, "M1, M5, M10, M15, M30, H1, H2, H4, D1, W1, MN1, Q1"),
        (("update-candles", "-s", "TQBR:GAZP"), 3, "create-security first"),
        (("update-candles", "--from", "2024-05-15", "--till", "2024-05-01"), 2, "before it begins"),
        (("remove-security", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("show", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("show", "SBER", "TQBR", "--json", "--csv"), 2, "choose one"),
        (("show", "TQBR:SBER", "TQOB"), 2, "'TQBR:SBER' names a board, and so does 'TQOB'"),
        (("spans", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("verify", "-s", "TQBR:GAZP"), 3, "nothing of TQBR:GAZP is stored"),
        (("verify", "-t", "W1"), 3, "nothing is stored in W1"),
        (("no-such-command",), 2, "no-such-command"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    candles: Candles, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = candles(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_at_a_terminal_the_plan_is_asked_about(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "list").write_text("SBER\n")

    code, shown = run_at_terminal("import-securities", "list", folder=tmp_path, environment=environment, typed="n\n")
    agreed, _ = run_at_terminal("import-securities", "list", folder=tmp_path, environment=environment, typed="y\n")

    assert (code, "Go on?" in shown, "followed" in shown) == (1, True, False)
    assert agreed == 0


def test_a_silent_exchange_is_exit_code_4(candles: Candles, exchange: Simulator) -> None:
    exchange.faults.add(Status(match=Match(path="SBER"), times=None))

    assert candles("create-security", "SBER", "TQBR").exit_code == 4


def test_a_store_out_of_reach_is_exit_code_5(candles: Candles) -> None:
    result = candles("securities", DATABASE_URL="postgresql://127.0.0.1:1/none")

    assert result.exit_code == 5
    assert "127.0.0.1:1" in result.stderr
    assert "check that it runs, and DATABASE_URL" in result.stderr


def test_a_wrong_setting_is_named_without_its_value(candles: Candles) -> None:
    result = candles("securities", ISS_CONCURRENCY="secret")

    assert result.exit_code == 2
    assert "ISS_CONCURRENCY" in result.stderr
    assert "secret" not in result.stderr


def test_a_file_of_settings_that_is_no_text_is_wrong_input(candles: Candles, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")

    result = candles("securities")

    assert result.exit_code == 2
    assert ".env: is no UTF-8 text" in result.stderr


def test_migrate_may_be_repeated(candles: Candles) -> None:
    assert candles("migrate").exit_code == 0


@pytest.mark.parametrize("command", ["worker", "scheduler", "dead"])
def test_what_works_with_the_queue_wants_a_redis(candles: Candles, command: str) -> None:
    result = candles(command, REDIS_URL="off")

    assert result.exit_code == 2
    assert "REDIS_URL" in result.stderr


def test_an_interrupted_update_is_exit_code_130_without_a_traceback(
    candles: Candles, exchange: Simulator, environment: Mapping[str, str], tmp_path: Path
) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1")
    exchange.faults.add(Slow(match=Match(path="candles"), seconds=60, times=None))
    exchange.requests.clear()

    with start("update-candles", folder=tmp_path, environment=environment) as update:
        wait_until(lambda: any("candles" in request.path for request in exchange.requests))
        update.send_signal(signal.SIGINT)
        _, messages = update.communicate(timeout=60)

    assert (update.returncode, messages) == (130, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_server_answers_until_it_is_told_to_end(
    environment: Mapping[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with start("serve", "--port", "0", folder=tmp_path, environment={**environment, "LOG_LEVEL": "WARNING"}) as server:
        assert server.stderr is not None
        address = server.stderr.readline().split("http://")[1].split(",")[0]
        wait_until(lambda: answers(address, "/health/live"))
        server.send_signal(number)
        _, messages = server.communicate(timeout=60)

    assert (server.returncode, messages) == (code, "")


def test_a_server_ends_with_its_terminal(environment: Mapping[str, str], tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup children would inherit that it is ignored
    with start("serve", "--port", "0", folder=tmp_path, environment=environment, stdin=theirs) as server:
        signal.signal(signal.SIGHUP, before)
        assert server.stderr is not None
        while "answers at" not in server.stderr.readline():
            pass
        server.send_signal(signal.SIGHUP)
        server.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)

    assert server.returncode == -signal.SIGHUP


def test_what_is_handed_over_must_be_a_socket_that_listens(candles: Candles, tmp_path: Path) -> None:
    with socket.socket() as silent, (tmp_path / "file").open("w") as file:
        for fd, words in ((silent.fileno(), "no TCP socket that listens"), (file.fileno(), "is no socket")):
            result = candles("serve", "--fd", str(os.dup(fd)))

            assert result.exit_code == 2
            assert words in result.stderr


@pytest.mark.parametrize("host", ["nohost.invalid", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_wrong_input(candles: Candles, host: str) -> None:
    result = candles("serve", "--host", host, "--port", "0")

    assert result.exit_code == 2
    assert f"host: cannot listen on {host}" in result.stderr


def test_a_taken_port_is_wrong_input(candles: Candles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = candles("serve", "--port", port)

    assert result.exit_code == 2
    words = f"cannot listen on 127.0.0.1:{port} (Address already in use): give another --port, or 0"
    assert result.stderr == f"Error: port: {words}\n"


def test_at_a_terminal_there_are_colours_and_a_bar(
    candles: Candles, environment: Mapping[str, str], tmp_path: Path
) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1")

    code, shown = run_at_terminal("update-candles", folder=tmp_path, environment=environment)

    assert code == 0
    assert "\x1b[" in shown
    assert "100%" in shown
    assert "━" in shown


def test_help_tells_the_exit_codes() -> None:
    assert "130  interrupted" in CliRunner().invoke(app, ["--help"]).stdout


HEAVY = ("aiohttp", "alembic", "asyncio", "fastapi", "msgspec", "pydantic", "redis", "rich", "sqlalchemy", "structlog",
         "taskiq", "uvicorn", "app.bootstrap", "app.core.entities", "app.settings", "app.use_cases")  # fmt: skip


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_help_waits_for_nothing_heavy(asked: str) -> None:
    code = f"import sys; from app.io.cli import app; app([{asked!r}], standalone_mode=False); print(*sys.modules)"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    imported = ran.stdout.splitlines()[-1].split()
    assert "typer" in imported
    assert [name for name in HEAVY if name in imported] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_tells_what_each_tells_first(name: str) -> None:
    module, sentence = COMMANDS[name]
    command = getattr(import_module(f"app.io.cli.{module}"), name.replace("-", "_"))

    told = " ".join((inspect.getdoc(command) or "").partition("\n\n")[0].split())

    assert re.match(rf"{re.escape(sentence)}(?= |$)", told)
    assert f" {name} [OPTIONS]" in CliRunner().invoke(app, [name, "--help"]).stdout


def test_a_moment_is_written_without_empty_seconds() -> None:
    moments = [Timestamp.from_unix(second) for second in (1_704_265_200, 1_704_265_201)]

    assert [when(moment) for moment in (*moments, None)] == ["2024-01-03 10:00", "2024-01-03 10:00:01", ""]


def test_a_whole_number_loses_its_point_only_where_it_reads_back_equal() -> None:
    assert [repr(plain(number)) for number in (3.0, 0.1, 1e300, 2.0**53)] == [
        "3",
        "0.1",
        "1e+300",
        "9007199254740992.0",
    ]
