"""What the exchange says of its days."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calendar_day",
        sa.Column("engine", CODE, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("is_traded", sa.Boolean(), nullable=False),
        sa.Column("trade_date", sa.Date()),
        sa.Column("reason", sa.Text()),
        sa.Column("opens", sa.Time()),
        sa.Column("closes", sa.Time()),
        sa.Column("seen_at", INSTANT),
        sa.PrimaryKeyConstraint("engine", "day", name="pk_calendar_day"),
    )


def downgrade() -> None:
    op.drop_table("calendar_day")
