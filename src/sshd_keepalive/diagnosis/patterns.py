"""Lines that tell how a session ended: one row for each kind of line, of the products that people run jobs with.

Every row has a word that must stand in the line, in lower case, so that a file of 200 MB is searched for words and
only its few telling lines are read. Sources: the products' own messages; sshd's and ssh's in OpenSSH's serverloop.c,
clientloop.c, packet.c and channels.c; systemd-logind's in logind-session.c; bash's in its manual under TMOUT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sshd_keepalive.diagnosis.causes import LineKind

DATAARTS, AIRFLOW, JENKINS, RUNDECK, ANSIBLE = "DataArts Studio", "Airflow", "Jenkins", "Rundeck", "Ansible"
JSCH, OPENSSH, SSHD, PARAMIKO, SYSTEMD, KERNEL, BASH = "JSch", "ssh", "sshd", "paramiko", "systemd", "kernel", "shell"

SSHNET, MINA, SSHJ, TRILEAD = "SSH.NET", "Apache MINA SSHD", "sshj", "Trilead"
GO_SSH, LIBSSH2, NODE_SSH2, ASYNCSSH = "Go x/crypto/ssh", "libssh2", "node ssh2", "asyncssh"
DROPBEAR = "Dropbear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One kind of line.

    Groups of the pattern: seconds, minutes, milliseconds, status, code, user, peer, port, job, agent.
    """

    product: str
    kind: LineKind
    word: str  # lower case; stands in every such line
    pattern: re.Pattern[str]  # takes linear time on any line: repeats next to each other are bounded
    example: str  # a line that it matches; the tests read it
    source: str  # where the text was found; empty: see the top of this module


def _row(product: str, kind: LineKind, word: str, pattern: str, example: str, source: str = "") -> Row:
    compiled = re.compile(pattern, re.IGNORECASE)
    return Row(product=product, kind=kind, word=word, pattern=compiled, example=example, source=source)


_PEER = r"(?P<peer>[0-9A-Fa-f:.]{2,45})"
_TOLD = r"(?:code:|code was|exit status)"

ROWS: Final[tuple[Row, ...]] = (
    # DataArts Studio: the job's result as JSON, and the lines around it.
    _row(DATAARTS, LineKind.BLAMED, "errorcode", r'"?errorCode"?\s*[:=]\s*"?(?P<code>3427)\b', '"errorCode":3427'),
    _row(
        DATAARTS, LineKind.RAN, "exetime", r'"?exeTime"?\s*[:=]\s*"?(?P<seconds>\d+(?:\.\d+)?)', '{"exeTime":300.609}'
    ),
    _row(
        DATAARTS,
        LineKind.NO_STATUS,
        "return code is",
        r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>-1)\b",
        "The return code is : [-1].",
    ),
    _row(
        DATAARTS,
        LineKind.FAILED,
        "return code is",
        r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>[1-9]\d*)\b",
        "The return code is : [2].",
    ),
    _row(
        DATAARTS,
        LineKind.SUCCEEDED,
        "return code is",
        r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>0)\b",
        "The return code is : [0].",
    ),
    _row(
        DATAARTS,
        LineKind.BLAMED,
        "contact ecs service",
        r"execute failed\. Please contact ECS Service",
        "execute failed. Please contact ECS Service",
    ),
    _row(DATAARTS, LineKind.STARTED, "agentid", r'"?agentId"?\s*[:=]\s*"?(?P<agent>[\w-]{8,})', "agentId: 1f2e3d4c-aa"),
    _row(DATAARTS, LineKind.STARTED, "jobid", r'"?jobId"?\s*[:=]\s*"?(?P<job>[\w-]{4,})', '"jobId":"6b2a9f0e4c"'),
    # JSch, below DataArts Studio, Rundeck and many others.
    _row(JSCH, LineKind.LOST, "session is down", r"session is down", "com.jcraft.jsch.JSchException: session is down"),
    _row(
        JSCH,
        LineKind.LOST,
        "channel is not opened",
        r"(?:JSchException|SSHProtocolFailure): channel is not opened",
        "com.jcraft.jsch.JSchException: channel is not opened.",
    ),
    _row(
        JSCH,
        LineKind.CLOSED,
        "end of io stream read",
        r"End of IO Stream Read",
        "java.io.IOException: End of IO Stream Read",
    ),
    _row(
        JSCH,
        LineKind.RESET,
        "java.net.socketexception",
        r"java\.net\.SocketException: Connection reset",
        "Caused by: java.net.SocketException: Connection reset",
    ),
    _row(
        JSCH,
        LineKind.BROKEN,
        "java.net.socketexception",
        r"java\.net\.SocketException: Broken pipe",
        "java.net.SocketException: Broken pipe (Write failed)",
    ),
    _row(
        JSCH,
        LineKind.NO_LOGIN,
        "jschexception",
        r"JSchException: (?:Auth (?:fail|cancel)|USERAUTH fail|timeout: socket is not established"
        r"|java\.net\.(?:Connect|NoRouteToHost|UnknownHost)Exception)",
        "com.jcraft.jsch.JSchException: Auth fail",
    ),
    # Airflow and paramiko below it.
    _row(
        AIRFLOW,
        LineKind.OWN_LIMIT,
        "timed out",
        r"AirflowException: SSH command timed out|SSH command timed out",
        "airflow.exceptions.AirflowException: SSH command timed out",
    ),
    _row(
        AIRFLOW,
        LineKind.OWN_LIMIT,
        "airflowtasktimeout",
        r"AirflowTaskTimeout",
        "airflow.exceptions.AirflowTaskTimeout: Timeout, PID: 7",
    ),
    _row(
        AIRFLOW,
        LineKind.FAILED,
        "exit status",
        r"SSH operator error: exit status = (?P<status>[1-9]\d*)",
        "SSH operator error: exit status = 2",
    ),
    _row(
        AIRFLOW,
        LineKind.NO_STATUS,
        "exit status",
        r"SSH operator error: exit status = (?P<status>-1)",
        "SSH operator error: exit status = -1",
    ),
    _row(
        AIRFLOW,
        LineKind.LOST,
        "ssh operator error",
        r"SSH operator error: (?!exit status)",
        "SSH operator error: No existing session",
    ),
    _row(
        PARAMIKO,
        LineKind.RESET,
        "connection reset by peer",
        r"Socket exception: Connection reset by peer|\[Errno 104\]",
        "Socket exception: Connection reset by peer (104)",
    ),
    _row(
        PARAMIKO,
        LineKind.LOST,
        "ssh session not active",
        r"SSH session not active",
        "paramiko.ssh_exception.SSHException: SSH session not active",
    ),
    _row(PARAMIKO, LineKind.LOST, "socket is closed", r"OSError: Socket is closed", "OSError: Socket is closed"),
    _row(
        PARAMIKO,
        LineKind.CLOSED,
        "server connection dropped",
        r"Server connection dropped",
        "paramiko.ssh_exception.SSHException: Server connection dropped: ",
    ),
    _row(
        PARAMIKO,
        LineKind.NO_LOGIN,
        "authenticationexception",
        r"AuthenticationException",
        "paramiko.ssh_exception.AuthenticationException: Authentication failed.",
    ),
    _row(
        PARAMIKO,
        LineKind.NO_LOGIN,
        "ssh protocol banner",
        r"Error reading SSH protocol banner",
        "paramiko.ssh_exception.SSHException: Error reading SSH protocol banner",
    ),
    # Jenkins agents over ssh, and build limits.
    _row(
        JENKINS,
        LineKind.OWN_LIMIT,
        "timed out",
        r"Build timed out \(after (?P<minutes>\d+) minutes?\)|Timeout has been exceeded",
        "Build timed out (after 5 minutes). Marking the build as aborted.",
    ),
    _row(
        JENKINS,
        LineKind.LOST,
        "unexpected termination",
        r"Unexpected termination of the channel",
        "java.io.IOException: Unexpected termination of the channel",
    ),
    _row(
        JENKINS,
        LineKind.LOST,
        "channelclosedexception",
        r"ChannelClosedException",
        'hudson.remoting.ChannelClosedException: Channel "etl": Remote call on etl failed',
    ),
    _row(
        JENKINS,
        LineKind.LOST,
        "connection was broken",
        r"Connection was broken",
        "java.io.IOException: Connection was broken",
    ),
    _row(
        JENKINS,
        LineKind.LOST,
        "went offline",
        r"(?:agent|slave|node) .{0,60}went offline",
        "agent etl-01 went offline during the build",
    ),
    # Rundeck.
    _row(
        RUNDECK,
        LineKind.LOST,
        "connection was interrupted",
        r"Failed: Interrupted: Connection was interrupted",
        "Failed: Interrupted: Connection was interrupted",
    ),
    _row(
        RUNDECK,
        LineKind.OWN_LIMIT,
        "timedout",
        r"Execution (?:status: )?timedout|Failed: TimedOut",
        "Execution timedout",
    ),
    _row(
        RUNDECK,
        LineKind.LOST,
        "connectionfailure",
        r"Failed: ConnectionFailure",
        "Failed: ConnectionFailure: Connection refused",
    ),
    _row(
        RUNDECK,
        LineKind.FAILED,
        "nonzeroresultcode",
        rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>(?!255\b)[1-9]\d*)",
        "Failed: NonZeroResultCode: Result code was 3",
    ),
    _row(
        RUNDECK,
        LineKind.NO_STATUS,
        "nonzeroresultcode",
        rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>-1|255)\b",
        "Failed: NonZeroResultCode: Result code was 255",
    ),
    # Ansible.
    _row(
        ANSIBLE,
        LineKind.LOST,
        "unreachable!",
        r"\bUNREACHABLE! =>",
        'fatal: [ecs-01]: UNREACHABLE! => {"changed": false}',
    ),
    _row(
        ANSIBLE,
        LineKind.OWN_LIMIT,
        "async task did not complete",
        r"async task did not complete within the requested time",
        "async task did not complete within the requested time - 300s",
    ),
    _row(
        ANSIBLE,
        LineKind.OWN_LIMIT,
        "expected time frame",
        r"The (?:shell|command|\w+) action failed to execute in the expected time frame",
        "The shell action failed to execute in the expected time frame (60) and was terminated",
    ),
    _row(
        ANSIBLE,
        LineKind.LOST,
        "shared connection to",
        r"Shared connection to \S+ closed",
        "Shared connection to 192.0.2.11 closed.",
    ),
    _row(
        ANSIBLE,
        LineKind.BROKEN,
        "data could not be sent",
        r"Data could not be sent to remote host",
        'Data could not be sent to remote host "192.0.2.11".',
    ),
    # The ssh program.
    _row(
        OPENSSH,
        LineKind.CLIENT_GAVE_UP,
        "not responding",
        r"Timeout, server \S+ not responding",
        "Timeout, server 192.0.2.11 not responding.",
    ),
    _row(
        OPENSSH,
        LineKind.BROKEN,
        "broken pipe",
        r"(?:packet_write_|client_loop|Write failed|writev?).{0,80}Broken pipe",
        "client_loop: send disconnect: Broken pipe",
    ),
    _row(
        OPENSSH,
        LineKind.CLOSED,
        "closed by",
        r"(?<!\]: )(?<!identification: )Connection (?:to \S+ )?closed by (?:remote host|\S+ port \d+\b)(?! \[preauth)",
        "Connection to 192.0.2.11 closed by remote host.",
    ),
    _row(
        OPENSSH,
        LineKind.RESET,
        "connection reset by",
        r"Read from remote host \S+: Connection reset|(?<!\]: )Connection reset by \S+ port \d+ *$",
        "Read from remote host 192.0.2.11: Connection reset by peer",
    ),
    _row(
        OPENSSH,
        LineKind.CLIENT_GAVE_UP,
        "timed out",
        r"Read from remote host \S+: (?:Operation|Connection) timed out",
        "Read from remote host 192.0.2.11: Operation timed out",
    ),
    _row(
        OPENSSH,
        LineKind.NO_LOGIN,
        "permission denied",
        r"Permission denied \((?:publickey|password|keyboard)",
        "ops@192.0.2.11: Permission denied (publickey).",
    ),
    _row(
        OPENSSH,
        LineKind.NO_LOGIN,
        "exchange_identification",
        r"exchange_identification: ",
        "kex_exchange_identification: Connection closed by remote host",
    ),
    _row(
        OPENSSH,
        LineKind.NO_LOGIN,
        "host key verification failed",
        r"Host key verification failed",
        "Host key verification failed.",
    ),
    _row(
        OPENSSH,
        LineKind.NO_LOGIN,
        "connect to host",
        r"ssh: connect to host \S+ port \d+:",
        "ssh: connect to host 192.0.2.11 port 22: Connection refused",
    ),
    _row(
        OPENSSH,
        LineKind.NO_STATUS,
        "code 255",
        r"exit(?:ed)?(?: with)? code (?P<status>255)\b",
        "ssh exited with code 255",
    ),
    _row(
        OPENSSH,
        LineKind.NO_STATUS,
        "status 255",
        r"exit(?:ed)?(?: with)? status (?P<status>255)\b",
        "exited with status 255",
    ),
    # sshd's own log.
    _row(
        SSHD,
        LineKind.SERVER_GAVE_UP,
        "client not responding",
        rf"Timeout, client not responding(?: from user (?P<user>\S+) {_PEER} port (?P<port>\d+))?",
        "sshd[7]: Timeout, client not responding from user etl 192.0.2.9 port 50200",
    ),
    _row(
        SSHD,
        LineKind.UNUSED,
        "terminating inactive connection",
        r"terminating inactive connection",
        "sshd-session[7]: terminating inactive connection from 192.0.2.9",
    ),
    _row(
        SSHD,
        LineKind.CHANNEL,
        "of inactivity",
        r"channel \d+: closing after \d+ seconds of inactivity",
        "sshd-session[7]: channel 0: closing after 300 seconds of inactivity",
    ),
    _row(
        SSHD,
        LineKind.RESET,
        "connection reset by",
        rf"sshd[\w-]{{0,16}}\[\d+\]: Connection reset by .{{0,120}}?{_PEER} port (?P<port>\d+)\b(?! \[preauth)",
        "sshd[7]: Connection reset by 192.0.2.9 port 50200",
    ),
    _row(
        SSHD,
        LineKind.BROKEN,
        "connection timed out",
        r"(?:Read error from remote host|ssh_dispatch_run_fatal: Connection from) .{0,80}Connection timed out",
        "sshd[7]: Read error from remote host 192.0.2.9 port 50200: Connection timed out",
    ),
    _row(
        SSHD,
        LineKind.GRACE_OVER,
        "timeout before authentication",
        r"Timeout before authentication",
        "sshd[7]: fatal: Timeout before authentication for 192.0.2.9 port 50200",
    ),
    _row(
        SSHD,
        LineKind.STARTED,
        "accepted ",
        rf"Accepted \S+ for (?P<user>\S+) from {_PEER} port (?P<port>\d+)",
        "sshd[7]: Accepted publickey for etl from 192.0.2.9 port 50200 ssh2",
    ),
    # Libraries, below programs of all kinds.
    _row(
        SSHNET,
        LineKind.CLOSED,
        "aborted by the server",
        r"An established connection was aborted by the server",
        "Renci.SshNet.Common.SshConnectionException: An established connection was aborted by the server.",
        "github.com/sshnet/SSH.NET/issues/578",
    ),
    _row(
        SSHNET,
        LineKind.LOST,
        "client not connected",
        r"SshConnectionException: Client not connected",
        "Renci.SshNet.Common.SshConnectionException: Client not connected.",
        "github.com/sshnet/SSH.NET/issues/1474",
    ),
    _row(
        MINA,
        LineKind.OWN_LIMIT,
        "detected idletimeout",
        r"Detected IdleTimeout after \d+/(?P<milliseconds>\d+) ms",
        "SSH2_DISCONNECT_PROTOCOL_ERROR - Detected IdleTimeout after 600292/600000 ms.",
        "github.com/apache/mina-sshd/issues/460",
    ),
    _row(
        MINA,
        LineKind.CLIENT_GAVE_UP,
        "heartbeat requests without",
        r"Got \d+ heartbeat requests without reply",
        "SshException: Got 5 heartbeat requests without reply",
        "github.com/apache/mina-sshd/issues/901",
    ),
    _row(
        SSHJ,
        LineKind.CLOSED,
        "broken transport",
        r"Broken transport; encountered EOF",
        "net.schmizz.sshj.transport.TransportException: Broken transport; encountered EOF",
        "github.com/hierynomus/sshj/issues/610",
    ),
    _row(
        SSHJ,
        LineKind.CLIENT_GAVE_UP,
        "keep-alive response",
        r"Did not receive any keep-alive response for \d+ seconds",
        "net.schmizz.sshj.connection.ConnectionException: Did not receive any keep-alive response for 25 seconds",
        "sshj, net.schmizz.keepalive.KeepAliveRunner",
    ),
    _row(
        TRILEAD,
        LineKind.CLOSED,
        "peer sent disconnect message",
        r"Peer sent DISCONNECT message \(reason code \d+\)",
        "java.io.IOException: Peer sent DISCONNECT message (reason code 2): Timeout",
        "trilead-ssh2, com.trilead.ssh2.transport.TransportManager",
    ),
    _row(
        TRILEAD,
        LineKind.NO_LOGIN,
        "problem while connecting",
        r"There was a problem while connecting to \S+:\d+",
        "java.io.IOException: There was a problem while connecting to ecs-01:22",
        "github.com/jenkinsci/trilead-ssh2/pull/14",
    ),
    _row(
        GO_SSH,
        LineKind.NO_STATUS,
        "without exit status",
        r"remote command exited without exit status or exit signal",
        "wait: remote command exited without exit status or exit signal",
        "golang.org/x/crypto/ssh, session.go, ExitMissingError",
    ),
    _row(
        LIBSSH2,
        LineKind.BROKEN,
        "draining incoming flow",
        r"Failure while draining incoming flow",
        "Failure while draining incoming flow",
        "libssh2, channel.c, _libssh2_channel_write",
    ),
    _row(
        LIBSSH2,
        LineKind.BROKEN,
        "send keepalive message",
        r"Unable to send keepalive message",
        "Unable to send keepalive message",
        "libssh2, keepalive.c, libssh2_keepalive_send",
    ),
    _row(
        LIBSSH2,
        LineKind.BROKEN,
        "ssh2.exceptions.socket",
        r"ssh2\.exceptions\.Socket(?:Send|Recv|Disconnect)Error",
        "ssh2.exceptions.SocketSendError",
        "ssh2-python, measured in tests/sshd/test_real_clients.py",
    ),
    _row(
        NODE_SSH2,
        LineKind.BROKEN,
        "write epipe",
        r"Error: write EPIPE",
        "Error: write EPIPE",
        "node ssh2, measured in tests/sshd/test_real_clients.py",
    ),
    _row(
        DROPBEAR,
        LineKind.RESET,
        "error reading: connection reset",
        r"dbclient: Connection to \S+ exited: Error reading: Connection reset by peer",
        "dbclient: Connection to ops@192.0.2.11:22 exited: Error reading: Connection reset by peer",
        "dbclient, measured in tests/sshd/test_real_clients.py",
    ),
    _row(
        DROPBEAR,
        LineKind.BROKEN,
        "error writing: broken pipe",
        r"dbclient: Connection to \S+ exited: Error writing: Broken pipe",
        "dbclient: Connection to ops@192.0.2.11:22 exited: Error writing: Broken pipe",
        "dbclient, measured in tests/sshd/test_real_clients.py",
    ),
    _row(
        NODE_SSH2,
        LineKind.CLIENT_GAVE_UP,
        "keepalive timeout",
        r"Error: Keepalive timeout",
        "Error: Keepalive timeout",
        "github.com/mscdex/ssh2/issues/367",
    ),
    _row(
        NODE_SSH2,
        LineKind.RESET,
        "econnreset",
        r"Error: read ECONNRESET",
        "Error: read ECONNRESET",
        "github.com/mscdex/ssh2/issues/1105",
    ),
    _row(
        ASYNCSSH,
        LineKind.CLIENT_GAVE_UP,
        "responding to keepalive",
        r"Server not responding to keepalive",
        "asyncssh.misc.ConnectionLost: Server not responding to keepalive messages",
        "asyncssh, connection.py, ConnectionLost",
    ),
    _row(
        ASYNCSSH,
        LineKind.LOST,
        "connectionlost",
        r"asyncssh\.[\w.]{0,40}ConnectionLost: Connection lost",
        "asyncssh.misc.ConnectionLost: Connection lost",
        "asyncssh, connection.py, ConnectionLost",
    ),
    _row(
        ASYNCSSH,
        LineKind.LOST,
        "channelopenerror",
        r"asyncssh\.[\w.]{0,40}ChannelOpenError: SSH connection closed",
        "asyncssh.misc.ChannelOpenError: SSH connection closed",
        "asyncssh, connection.py, add_channel",
    ),
    # Logins that sshd ended or refused.
    _row(
        SSHD,
        LineKind.PENALISED,
        "penalty",
        r"drop connection #\d+ from \S+ on \S+ penalty|active penalty of \d+",
        "srclimit_penalise: ipv4: new 192.0.2.9/32 active penalty of 15 seconds for penalty: failed authentication",
        "bash-prompt.net/guides/bash-ssh-persourcepenalties; OpenSSH, srclimit.c",
    ),
    _row(
        SSHD,
        LineKind.STARTUPS,
        "maxstartups",
        r"drop connection #\d+ from \S+ on \S+ Maxstartups|Exceeded MaxStartups",
        "drop connection #10 from [192.0.2.9]:59789 on [192.0.2.1]:22 Maxstartups",
        "git.cweiske.de/paste/968.git; OpenSSH, sshd.c",
    ),
    _row(
        OPENSSH,
        LineKind.TURNED_AWAY,
        "not allowed at this time",
        r"Not allowed at this time",
        "Not allowed at this time",
        "OpenSSH 9.8, sshd.c",
    ),
    # Around it. That a listener "received signal 15" tells nothing: sessions outlive a restart of sshd.
    _row(
        SYSTEMD,
        LineKind.LOGIND,
        "is idle, stopping",
        r'Session "?\S+?"? of user "?(?P<user>[^\s"]+)"? is idle, stopping',
        'systemd-logind[6]: Session "3" of user "etl" is idle, stopping.',
    ),
    _row(
        SYSTEMD,
        LineKind.SERVER_STOPPED,
        "is powering",
        r"systemd-logind\[\d+\]: (?:System is (?:powering|rebooting)|Power)",
        "systemd-logind[6]: System is powering down.",
    ),
    _row(
        SYSTEMD,
        LineKind.SERVER_STOPPED,
        "is rebooting",
        r"System is rebooting",
        "systemd-logind[6]: System is rebooting.",
    ),
    _row(
        KERNEL,
        LineKind.KILLED,
        "out of memory",
        r"Out of memory: Kill(?:ed)? process|oom-kill:",
        "kernel: Out of memory: Killed process 7 (java)",
    ),
    _row(
        BASH,
        LineKind.SHELL_TMOUT,
        "timed out waiting for input",
        r"timed out waiting for input: auto-logout",
        "bash: timed out waiting for input: auto-logout",
    ),
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
