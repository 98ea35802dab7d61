"""Splits and renames as the exchange lists them, moves between boards, and which candles are stale."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
MAX_DOUBLE = "1.7976931348623157e308"


def upgrade() -> None:
    op.add_column("series", sa.Column("stale_before", INSTANT))
    op.create_table(
        "listed_split",
        sa.Column("ticker", CODE, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "day", name="pk_listed_split"),
        sa.CheckConstraint(f"factor > 0 AND factor <= {MAX_DOUBLE}", name=op.f("ck_listed_split_factor_is_positive")),
    )
    op.create_table(
        "rename",
        sa.Column("old", CODE, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("new", CODE, nullable=False),
        sa.PrimaryKeyConstraint("old", "day", name="pk_rename"),
    )
    op.create_table(
        "board_move",
        sa.Column("ticker", CODE, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, CODE, nullable=False) for name in ("from_board", "to_board")),
        sa.PrimaryKeyConstraint("ticker", "day", name="pk_board_move"),
    )
    op.create_table(
        "look",
        sa.Column("name", CODE, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_look"),
    )


def downgrade() -> None:
    for name in ("look", "board_move", "rename", "listed_split"):
        op.drop_table(name)
    op.drop_column("series", "stale_before")
