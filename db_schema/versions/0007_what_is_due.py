"""What the schedule knows of each series, and which scheduler leads."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.add_column("series", sa.Column("checked_at", INSTANT))
    op.add_column("series", sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("series", sa.Column("asked_at", INSTANT))
    op.add_column("series", sa.Column("is_grown", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "lease",
        sa.Column("name", CODE, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )


def downgrade() -> None:
    op.drop_table("lease")
    for name in ("is_grown", "asked_at", "failures", "checked_at"):
        op.drop_column("series", name)
