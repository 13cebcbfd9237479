"""`python -m sshd_keepalive`, and the console script."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the exit codes are those of `cli.output`."""
    from sshd_keepalive.cli import command

    command(prog_name="sshd-keepalive")


if __name__ == "__main__":
    main()
