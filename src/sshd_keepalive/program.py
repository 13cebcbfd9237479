"""How this program was installed: the commands that start it again and that add an extra."""

from __future__ import annotations

import sys
from pathlib import Path

from sshd_keepalive.quoting import join


def argv() -> tuple[str, ...]:
    """Give the command that starts this program from any directory, for a timer or a child process.

    The single file (`sshd-keepalive.pyz`) is started by its path, since `-m` does not find its modules. `-P` ignores
    modules in the working directory.
    """
    if _is_single_file():
        return (sys.executable, str(Path(sys.argv[0]).absolute()))
    return (sys.executable, "-P", "-m", "sshd_keepalive")


def suggest_extra(extra: str) -> str:
    """Write what adds an extra to this installation, for a shell.

    pipx and uv leave a file in the environment of each tool. `pipx inject` keeps the extras that are installed;
    `uv tool install` removes those that are not named. Measured with pipx 1.1.0 and 1.18.4.
    """
    package = f"sshd-keepalive[{extra}]"
    if _is_single_file():
        return f"this file cannot be extended; install the program: {join(('pipx', 'install', package))}"
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").exists():
        return join(("pipx", "inject", prefix.name, package))
    receipt = prefix / "uv-receipt.toml"
    if receipt.exists():
        import tomllib

        requirements = tomllib.loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
        extras = {extra}.union(*(one.get("extras", ()) for one in requirements if one["name"] == "sshd-keepalive"))
        return join(("uv", "tool", "install", f"sshd-keepalive[{','.join(sorted(extras))}]"))
    return join((sys.executable, "-m", "pip", "install", package))


def _is_single_file() -> bool:
    import zipfile

    return zipfile.is_zipfile(sys.argv[0])
