"""`plan`: what apply would do."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from sshd_keepalive import files, registry, serialization
from sshd_keepalive.cli import ExitCode, plan_file
from sshd_keepalive.cli.base import Command
from sshd_keepalive.cli.fleet_run import FleetRun
from sshd_keepalive.cli.options import FLEET, POLICY, Options, shared_options
from sshd_keepalive.cli.output import check_output
from sshd_keepalive.errors import ConfigError
from sshd_keepalive.fleet import one_host as fleet
from sshd_keepalive.model import Run
from sshd_keepalive.spelling import write_count

_OUT: Final = {
    "metavar": "[KIND:]FILE",
    "help": "Write the plan to a file for `apply FILE`, or with a KIND a report; repeatable.",
}


@click.command("plan", cls=Command, short_help="Show every change that apply would make.")
@shared_options(*POLICY, *FLEET, out=_OUT)
def command(options: Options) -> None:
    """Show every change that apply would make, and what it would restart. Changes nothing.

    --out FILE saves the plan, and `apply FILE` carries it out: a host whose files differ from the plan is refused.
    """
    raise SystemExit(show_plan(options))


def show_plan(options: Options) -> int:
    """Plan for `plan` and for `apply --dry-run`; give the exit code."""
    reports, plans = _divide_outputs(options.out)
    if plans and "-" in options.inventory:
        raise ConfigError("-i -: apply could not read these hosts again", hint="write the hosts into a file")
    options = replace(options, out=reports)
    run = FleetRun("plan", options)
    ended = run.end(run.repeat(fleet.plan_host))
    code = run.show(ended, with_diffs=True, then="" if plans else "apply")
    if run.stop.is_set():  # the plan is incomplete
        return code
    return max(code, *(_write_plan(path, run, ended) for path in plans)) if plans else code


def _divide_outputs(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Divide the values of --out into reports, KIND:FILE, and files for plans."""
    kinds = registry.list_names("reports")
    plans = tuple(text for text in texts if ":" not in text and text not in kinds)
    return tuple(text for text in texts if text not in plans), tuple(check_output(text, text) for text in plans)


def _write_plan(path: Path, run: FleetRun, ended: Run) -> int:
    """Write the plan and suggest how to apply it; give the exit code."""
    plan = plan_file.make_plan(ended, run.options)
    try:
        files.write(path, f"{serialization.write(plan)}\n".encode(), mode=0o600)
    except OSError as error:
        sys.stderr.write(f"error: cannot write the plan to {path}: {error.strerror}\n")
        return ExitCode.UNKNOWN
    run.output.say(f"plan for {write_count(len(plan.hosts), 'host')} written to {path}")
    run.suggest_apply(path)
    return ExitCode.OK
