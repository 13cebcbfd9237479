"""The table of published benchmarks, benchmarks.yaml beside this file, and the selection of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from sshd_keepalive.errors import ConfigError
from sshd_keepalive.model import Benchmark, Checked, Span
from sshd_keepalive.spelling import did_you_mean

ALL = "all"


@cache
def load_table() -> tuple[Benchmark, ...]:
    """Load every row, in the order of the file."""
    from importlib import resources

    import yaml

    text = resources.files(__package__).joinpath("benchmarks.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)
    return tuple(
        Benchmark(
            name=name,
            interval_s=_parse_span(row.pop("interval")),
            count_max=_parse_span(row.pop("count")),
            checked=Checked(row.pop("checked")),
            **row,
        )
        for name, row in rows.items()
    )


def choose(names: Iterable[str]) -> tuple[Benchmark, ...]:
    """Choose rows by name, by the beginning of a name (`stig-rhel`), or `all`; in the order of the table.

    Raises:
        ConfigError: a name matches no row.
    """
    asked = [name.lower() for name in names]
    for name in asked:
        if not any(_matches(name, row) for row in load_table()):
            benchmark_names = [row.name for row in load_table()]
            hint = f"use one of {', '.join(benchmark_names)}; cis or stig-rhel selects all that begin with it"
            raise ConfigError(f"--benchmark {name}: not known{did_you_mean(name, benchmark_names)}", hint=hint)
    return tuple(row for row in load_table() if any(_matches(name, row) for name in asked))


def _matches(name: str, row: Benchmark) -> bool:
    return name == ALL or row.name == name or row.name.startswith(f"{name}-")


def _parse_span(bounds: list[int]) -> Span:
    low, *high = bounds
    return Span(low, high[0] if high else None)
