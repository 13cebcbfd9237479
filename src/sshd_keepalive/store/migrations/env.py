"""What Alembic runs: the steps that are missing, over the connection and in the transaction it is given."""

from alembic import context

from sshd_keepalive.store.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
