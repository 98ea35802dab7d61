import json
import subprocess
import sys
from typing import Any

from app.tests.tasks.children import ROOT

PROGRAM = """
import logging, structlog
from app.bootstrap import configure_logging

configure_logging("INFO")
log = structlog.stdlib.get_logger("ours")
log.debug("unheard")
log.info("сказано", n=1)
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("failed", exc_info=error)
logging.getLogger("uvicorn.error").info("Started on %s", 8000)
logging.getLogger("taskiq.receiver").error("the same failure again")
"""

CAPTURING = """
import structlog
from app.bootstrap import configure_logging

configure_logging("WARNING")
log = structlog.stdlib.get_logger("ours")
log.info("unheard")
with structlog.testing.capture_logs() as captured:
    log.info("captured")
assert [each["event"] for each in captured] == ["captured"]
"""


def logged() -> list[dict[str, Any]]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, check=True)
    assert ran.stdout == b""
    return [json.loads(line) for line in ran.stderr.decode().splitlines()]


def test_without_a_terminal_every_line_is_json_on_stderr() -> None:
    said, failed, foreign = logged()

    assert (said["event"], said["n"], said["level"], said["logger"]) == ("сказано", 1, "info", "ours")
    assert "ZeroDivisionError" in failed["exception"]
    assert (foreign["event"], foreign["logger"]) == ("Started on 8000", "uvicorn.error")


def test_what_a_test_captures_does_not_depend_on_the_level() -> None:
    ran = subprocess.run([sys.executable, "-c", CAPTURING], cwd=ROOT, capture_output=True, check=True)

    assert ran.stderr == b""
