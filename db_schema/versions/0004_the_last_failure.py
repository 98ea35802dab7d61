"""Why the last load of a series ended early."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.add_column("series", sa.Column("failed_at", INSTANT))
    op.add_column("series", sa.Column("failure", sa.Text()))


def downgrade() -> None:
    op.drop_column("series", "failure")
    op.drop_column("series", "failed_at")
