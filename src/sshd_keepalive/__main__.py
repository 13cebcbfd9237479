"""`python -m sshd_keepalive`, and the console script."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the exit codes are those of `cli.output`."""
    from sshd_keepalive.cli import command

    try:
        command(prog_name="sshd-keepalive")
    except Exception:  # a defect of ours: Python would end with 1, and that says drift
        import traceback

        traceback.print_exc()
        raise SystemExit(5) from None


if __name__ == "__main__":
    main()
