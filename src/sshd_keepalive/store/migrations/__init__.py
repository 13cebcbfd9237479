"""How a history comes from one release to the next; run by Alembic, one transaction for all steps."""
