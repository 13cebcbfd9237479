"""Which OpenSSH a distribution has: the table releases.yaml beside this file, with the source of every row."""

from __future__ import annotations

from functools import cache
from typing import Any

from sshd_keepalive.errors import ConfigError, ParseError
from sshd_keepalive.spelling import did_you_mean, show
from sshd_keepalive.sshd_config.version import Build, Version


@cache
def load_table() -> dict[str, Build]:
    """Load every distribution by its name, in the order of the file."""
    from importlib import resources

    import yaml

    text = resources.files(__package__).joinpath("releases.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)
    return {
        name: Build(
            name=name,
            version=Version.parse(row["openssh"]),
            keywords=frozenset(row.get("keywords", ())),
            has_all_keywords=row.get("complete", False),
        )
        for name, row in rows.items()
    }


def find(text: str) -> Build:
    """Find a release by a distribution's name, `debian-13`, or by its own number, `9.2p1`.

    Raises:
        ConfigError: it is neither.
    """
    if (build := load_table().get(text.lower())) is not None:
        return build
    try:
        if text[:1].isdigit() or text.lower().startswith("openssh"):
            return Build(version=Version.parse(text))
    except ParseError:
        pass
    hint = f"write a number, 9.2, or one of {', '.join(load_table())}"
    raise ConfigError(
        f"{show(text)} is not a release of OpenSSH or of a distribution{did_you_mean(text, load_table())}", hint=hint
    )
