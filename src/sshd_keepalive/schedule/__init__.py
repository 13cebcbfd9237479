"""A check that systemd or cron starts at set times."""
