"""What talks to one host: connect, observe, execute, verify."""
