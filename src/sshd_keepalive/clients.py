"""Keep-alive settings of common ssh clients.

Keep-alives of either side keep a connection open. Those of the host work for every client; those of a client also
where the host cannot be changed. Sources: ssh_config(5); Transport.set_keepalive of paramiko; Session of JSch; the
pages on SSHHook of Airflow, on the ssh connection of Ansible, and on the ping thread of Jenkins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetting:
    """One client and its setting."""

    name: str
    place: str  # where the text goes
    render: Callable[[int, int], str]  # interval in seconds, count
    remark: str  # how it differs from the others


def _openssh(interval_s: int, count: int) -> str:
    return f"Host *\n    ServerAliveInterval {interval_s}\n    ServerAliveCountMax {count}"


def _paramiko(interval_s: int, count: int) -> str:
    del count
    return f"client.get_transport().set_keepalive({interval_s})"


def _jsch(interval_s: int, count: int) -> str:
    return f"session.setServerAliveInterval({interval_s * 1000});\nsession.setServerAliveCountMax({count});"


def _ansible(interval_s: int, count: int) -> str:
    arguments = "-C -o ControlMaster=auto -o ControlPersist=60s"
    return (
        f"[ssh_connection]\nssh_args = {arguments} -o ServerAliveInterval={interval_s} -o ServerAliveCountMax={count}"
    )


def _airflow(interval_s: int, count: int) -> str:
    del count
    return f'SSHOperator(ssh_hook=SSHHook(ssh_conn_id="…", keepalive_interval={interval_s}), …)'


def _jenkins(interval_s: int, count: int) -> str:
    return (
        f"-Dhudson.slaves.ChannelPinger.pingIntervalSeconds={interval_s} "
        f"-Dhudson.slaves.ChannelPinger.pingTimeoutSeconds={interval_s * count}"
    )


CLIENTS: Final[tuple[ClientSetting, ...]] = (
    ClientSetting(
        name="openssh",
        place="~/.ssh/config, or /etc/ssh/ssh_config for everybody",
        render=_openssh,
        remark="after (count + 1) unanswered intervals ssh closes the connection; 0, the default, sends nothing",
    ),
    ClientSetting(
        name="paramiko",
        place="after connect()",
        render=_paramiko,
        remark="needs no answer: it keeps the connection open and never detects a dead host",
    ),
    ClientSetting(
        name="jsch",
        place="before session.connect()",
        render=_jsch,
        remark="milliseconds; also the socket's read timeout",
    ),
    ClientSetting(
        name="ansible",
        place="ansible.cfg",
        render=_ansible,
        remark="ssh_args replaces the default, so it repeats the default; for long tasks prefer async and poll",
    ),
    ClientSetting(
        name="airflow",
        place="the DAG",
        render=_airflow,
        remark="the hook's default is 30 s; cmd_timeout, 10 s by default, is a limit of its own",
    ),
    ClientSetting(
        name="jenkins",
        place="the controller's Java options",
        render=_jenkins,
        remark="Jenkins pings its agents every 300 s by default; for ssh steps of a job use openssh's setting",
    ),
)
NAMES: Final = tuple(client.name for client in CLIENTS)

#: The default of ssh_config(5): no keep-alives.
DEFAULT_INTERVAL: Final = "0"


def render(interval_s: int, count: int, names: tuple[str, ...] = NAMES) -> str:
    """Render the settings, ready to be copied."""
    parts = []
    for client in CLIENTS:
        if client.name in names:
            lines = "".join(f"    {line}\n" for line in client.render(interval_s, count).splitlines())
            parts.append(f"{client.name}: {client.place}\n{lines}    ({client.remark})\n")
    return "\n".join(parts)


def is_enough(interval_s: int | None, wanted_s: int) -> bool:
    """Whether a client's interval is at most the wanted one; 0 and None send nothing."""
    return interval_s is not None and 0 < interval_s <= wanted_s
