"""`python -m sshd_keepalive`, and the console script."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; the exit codes are those of `cli.output`."""
    _open_what_is_closed()
    from sshd_keepalive.cli import command

    try:
        command(prog_name="sshd-keepalive")
    except Exception:  # a defect of ours: Python would end with 1, and that says drift
        import traceback

        traceback.print_exc()
        raise SystemExit(5) from None


def _open_what_is_closed() -> None:
    """Standard streams that were closed, as `<&-` does: a connection would get the number, and what we print."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (until the end)


if __name__ == "__main__":
    main()
