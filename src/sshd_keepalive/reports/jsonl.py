"""JSON lines: one host a line, the same objects as in the JSON report."""

import json

from sshd_keepalive.model import HostReport, Run
from sshd_keepalive.reports import describe_host


def render_line(report: HostReport) -> str:
    """Render one host, ending in a line end; the command line prints it as soon as the host is done."""
    return json.dumps(describe_host(report), allow_nan=False) + "\n"


def render(run: Run) -> str:
    """Render all hosts, in the order of the inventory."""
    return "".join(render_line(report) for report in run.hosts)
