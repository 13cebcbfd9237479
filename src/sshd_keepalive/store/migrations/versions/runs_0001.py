"""Runs, their hosts, what each host came to, and the values that changes of ours replaced."""

import sqlalchemy as sa
from alembic import op

from sshd_keepalive.store.tables import Moment, Number

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of the first release that keeps a history."""
    op.create_table(
        "runs",
        sa.Column("id", Number, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("name", name="uq_runs_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_started_at", "runs", ["started_at"])
    op.create_index("ix_runs_selection_id", "runs", ["selection", "id"])
    op.create_table(
        "hosts",
        sa.Column("id", Number, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hosts"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
    )
    op.create_table(
        "documents",
        sa.Column("id", Number, autoincrement=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.UniqueConstraint("digest", name="uq_documents_digest"),
    )
    op.create_table(
        "results",
        sa.Column("run_id", Number, nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("host_id", Number, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seconds_s", sa.Float, nullable=False),
        sa.Column("document_id", Number, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "position", name="pk_results"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_results_run_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], name="fk_results_host_id"),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_results_document_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_results_host_id_run_id", "results", ["host_id", "run_id"])
    op.create_index("ix_results_document_id", "results", ["document_id"])
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
