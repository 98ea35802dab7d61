"""The first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
MAX_DOUBLE = "1.7976931348623157e308"


def upgrade() -> None:
    op.create_table(
        "security",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("ticker", CODE, nullable=False),
        sa.Column("board", CODE, nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("isin", sa.Text()),
        sa.Column("kind", sa.Text()),
        sa.Column("decimals", sa.SmallInteger()),
        sa.Column("is_traded", sa.Boolean(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("listed_from", sa.Date()),
        sa.Column("listed_till", sa.Date()),
        sa.PrimaryKeyConstraint("id", name="pk_security"),
        sa.UniqueConstraint("ticker", "board", name="uq_security_ticker_board"),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("security_id", sa.Integer(), nullable=False),
        sa.Column("timeframe", sa.SmallInteger(), nullable=False),
        sa.Column("followed_from", INSTANT),
        sa.Column("watermark", INSTANT),
        sa.Column("as_of", INSTANT),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("history_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.ForeignKeyConstraint(["security_id"], ["security.id"], name="fk_series_security_id"),
        sa.UniqueConstraint("security_id", "timeframe", name="uq_series_security_id_timeframe"),
        sa.CheckConstraint("version >= 0 AND history_version >= 0", name=op.f("ck_series_versions_count_up")),
    )
    op.create_table(
        "candle",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("timeframe", sa.SmallInteger(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("begin", INSTANT, nullable=False),
        *_prices(),
        sa.PrimaryKeyConstraint("series_id", "timeframe", "begin", name="pk_candle"),
        *_sane_prices("candle"),
        sqlite_with_rowid=False,
    )
    _keep_series_that_have_candles()
    op.create_table(
        "candle_span",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("time_from", INSTANT, nullable=False),
        sa.Column("time_till", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "time_from", name="pk_candle_span"),
        _of_series("candle_span"),
        sa.CheckConstraint("time_from < time_till", name=op.f("ck_candle_span_is_not_empty")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE candle_span ADD CONSTRAINT ex_candle_span_overlap EXCLUDE USING gist"
            " (int4range(series_id, series_id, '[]') WITH &&, tstzrange(time_from, time_till) WITH &&)"
        )
    op.create_table(
        "candle_revision",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("begin", INSTANT, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_prices(),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("superseded_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "begin", "revision", name="pk_candle_revision"),
        _of_series("candle_revision"),
        *_sane_prices("candle_revision"),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_candle_revision_revision_counts_from_one")),
    )
    op.create_table(
        "quarantine",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("begin", INSTANT, nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "begin", name="pk_quarantine"),
        _of_series("quarantine"),
        sa.CheckConstraint("attempts >= 1", name=op.f("ck_quarantine_attempts_count_from_one")),
    )
    op.create_table(
        "split",
        sa.Column("security_id", sa.Integer(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("security_id", "date", name="pk_split"),
        sa.ForeignKeyConstraint(["security_id"], ["security.id"], name="fk_split_security_id"),
        sa.CheckConstraint(f"factor > 0 AND factor <= {MAX_DOUBLE}", name=op.f("ck_split_factor_is_positive")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_source"),
        sa.CheckConstraint("id = 1", name=op.f("ck_source_is_one_row")),
    )


def downgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("source", "split", "quarantine", "candle_revision", "candle_span", "candle", "series", "security"):
        op.drop_table(table)
    if on_postgresql:
        op.execute("DROP FUNCTION keep_series_that_has_candles")


def _keep_series_that_have_candles() -> None:
    """Do the half of a foreign key that costs writers of candles nothing."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER series_keeps_candles BEFORE DELETE ON series"
            " WHEN EXISTS (SELECT 1 FROM candle WHERE series_id = OLD.id)"
            " BEGIN SELECT RAISE(ABORT, 'candles still belong to this series'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION keep_series_that_has_candles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM candle WHERE series_id = OLD.id)"
        " THEN RAISE foreign_key_violation USING MESSAGE = 'candles still belong to this series'; END IF;"
        " RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER series_keeps_candles BEFORE DELETE ON series"
        " FOR EACH ROW EXECUTE FUNCTION keep_series_that_has_candles()"
    )


def _prices() -> list[sa.Column[float]]:
    names = ("open", "high", "low", "close", "volume", "value")
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def _of_series(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=f"fk_{table}_series_id")


def _sane_prices(table: str) -> list[sa.CheckConstraint]:
    checks = {
        "prices_are_finite": f"low >= -{MAX_DOUBLE} AND high <= {MAX_DOUBLE}",
        "prices_are_ordered": "low <= high AND low <= open AND low <= close AND high >= open AND high >= close",
        "volume_is_finite": f"volume BETWEEN 0 AND {MAX_DOUBLE}",
        "value_is_finite": f"value BETWEEN -{MAX_DOUBLE} AND {MAX_DOUBLE}",
    }
    return [sa.CheckConstraint(sql, name=op.f(f"ck_{table}_{name}")) for name, sql in checks.items()]
