"""The demo as people start it."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.tests.io.terminals import answers, start, wait_until

_ISS = "/iss/index.json"
FIRST, AGAIN = 240.0, 90.0
"""Seconds within which it is ready, on a busy machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo ran once; what it said is in `said`."""
    folder = tmp_path_factory.mktemp("demo")
    with start("demo", "--port", "0", folder=folder) as demo:
        said, messages = demo.communicate(timeout=FIRST)
    assert (demo.returncode, messages) == (0, "")
    (folder / "said").write_text(said)
    return folder


@pytest.fixture(scope="module")
def again(folder: Path) -> str:
    """What it says the next time, when somebody else has its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("demo", "--leave", "--port", str(port), folder=folder) as demo:
            said, messages = demo.communicate(timeout=AGAIN)
    assert (demo.returncode, messages) == (0, "")
    return said


@pytest.fixture
def staying(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    with start("demo", "--stay", "--port", "0", folder=folder) as demo:
        yield demo
        demo.kill()


def test_without_a_terminal_it_shows_everything_and_ends(folder: Path) -> None:
    said = (folder / "said").read_text()

    holdings = {tuple(line.split("\t")[:2]): line.split("\t") for line in said.splitlines() if "\t" in line}
    assert len(holdings) == 1 + 3 * 4
    assert int(holdings["TQBR:SBER", "M10"][2].replace(",", "")) > 15_000
    assert "┃" in said
    assert "/docs" not in said
    assert "make demo STAY=1 keeps it up" in said
    assert len(said.splitlines()[0]) <= 80


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / ".demo").touch()

    with start("demo", "--port", "0", folder=tmp_path) as demo:
        _, messages = demo.communicate(timeout=AGAIN)

    assert demo.returncode == 2
    assert messages.startswith(f"Error: demo: cannot make {tmp_path}/.demo (File exists)")
    assert "Traceback" not in messages


def test_it_asks_its_own_api_and_shows_request_and_answer(folder: Path) -> None:
    said = (folder / "said").read_text()

    answer = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert "$ curl 'http://127.0.0.1:" in said
    assert len(answer["candles"]) == 3


def test_run_again_it_finds_what_it_loaded(again: str) -> None:
    written = re.search(r"([\d,]+) candles written", again)

    assert again.count("followed already") == 3
    assert written is not None
    assert int(written[1].replace(",", "")) < 1000


def test_a_taken_port_is_said_and_another_one_used(again: str) -> None:
    assert re.search(r"Port \d+ is taken", again)
    assert "\n200 OK\n" in again


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_staying_it_serves_until_it_is_told_to_end(
    staying: "subprocess.Popen[str]", number: signal.Signals, code: int
) -> None:
    api, exchange = _addresses(staying)
    assert answers(api, "/docs")

    staying.send_signal(number)
    _, messages = staying.communicate(timeout=60)

    assert (staying.returncode, messages) == (code, "")
    wait_until(lambda: not answers(exchange, _ISS))


def test_killed_it_leaves_no_exchange_behind(staying: "subprocess.Popen[str]") -> None:
    _, exchange = _addresses(staying)

    staying.kill()

    wait_until(lambda: not answers(exchange, _ISS))


def _addresses(demo: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return host and port of the API and of the exchange, once it is ready."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    found = [re.search(rf"http://(\S+){path}", said) for path in ("/docs", _ISS)]
    api, exchange = (match[1] for match in found if match)
    return api, exchange
