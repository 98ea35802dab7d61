"""What somebody asked to have loaded."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008_for_0007"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
UNFINISHED = sa.text("done_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "update_wish",
        sa.Column("id", CODE, nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_update_wish"),
    )
    op.create_index("ix_update_wish_asked_at", "update_wish", ["asked_at"])
    op.create_table(
        "update_part",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("update_id", CODE, nullable=False),
        *(sa.Column(name, INSTANT, nullable=False) for name in ("asked_at", "time_from", "time_till")),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("minutes_before", sa.BigInteger(), nullable=False),
        sa.Column("done_at", INSTANT),
        sa.Column("rows", sa.BigInteger()),
        sa.PrimaryKeyConstraint("series_id", "update_id", name="pk_update_part"),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="fk_update_part_series_id"),
        sa.ForeignKeyConstraint(["update_id"], ["update_wish.id"], name="fk_update_part_update_id"),
    )
    op.create_index("ix_update_part_update_id", "update_part", ["update_id"])
    op.create_index(
        "ix_update_part_unfinished", "update_part", ["series_id"], postgresql_where=UNFINISHED, sqlite_where=UNFINISHED
    )


def downgrade() -> None:
    op.drop_table("update_part")
    op.drop_table("update_wish")
