"""A lab of real Debian hosts: each with its own init, sshd and address, none of them reachable from outside.

`roots` builds the root filesystems once and caches them, `namespaces` gives a command a network of its own,
`hosts` boots and stops hosts in it, `__main__` is the way in for people: `sudo python -m tests.lab up d12 d13`.
"""
