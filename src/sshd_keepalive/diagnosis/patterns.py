"""Lines that tell how a session ended: one row for each kind of line, of the products that people run jobs with.

Every row has a word that must stand in the line, in lower case, so that a file of 200 MB is searched for words and
only its few telling lines are read. Sources: the products' own messages; sshd's and ssh's in OpenSSH's serverloop.c,
clientloop.c, packet.c and channels.c; systemd-logind's in logind-session.c; bash's in its manual under TMOUT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sshd_keepalive.diagnosis.causes import Sign

DATAARTS, AIRFLOW, JENKINS, RUNDECK, ANSIBLE = "DataArts Studio", "Airflow", "Jenkins", "Rundeck", "Ansible"
JSCH, OPENSSH, SSHD, PARAMIKO, SYSTEMD, KERNEL, BASH = "JSch", "ssh", "sshd", "paramiko", "systemd", "kernel", "shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of line. Groups of the pattern: seconds, minutes, status, code, user, peer, port, job, agent."""

    product: str
    sign: Sign
    word: str  # lower case; stands in every such line
    pattern: re.Pattern[str]


def _row(product: str, sign: Sign, word: str, pattern: str) -> Row:
    return Row(product=product, sign=sign, word=word, pattern=re.compile(pattern, re.IGNORECASE))


_PEER = r"(?P<peer>[0-9A-Fa-f:.]+)"
_TOLD = r"(?:code:|code was|exit status)"

ROWS: Final[tuple[Row, ...]] = (
    # DataArts Studio: the job's result as JSON, and the lines around it.
    _row(DATAARTS, Sign.BLAMED, "errorcode", r'"?errorCode"?\s*[:=]\s*"?(?P<code>3427)\b'),
    _row(DATAARTS, Sign.RAN, "exetime", r'"?exeTime"?\s*[:=]\s*"?(?P<seconds>\d+(?:\.\d+)?)'),
    _row(DATAARTS, Sign.NO_STATUS, "return code is", r"return code is\s*:?\s*\[?(?P<status>-1)\b"),
    _row(DATAARTS, Sign.FAILED, "return code is", r"return code is\s*:?\s*\[?(?P<status>[1-9]\d*)\b"),
    _row(DATAARTS, Sign.SUCCEEDED, "return code is", r"return code is\s*:?\s*\[?(?P<status>0)\b"),
    _row(DATAARTS, Sign.BLAMED, "contact ecs service", r"execute failed\. Please contact ECS Service"),
    _row(DATAARTS, Sign.STARTED, "agentid", r'"?agentId"?\s*[:=]\s*"?(?P<agent>[\w-]{8,})'),
    _row(DATAARTS, Sign.STARTED, "jobid", r'"?jobId"?\s*[:=]\s*"?(?P<job>[\w-]{4,})'),
    # JSch, below DataArts Studio, Rundeck and many others.
    _row(JSCH, Sign.LOST, "session is down", r"session is down"),
    _row(JSCH, Sign.LOST, "channel is not opened", r"(?:JSchException|SSHProtocolFailure): channel is not opened"),
    _row(JSCH, Sign.CLOSED, "end of io stream read", r"End of IO Stream Read"),
    _row(JSCH, Sign.RESET, "java.net.socketexception", r"java\.net\.SocketException: Connection reset"),
    _row(JSCH, Sign.BROKEN, "java.net.socketexception", r"java\.net\.SocketException: Broken pipe"),
    _row(
        JSCH,
        Sign.NO_LOGIN,
        "jschexception",
        r"JSchException: (?:Auth (?:fail|cancel)|USERAUTH fail|timeout: socket is not established"
        r"|java\.net\.(?:Connect|NoRouteToHost|UnknownHost)Exception)",
    ),
    # Airflow and paramiko below it.
    _row(AIRFLOW, Sign.OWN_LIMIT, "timed out", r"AirflowException: SSH command timed out|SSH command timed out"),
    _row(AIRFLOW, Sign.OWN_LIMIT, "airflowtasktimeout", r"AirflowTaskTimeout"),
    _row(AIRFLOW, Sign.FAILED, "exit status", r"SSH operator error: exit status = (?P<status>[1-9]\d*)"),
    _row(AIRFLOW, Sign.NO_STATUS, "exit status", r"SSH operator error: exit status = (?P<status>-1)"),
    _row(AIRFLOW, Sign.LOST, "ssh operator error", r"SSH operator error: (?!exit status)"),
    _row(PARAMIKO, Sign.RESET, "connection reset by peer", r"Socket exception: Connection reset by peer|\[Errno 104\]"),
    _row(PARAMIKO, Sign.LOST, "ssh session not active", r"SSH session not active"),
    _row(PARAMIKO, Sign.LOST, "socket is closed", r"OSError: Socket is closed"),
    _row(PARAMIKO, Sign.CLOSED, "server connection dropped", r"Server connection dropped"),
    _row(PARAMIKO, Sign.NO_LOGIN, "authenticationexception", r"AuthenticationException"),
    _row(PARAMIKO, Sign.NO_LOGIN, "ssh protocol banner", r"Error reading SSH protocol banner"),
    # Jenkins agents over ssh, and build limits.
    _row(
        JENKINS,
        Sign.OWN_LIMIT,
        "timed out",
        r"Build timed out \(after (?P<minutes>\d+) minutes?\)|Timeout has been exceeded",
    ),
    _row(JENKINS, Sign.LOST, "unexpected termination", r"Unexpected termination of the channel"),
    _row(JENKINS, Sign.LOST, "channelclosedexception", r"ChannelClosedException"),
    _row(JENKINS, Sign.LOST, "connection was broken", r"Connection was broken"),
    _row(JENKINS, Sign.LOST, "went offline", r"(?:agent|slave|node) .{0,60}went offline"),
    # Rundeck.
    _row(RUNDECK, Sign.LOST, "connection was interrupted", r"Failed: Interrupted: Connection was interrupted"),
    _row(RUNDECK, Sign.OWN_LIMIT, "timedout", r"Execution (?:status: )?timedout|Failed: TimedOut"),
    _row(RUNDECK, Sign.LOST, "connectionfailure", r"Failed: ConnectionFailure"),
    _row(
        RUNDECK,
        Sign.FAILED,
        "nonzeroresultcode",
        rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>(?!255\b)[1-9]\d*)",
    ),
    _row(RUNDECK, Sign.NO_STATUS, "nonzeroresultcode", rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>-1|255)\b"),
    # Ansible.
    _row(ANSIBLE, Sign.LOST, "unreachable!", r"\bUNREACHABLE! =>"),
    _row(
        ANSIBLE, Sign.OWN_LIMIT, "async task did not complete", r"async task did not complete within the requested time"
    ),
    _row(
        ANSIBLE,
        Sign.OWN_LIMIT,
        "expected time frame",
        r"The (?:shell|command|\w+) action failed to execute in the expected time frame",
    ),
    _row(ANSIBLE, Sign.LOST, "shared connection to", r"Shared connection to \S+ closed"),
    _row(ANSIBLE, Sign.BROKEN, "data could not be sent", r"Data could not be sent to remote host"),
    # The ssh program.
    _row(OPENSSH, Sign.CLIENT_GAVE_UP, "not responding", r"Timeout, server \S+ not responding"),
    _row(
        OPENSSH, Sign.BROKEN, "broken pipe", r"(?:packet_write_\w+|client_loop|Write failed|writev?).{0,80}Broken pipe"
    ),
    _row(
        OPENSSH,
        Sign.CLOSED,
        "closed by",
        r"(?<!\]: )(?<!identification: )Connection (?:to \S+ )?closed by (?:remote host|\S+ port \d+\b)(?! \[preauth)",
    ),
    _row(
        OPENSSH,
        Sign.RESET,
        "connection reset by",
        r"Read from remote host \S+: Connection reset|(?<!\]: )Connection reset by \S+ port \d+ *$",
    ),
    _row(OPENSSH, Sign.CLIENT_GAVE_UP, "timed out", r"Read from remote host \S+: (?:Operation|Connection) timed out"),
    _row(OPENSSH, Sign.NO_LOGIN, "permission denied", r"Permission denied \((?:publickey|password|keyboard)"),
    _row(OPENSSH, Sign.NO_LOGIN, "exchange_identification", r"exchange_identification: "),
    _row(OPENSSH, Sign.NO_LOGIN, "host key verification failed", r"Host key verification failed"),
    _row(OPENSSH, Sign.NO_LOGIN, "connect to host", r"ssh: connect to host \S+ port \d+:"),
    _row(OPENSSH, Sign.NO_STATUS, "code 255", r"exit(?:ed)?(?: with)? code (?P<status>255)\b"),
    _row(OPENSSH, Sign.NO_STATUS, "status 255", r"exit(?:ed)?(?: with)? status (?P<status>255)\b"),
    # sshd's own log.
    _row(
        SSHD,
        Sign.SERVER_GAVE_UP,
        "client not responding",
        rf"Timeout, client not responding(?: from user (?P<user>\S+) {_PEER} port (?P<port>\d+))?",
    ),
    _row(SSHD, Sign.UNUSED, "terminating inactive connection", r"terminating inactive connection"),
    _row(SSHD, Sign.CHANNEL, "of inactivity", r"channel \d+: closing after \d+ seconds of inactivity"),
    _row(
        SSHD,
        Sign.RESET,
        "connection reset by",
        rf"sshd\S*\[\d+\]: Connection reset by .*?{_PEER} port (?P<port>\d+)\b(?! \[preauth)",
    ),
    _row(
        SSHD,
        Sign.BROKEN,
        "connection timed out",
        r"(?:Read error from remote host|ssh_dispatch_run_fatal: Connection from) .{0,80}Connection timed out",
    ),
    _row(SSHD, Sign.NO_LOGIN, "timeout before authentication", r"Timeout before authentication"),
    _row(SSHD, Sign.STARTED, "accepted ", rf"Accepted \S+ for (?P<user>\S+) from {_PEER} port (?P<port>\d+)"),
    # Around it. That a listener "received signal 15" tells nothing: sessions outlive a restart of sshd.
    _row(
        SYSTEMD, Sign.LOGIND, "is idle, stopping", r'Session "?\S+?"? of user "?(?P<user>[^\s"]+)"? is idle, stopping'
    ),
    _row(
        SYSTEMD,
        Sign.SERVER_STOPPED,
        "is powering",
        r"systemd-logind\[\d+\]: (?:System is (?:powering|rebooting)|Power)",
    ),
    _row(SYSTEMD, Sign.SERVER_STOPPED, "is rebooting", r"System is rebooting"),
    _row(KERNEL, Sign.KILLED, "out of memory", r"Out of memory: Kill(?:ed)? process|oom-kill:"),
    _row(BASH, Sign.SHELL_TMOUT, "timed out waiting for input", r"timed out waiting for input: auto-logout"),
)

#: Words of products that write a log but no line of the table.
NAMES: Final[tuple[tuple[str, str], ...]] = (
    ("airflow", AIRFLOW),
    ("hudson.", JENKINS),
    ("jenkins", JENKINS),
    ("rundeck", RUNDECK),
    ("play recap", ANSIBLE),
    ("dataarts", DATAARTS),
    ("com.jcraft.jsch", JSCH),
)
WORDS: Final = tuple(dict.fromkeys(row.word for row in ROWS))
