"""How the service stands with the exchange."""

from typing import TYPE_CHECKING

from app.io.cli import output
from app.io.cli.options import AsJson
from app.io.cli.running import run

if TYPE_CHECKING:  # importing it takes longer than `--help` may
    from app.core.market_data import SourceStatus

_WORDS = {
    "ok": "nothing keeps us from asking the exchange",
    "paused": "the exchange asked for patience",
    "open": "the exchange failed too often and is left alone",
    "half_open": "the exchange failed too often; the next request tries for all",
}


def status(*, as_json: AsJson = False) -> None:
    """Tell whether the exchange is left alone for now, until when and why.

    Known without asking it. Processes that share a Redis share this, too; without one each knows only its own.
    """
    found = run(lambda service: service.source_status())
    if as_json:
        output.show_json([_object(found)])
        return
    rows = [(found.state, output.when(found.until), found.reason)]
    output.show_rows(("state", "until", "reason"), rows)
    output.say(_WORDS[found.state])


def _object(found: "SourceStatus") -> dict[str, object]:
    return {
        "state": found.state,
        "until": output.optional(found.until),
        "reason": found.reason,
        "shared": found.is_shared,
    }
