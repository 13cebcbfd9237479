"""The tables of the first release. The second migration replaces this import by a copy of the tables as they were."""

from alembic import op

from sshd_keepalive.store.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    metadata.create_all(op.get_bind(), checkfirst=False)
