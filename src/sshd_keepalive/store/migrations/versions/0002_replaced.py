"""The values that changes of ours replaced, so that their return is called a relapse."""

import sqlalchemy as sa
from alembic import op

from sshd_keepalive.store.tables import Number

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table; what changes replaced before is not known and stays untold."""
    op.create_table(
        "replaced",
        sa.Column("run_id", Number, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("host_id", Number, nullable=False),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "position", name="pk_replaced"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_replaced_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name="fk_replaced_host_id"),
    )
    op.create_index("ix_replaced_host_id", "replaced", ["host_id"])
