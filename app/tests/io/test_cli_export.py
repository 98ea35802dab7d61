"""The command that writes files of candles."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.core.entities import Timeframe
from app.core.errors import SeriesChangedError
from app.core.pages import CandlePage
from app.io import exporting
from app.io.forms import FileForm
from app.io.whole_file import whole_file
from app.simulator.server import Simulator
from app.tests.io.conftest import Candles, truth
from app.tests.io.terminals import ROOT, run_at_terminal
from app.tests.io.test_exporting import read

COVERED = ("2024-04-25T14:00", "2024-05-15T14:00")


def hours(exchange: Simulator) -> list[tuple[object, ...]]:
    """What the exchange has of the hours that are covered."""
    return rows(truth(exchange, Timeframe.H1, *COVERED))


def rows(page: CandlePage) -> list[tuple[object, ...]]:
    return [row[:7] for row in page.rows]


@pytest.mark.parametrize("form", list(FileForm))
def test_a_file_holds_what_the_exchange_has(
    loaded: Candles, exchange: Simulator, form: FileForm, tmp_path: Path
) -> None:
    result = loaded("export", "tqbr:sber", "-t", "H1", "--format", form)

    file = tmp_path / f"TQBR-SBER-H1.{form}"
    assert (result.exit_code, result.stderr) == (0, "")
    assert rows(read(form, file.read_bytes())) == hours(exchange)
    assert result.stdout.splitlines() == [
        "series\tcandles\tbytes\tfile",
        f"TQBR:SBER H1\t{len(hours(exchange))}\t{file.stat().st_size}\t{file.name}",
    ]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "form"), [("a.ndjson", FileForm.NDJSON), ("a.PARQUET", FileForm.PARQUET), ("a.txt", FileForm.CSV)]
)
def test_the_ending_of_a_file_says_the_form(
    loaded: Candles, exchange: Simulator, tmp_path: Path, name: str, form: FileForm
) -> None:
    assert loaded("export", "TQBR:SBER", "-t", "H1", "-o", name).exit_code == 0

    assert rows(read(form, (tmp_path / name).read_bytes())) == hours(exchange)


def test_many_securities_go_into_a_folder(candles: Candles, exchange: Simulator, tmp_path: Path) -> None:
    for ticker in ("SBER", "GAZP"):
        candles("create-security", ticker, "TQBR", "-t", "H1")
    candles("update-candles")

    result = candles("export", "TQBR:SBER", "TQBR:GAZP", "TQBR:SBER", "-t", "H1", "-o", "a/b", "--json")

    objects = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [each.pop("bytes") > 0 for each in objects] == [True, True]
    assert objects[0] == {
        "security": "TQBR:SBER",
        "timeframe": "H1",
        "from": "2024-04-25T11:00:00Z",
        "till": "2024-05-15T11:00:00Z",
        "complete": True,
        "version": objects[0]["version"],
        "file": "a/b/TQBR-SBER-H1.csv",
        "candles": len(hours(exchange)),
        "error": None,
    }
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == (["TQBR-GAZP-H1.csv", "TQBR-SBER-H1.csv"])


def test_stdout_takes_one_series(loaded: Candles, exchange: Simulator) -> None:
    result = loaded("export", "TQBR:SBER", "-t", "H1", "-f", "parquet", "-o", "-")

    assert rows(read(FileForm.PARQUET, result.stdout_bytes)) == hours(exchange)
    for wrong in (("TQBR:SBER", "TQBR:GAZP"), ("TQBR:SBER", "--json")):
        refused = loaded("export", *wrong, "-t", "H1", "-o", "-")
        assert (refused.exit_code, refused.stdout) == (2, "")


def test_what_is_incomplete_is_written_on_wish_only(loaded: Candles, exchange: Simulator, tmp_path: Path) -> None:
    order = ("export", "TQBR:SBER", "-t", "H1", "--till", "2024-05-15T15:00", "-o", "a.csv")

    refused = loaded(*order)
    nothing = not (tmp_path / "a.csv").exists()
    allowed = loaded(*order, "--incomplete")

    reason = "not all of the period is stored and final (1 gaps, 2024-05-15 14:00 to 2024-05-15 15:00: in_progress)"
    assert (refused.exit_code, nothing, allowed.exit_code) == (1, True, 0)
    assert reason in refused.stderr
    assert "--incomplete" in refused.stderr
    assert reason in allowed.stderr
    page = read(FileForm.CSV, (tmp_path / "a.csv").read_bytes())
    assert rows(page) == rows(truth(exchange, Timeframe.H1, COVERED[0], "2024-05-15T15:00"))
    assert page.finals[-2:] == b"\1\0"


def test_a_series_that_fails_is_named_and_stops_nobody_else(loaded: Candles, tmp_path: Path) -> None:
    result = loaded("export", "TQBR:NONE", "TQBR:SBER", "-t", "D1", "--json", "-o", "out")
    alone = loaded("export", "TQBR:NONE")

    failed, written = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (failed["file"], failed["candles"], failed["complete"]) == (None, 0, False)
    assert "TQBR:NONE" in failed["error"]
    assert (written["file"], written["error"]) == ("out/TQBR-SBER-D1.csv", None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["TQBR-SBER-D1.csv"]
    assert "1 of 2 could not be written" in result.stderr
    assert alone.exit_code == 3


def test_a_file_is_whole_or_as_it_was(loaded: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_text("before")

    class Failing(exporting._Lines):
        def close(self) -> bytes:
            raise SeriesChangedError("changed on the way")

    monkeypatch.setattr(exporting, "_Lines", Failing)
    result = loaded("export", "TQBR:SBER", "-o", "a.csv")

    assert (result.exit_code, result.stderr) == (1, "Error: changed on the way\n")
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*a.csv*")] == ["a.csv"]


def test_a_killed_process_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from app.io.whole_file import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as file: file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )

    dead = subprocess.run([sys.executable, "-c", code, tmp_path / "a.csv"], check=False, cwd=ROOT)

    [left] = tmp_path.iterdir()
    assert (dead.returncode, left.read_bytes()) == (-9, b"half")
    assert left.name.startswith(".a.csv.")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as file:
        file.write(b"whole")
        assert not (tmp_path / "a").exists()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


def test_where_nothing_can_be_written_it_is_said(loaded: Candles, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for target in ("no/such/folder/a.csv", "file/"):
        result = loaded("export", "TQBR:SBER", "-o", target)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "output: " in result.stderr


def test_without_pyarrow_the_error_says_what_to_install(
    loaded: Candles, environment: Mapping[str, str], tmp_path: Path
) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from app.io.cli import main; main()"
    done = {
        form: subprocess.run(
            [sys.executable, "-c", code, "export", "TQBR:SBER", "-f", form],
            cwd=tmp_path,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        for form in FileForm
    }

    assert {form: each.returncode for form, each in done.items()} == (
        {FileForm.CSV: 0, FileForm.NDJSON: 0, FileForm.ARROW: 1, FileForm.PARQUET: 1}
    )
    for form in (FileForm.ARROW, FileForm.PARQUET):
        assert done[form].stderr == (
            "Error: Arrow and Parquet need pyarrow, which is not installed: pip install 'moex-candles[arrow]'\n"
        )
    assert sorted(path.name for path in tmp_path.glob("*TQBR*")) == ["TQBR-SBER-D1.csv", "TQBR-SBER-D1.ndjson"]


def test_at_a_terminal_there_is_a_bar(loaded: Candles, environment: Mapping[str, str], tmp_path: Path) -> None:
    code, shown = run_at_terminal("export", "TQBR:SBER", "-t", "H1", folder=tmp_path, environment=environment)
    binary, refused = run_at_terminal(
        "export", "TQBR:SBER", "-f", "arrow", "-o", "-", folder=tmp_path, environment=environment
    )

    assert (code, binary) == (0, 2)
    assert "━" in shown
    assert "100%" in shown
    assert "nothing for a terminal" in refused


def test_a_pipe_or_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    with whole_file(pipe) as file:
        file.write(b"all of it")

    assert os.read(reader, 100) == b"all of it"
    assert pipe.is_fifo()
    os.close(reader)
