"""The connection to one host: dial, verify the host key, log in, run scripts."""
