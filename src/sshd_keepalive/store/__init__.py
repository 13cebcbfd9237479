"""History: every recorded run, in an SQLite file or a PostgreSQL database.

Only the commands that record or read history import this package: importing SQLAlchemy takes 250 ms.
"""

from sshd_keepalive.errors import require_extra

with require_extra("history"):
    from sshd_keepalive.store.address import Address, parse_address
    from sshd_keepalive.store.history import Store

__all__ = ["Address", "Store", "parse_address"]
