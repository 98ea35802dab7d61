"""Boards of the exchange, fuller cards of securities, and where the candles of a series begin."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "board",
        sa.Column("code", CODE, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("engine", "market", "title")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("engine_title", "market_title")),
        sa.Column("group", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("group_name", "group_title")),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("is_default_group", "is_traded")),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in ("has_candles", "is_primary")),
        sa.Column("seen_at", INSTANT),
        sa.PrimaryKeyConstraint("code", name="pk_board"),
    )
    for column in _card():
        op.add_column("security", column)
    op.add_column("series", sa.Column("first_candle", INSTANT))


def downgrade() -> None:
    op.drop_column("series", "first_candle")
    for column in reversed(_card()):
        op.drop_column("security", column.name)
    op.drop_table("board")


def _card() -> list[sa.Column[object]]:
    """Build the new columns of a card; names that older rows lack are empty."""
    return [
        sa.Column("secid", sa.Text(), nullable=False, server_default=""),
        sa.Column("latin_name", sa.Text(), nullable=False, server_default=""),
        sa.Column("lot", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("primary_board", sa.Text()),
        sa.Column("history_from", sa.Date()),
        sa.Column("history_till", sa.Date()),
        sa.Column("expires", sa.Date()),
    ]
