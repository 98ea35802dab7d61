"""Who alone may do something for a while, by the clock of the database: those of processes may differ."""

from sqlalchemy import text

from app.repository.sql.transaction import Transaction

_TAKE = (
    "INSERT INTO lease (name, holder, until) VALUES (:name, :holder, {until})"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE lease.holder = excluded.holder OR lease.until <= {now}"
    " RETURNING holder"
)
_POSTGRESQL = text(
    _TAKE.format(
        now="clock_timestamp()", until="clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))"
    )
)
_MICROSECONDS = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_SQLITE = text(_TAKE.format(now=_MICROSECONDS, until=f"{_MICROSECONDS} + CAST(:seconds * 1000000 AS INTEGER)"))


async def take(transaction: Transaction, name: str, holder: str, seconds: float) -> bool:
    """Take or keep a lease; False while another holder has it."""
    statement = _POSTGRESQL if transaction.is_postgresql else _SQLITE
    return bool(await transaction.rows(statement, {"name": name, "holder": holder, "seconds": seconds}))
