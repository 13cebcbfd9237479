"""Work over a connection to one host: observe, execute, verify."""
