"""One host's whole pass per command, and that pass repeated for a fleet."""
