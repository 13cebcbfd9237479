"""Lines that tell how a session ended: one row for each kind of line, of the products that people run jobs with.

Every row has a word that must stand in the line, in lower case, so that a file of 200 MB is searched for words and
only its few telling lines are read. Sources: the products' own messages; sshd's and ssh's in OpenSSH's serverloop.c,
clientloop.c, packet.c and channels.c; systemd-logind's in logind-session.c; bash's in its manual under TMOUT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    word: str  # lower case; is in every such line
    pattern: str  # takes linear time on any line: repeats next to each other are bounded
    example: str  # a line that it matches; the tests read it

    def find(self, line: str) -> Iterator[re.Match[str]]:
        """Find all places of a line that the pattern matches."""
        return re.finditer(self.pattern, line, re.IGNORECASE)  # compiled at its first use, and kept by `re`


def _row(product: str, kind: LineKind, text: str, example: str = "", *, pattern: str = "") -> Row:
    """Make a row; without a pattern the text is the pattern, without an example the example."""
    return Row(
        product=product,
        kind=kind,
        word=text.lower(),
        pattern=pattern or re.escape(text),
        example=example or text,
    )


_PEER = r"(?P<peer>[0-9A-Fa-f:.]{2,45})"
_TOLD = r"(?:code:|code was|exit status)"

# fmt: off
ROWS: Final[tuple[Row, ...]] = (
    # DataArts Studio: the job's result as JSON, and the lines around it.
    _row(DATAARTS, LineKind.BLAMED, "errorcode", '"errorCode":3427',
         pattern=r'"?errorCode"?\s*[:=]\s*"?(?P<code>3427)\b'),
    _row(DATAARTS, LineKind.RAN, "exetime", '{"exeTime":300.609}',
         pattern=r'"?exeTime"?\s*[:=]\s*"?(?P<seconds>\d+(?:\.\d+)?)'),
    _row(DATAARTS, LineKind.NO_STATUS, "return code is", "The return code is : [-1].",
         pattern=r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>-1)\b"),
    _row(DATAARTS, LineKind.FAILED, "return code is", "The return code is : [2].",
         pattern=r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>[1-9]\d*)\b"),
    _row(DATAARTS, LineKind.SUCCEEDED, "return code is", "The return code is : [0].",
         pattern=r"return code is(?:\s*:)?\s{0,9}\[?(?P<status>0)\b"),
    _row(DATAARTS, LineKind.BLAMED, "execute failed. Please contact ECS Service"),
    _row(DATAARTS, LineKind.STARTED, "agentid", "agentId: 1f2e3d4c-aa",
         pattern=r'"?agentId"?\s*[:=]\s*"?(?P<agent>[\w-]{8,})'),
    _row(DATAARTS, LineKind.STARTED, "jobid", '"jobId":"6b2a9f0e4c"',
         pattern=r'"?jobId"?\s*[:=]\s*"?(?P<job>[\w-]{4,})'),
    # JSch, below DataArts Studio, Rundeck and many others.
    _row(JSCH, LineKind.LOST, "session is down", "com.jcraft.jsch.JSchException: session is down"),
    _row(JSCH, LineKind.LOST, "channel is not opened", "com.jcraft.jsch.JSchException: channel is not opened.",
         pattern="(?:JSchException|SSHProtocolFailure): channel is not opened"),
    _row(JSCH, LineKind.CLOSED, "End of IO Stream Read", "java.io.IOException: End of IO Stream Read"),
    _row(JSCH, LineKind.RESET, "java.net.SocketException: Connection reset",
         "Caused by: java.net.SocketException: Connection reset"),
    _row(JSCH, LineKind.BROKEN, "java.net.SocketException: Broken pipe",
         "java.net.SocketException: Broken pipe (Write failed)"),
    _row(JSCH, LineKind.NO_LOGIN, "jschexception", "com.jcraft.jsch.JSchException: Auth fail",
         pattern=r"JSchException: (?:Auth (?:fail|cancel)|USERAUTH fail"
                 r"|timeout: socket is not established|java\.net\.(?:Connect|NoRouteToHost|UnknownHost)Exception)"),
    # Airflow and paramiko below it.
    _row(AIRFLOW, LineKind.OWN_LIMIT, "timed out", "airflow.exceptions.AirflowException: SSH command timed out",
         pattern="AirflowException: SSH command timed out|SSH command timed out"),
    _row(AIRFLOW, LineKind.OWN_LIMIT, "AirflowTaskTimeout", "airflow.exceptions.AirflowTaskTimeout: Timeout, PID: 7"),
    _row(AIRFLOW, LineKind.FAILED, "exit status", "SSH operator error: exit status = 2",
         pattern=r"SSH operator error: exit status = (?P<status>[1-9]\d*)"),
    _row(AIRFLOW, LineKind.NO_STATUS, "exit status", "SSH operator error: exit status = -1",
         pattern="SSH operator error: exit status = (?P<status>-1)"),
    _row(AIRFLOW, LineKind.LOST, "ssh operator error", "SSH operator error: No existing session",
         pattern="SSH operator error: (?!exit status)"),
    _row(PARAMIKO, LineKind.RESET, "connection reset by peer", "Socket exception: Connection reset by peer (104)",
         pattern=r"Socket exception: Connection reset by peer|\[Errno 104\]"),
    _row(PARAMIKO, LineKind.LOST, "SSH session not active",
         "paramiko.ssh_exception.SSHException: SSH session not active"),
    _row(PARAMIKO, LineKind.LOST, "OSError: Socket is closed"),
    _row(PARAMIKO, LineKind.CLOSED, "Server connection dropped",
         "paramiko.ssh_exception.SSHException: Server connection dropped: "),
    _row(PARAMIKO, LineKind.NO_LOGIN, "AuthenticationException",
         "paramiko.ssh_exception.AuthenticationException: Authentication failed."),
    _row(PARAMIKO, LineKind.NO_LOGIN, "Error reading SSH protocol banner",
         "paramiko.ssh_exception.SSHException: Error reading SSH protocol banner"),
    # Jenkins agents over ssh, and build limits.
    _row(JENKINS, LineKind.OWN_LIMIT, "timed out", "Build timed out (after 5 minutes). Marking the build as aborted.",
         pattern=r"Build timed out \(after (?P<minutes>\d+) minutes?\)|Timeout has been exceeded"),
    _row(JENKINS, LineKind.LOST, "Unexpected termination of the channel",
         "java.io.IOException: Unexpected termination of the channel"),
    _row(JENKINS, LineKind.LOST, "ChannelClosedException",
         'hudson.remoting.ChannelClosedException: Channel "etl": Remote call on etl failed'),
    _row(JENKINS, LineKind.LOST, "Connection was broken", "java.io.IOException: Connection was broken"),
    _row(JENKINS, LineKind.LOST, "went offline", "agent etl-01 went offline during the build",
         pattern="(?:agent|slave|node) .{0,60}went offline"),
    # Rundeck.
    _row(RUNDECK, LineKind.LOST, "Failed: Interrupted: Connection was interrupted"),
    _row(RUNDECK, LineKind.OWN_LIMIT, "timedout", "Execution timedout",
         pattern="Execution (?:status: )?timedout|Failed: TimedOut"),
    _row(RUNDECK, LineKind.LOST, "Failed: ConnectionFailure", "Failed: ConnectionFailure: Connection refused"),
    _row(RUNDECK, LineKind.FAILED, "nonzeroresultcode", "Failed: NonZeroResultCode: Result code was 3",
         pattern=rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>(?!255\b)[1-9]\d*)"),
    _row(RUNDECK, LineKind.NO_STATUS, "nonzeroresultcode", "Failed: NonZeroResultCode: Result code was 255",
         pattern=rf"NonZeroResultCode: .{{0,60}}?{_TOLD} (?P<status>-1|255)\b"),
    # Ansible.
    _row(ANSIBLE, LineKind.LOST, "unreachable!", 'fatal: [ecs-01]: UNREACHABLE! => {"changed": false}',
         pattern=r"\bUNREACHABLE! =>"),
    _row(ANSIBLE, LineKind.OWN_LIMIT, "async task did not complete within the requested time",
         "async task did not complete within the requested time - 300s"),
    _row(ANSIBLE, LineKind.OWN_LIMIT, "expected time frame",
         "The shell action failed to execute in the expected time frame (60) and was terminated",
         pattern=r"The (?:shell|command|\w+) action failed to execute in the expected time frame"),
    _row(ANSIBLE, LineKind.LOST, "shared connection to", "Shared connection to 192.0.2.11 closed.",
         pattern=r"Shared connection to \S+ closed"),
    _row(ANSIBLE, LineKind.BROKEN, "Data could not be sent to remote host",
         'Data could not be sent to remote host "192.0.2.11".'),
    # The ssh program.
    _row(OPENSSH, LineKind.CLIENT_GAVE_UP, "not responding", "Timeout, server 192.0.2.11 not responding.",
         pattern=r"Timeout, server \S+ not responding"),
    _row(OPENSSH, LineKind.BROKEN, "broken pipe", "client_loop: send disconnect: Broken pipe",
         pattern="(?:packet_write_|client_loop|Write failed|writev?).{0,80}Broken pipe"),
    _row(OPENSSH, LineKind.CLOSED, "closed by", "Connection to 192.0.2.11 closed by remote host.",
         pattern=r"(?<!\]: )(?<!identification: )Connection (?:to \S+ )?closed by (?:remote host"
                 r"|\S+ port \d+\b)(?! \[preauth)"),
    _row(OPENSSH, LineKind.RESET, "connection reset by", "Read from remote host 192.0.2.11: Connection reset by peer",
         pattern=r"Read from remote host \S+: Connection reset|(?<!\]: )Connection reset by \S+ port \d+ *$"),
    _row(OPENSSH, LineKind.CLIENT_GAVE_UP, "timed out", "Read from remote host 192.0.2.11: Operation timed out",
         pattern=r"Read from remote host \S+: (?:Operation|Connection) timed out"),
    _row(OPENSSH, LineKind.NO_LOGIN, "permission denied", "ops@192.0.2.11: Permission denied (publickey).",
         pattern=r"Permission denied \((?:publickey|password|keyboard)"),
    _row(OPENSSH, LineKind.NO_LOGIN, "exchange_identification: ",
         "kex_exchange_identification: Connection closed by remote host"),
    _row(OPENSSH, LineKind.NO_LOGIN, "Host key verification failed", "Host key verification failed."),
    _row(OPENSSH, LineKind.NO_LOGIN, "connect to host", "ssh: connect to host 192.0.2.11 port 22: Connection refused",
         pattern=r"ssh: connect to host \S+ port \d+:"),
    _row(OPENSSH, LineKind.NO_STATUS, "code 255", "ssh exited with code 255",
         pattern=r"exit(?:ed)?(?: with)? code (?P<status>255)\b"),
    _row(OPENSSH, LineKind.NO_STATUS, "status 255", "exited with status 255",
         pattern=r"exit(?:ed)?(?: with)? status (?P<status>255)\b"),
    # sshd's own log.
    _row(SSHD, LineKind.SERVER_GAVE_UP, "client not responding",
         "sshd[7]: Timeout, client not responding from user etl 192.0.2.9 port 50200",
         pattern=rf"Timeout, client not responding(?: from user (?P<user>\S+) {_PEER} port (?P<port>\d+))?"),
    _row(SSHD, LineKind.UNUSED, "terminating inactive connection",
         "sshd-session[7]: terminating inactive connection from 192.0.2.9"),
    _row(SSHD, LineKind.CHANNEL, "of inactivity",
         "sshd-session[7]: channel 0: closing after 300 seconds of inactivity",
         pattern=r"channel \d+: closing after \d+ seconds of inactivity"),
    _row(SSHD, LineKind.RESET, "connection reset by", "sshd[7]: Connection reset by 192.0.2.9 port 50200",
         pattern=rf"sshd[\w-]{{0,16}}\[\d+\]: Connection reset by .{{0,120}}?{_PEER} port"
                 rf" (?P<port>\d+)\b(?! \[preauth)"),
    _row(SSHD, LineKind.BROKEN, "connection timed out",
         "sshd[7]: Read error from remote host 192.0.2.9 port 50200: Connection timed out",
         pattern="(?:Read error from remote host|ssh_dispatch_run_fatal: Connection from) .{0,80}Connection timed out"),
    _row(SSHD, LineKind.GRACE_OVER, "Timeout before authentication",
         "sshd[7]: fatal: Timeout before authentication for 192.0.2.9 port 50200"),
    _row(SSHD, LineKind.STARTED, "accepted ", "sshd[7]: Accepted publickey for etl from 192.0.2.9 port 50200 ssh2",
         pattern=rf"Accepted \S+ for (?P<user>\S+) from {_PEER} port (?P<port>\d+)"),
    # Libraries, below programs of all kinds.
    # github.com/sshnet/SSH.NET/issues/578
    _row(SSHNET, LineKind.CLOSED, "An established connection was aborted by the server",
         "Renci.SshNet.Common.SshConnectionException: An established connection was aborted by the server."),
    _row(SSHNET, LineKind.LOST, "SshConnectionException: Client not connected",  # github.com/sshnet/SSH.NET/issues/1474
         "Renci.SshNet.Common.SshConnectionException: Client not connected."),
    _row(MINA, LineKind.OWN_LIMIT, "detected idletimeout",  # github.com/apache/mina-sshd/issues/460
         "SSH2_DISCONNECT_PROTOCOL_ERROR - Detected IdleTimeout after 600292/600000 ms.",
         pattern=r"Detected IdleTimeout after \d+/(?P<milliseconds>\d+) ms"),
    _row(MINA, LineKind.CLIENT_GAVE_UP, "heartbeat requests without",  # github.com/apache/mina-sshd/issues/901
         "SshException: Got 5 heartbeat requests without reply",
         pattern=r"Got \d+ heartbeat requests without reply"),
    _row(SSHJ, LineKind.CLOSED, "Broken transport; encountered EOF",  # github.com/hierynomus/sshj/issues/610
         "net.schmizz.sshj.transport.TransportException: Broken transport; encountered EOF"),
    _row(SSHJ, LineKind.CLIENT_GAVE_UP, "keep-alive response",  # sshj, net.schmizz.keepalive.KeepAliveRunner
         "net.schmizz.sshj.connection.ConnectionException: Did not receive any keep-alive response for 25 seconds",
         pattern=r"Did not receive any keep-alive response for \d+ seconds"),
    # trilead-ssh2, com.trilead.ssh2.transport.TransportManager
    _row(TRILEAD, LineKind.CLOSED, "peer sent disconnect message",
         "java.io.IOException: Peer sent DISCONNECT message (reason code 2): Timeout",
         pattern=r"Peer sent DISCONNECT message \(reason code \d+\)"),
    _row(TRILEAD, LineKind.NO_LOGIN, "problem while connecting",  # github.com/jenkinsci/trilead-ssh2/pull/14
         "java.io.IOException: There was a problem while connecting to ecs-01:22",
         pattern=r"There was a problem while connecting to \S+:\d+"),
    # golang.org/x/crypto/ssh, session.go, ExitMissingError
    _row(GO_SSH, LineKind.NO_STATUS, "remote command exited without exit status or exit signal",
         "wait: remote command exited without exit status or exit signal"),
    # libssh2, channel.c, _libssh2_channel_write
    _row(LIBSSH2, LineKind.BROKEN, "Failure while draining incoming flow"),
    _row(LIBSSH2, LineKind.BROKEN, "Unable to send keepalive message"),  # libssh2, keepalive.c, libssh2_keepalive_send
    # ssh2-python, measured in tests/sshd/test_real_clients.py
    _row(LIBSSH2, LineKind.BROKEN, "ssh2.exceptions.socket", "ssh2.exceptions.SocketSendError",
         pattern=r"ssh2\.exceptions\.Socket(?:Send|Recv|Disconnect)Error"),
    _row(NODE_SSH2, LineKind.BROKEN, "Error: write EPIPE"),  # node ssh2, measured in tests/sshd/test_real_clients.py
    # dbclient, measured in tests/sshd/test_real_clients.py
    _row(DROPBEAR, LineKind.RESET, "error reading: connection reset",
         "dbclient: Connection to ops@192.0.2.11:22 exited: Error reading: Connection reset by peer",
         pattern=r"dbclient: Connection to \S+ exited: Error reading: Connection reset by peer"),
    # dbclient, measured in tests/sshd/test_real_clients.py
    _row(DROPBEAR, LineKind.BROKEN, "error writing: broken pipe",
         "dbclient: Connection to ops@192.0.2.11:22 exited: Error writing: Broken pipe",
         pattern=r"dbclient: Connection to \S+ exited: Error writing: Broken pipe"),
    _row(NODE_SSH2, LineKind.CLIENT_GAVE_UP, "Error: Keepalive timeout"),  # github.com/mscdex/ssh2/issues/367
    _row(NODE_SSH2, LineKind.RESET, "Error: read ECONNRESET"),  # github.com/mscdex/ssh2/issues/1105
    # asyncssh, connection.py, ConnectionLost
    _row(ASYNCSSH, LineKind.CLIENT_GAVE_UP, "Server not responding to keepalive",
         "asyncssh.misc.ConnectionLost: Server not responding to keepalive messages"),
    _row(ASYNCSSH, LineKind.LOST, "connectionlost", "asyncssh.misc.ConnectionLost: Connection lost",
         pattern=r"asyncssh\.[\w.]{0,40}ConnectionLost: Connection lost"),  # asyncssh, connection.py, ConnectionLost
    # asyncssh, connection.py, add_channel
    _row(ASYNCSSH, LineKind.LOST, "channelopenerror", "asyncssh.misc.ChannelOpenError: SSH connection closed",
         pattern=r"asyncssh\.[\w.]{0,40}ChannelOpenError: SSH connection closed"),
    # Logins that sshd ended or refused.
    _row(SSHD, LineKind.PENALISED, "penalty",  # bash-prompt.net/guides/bash-ssh-persourcepenalties; OpenSSH, srclimit.c
         "srclimit_penalise: ipv4: new 192.0.2.9/32 active penalty of 15 seconds for penalty: failed authentication",
         pattern=r"drop connection #\d+ from \S+ on \S+ penalty|active penalty of \d+"),
    _row(SSHD, LineKind.STARTUPS, "maxstartups",  # git.cweiske.de/paste/968.git; OpenSSH, sshd.c
         "drop connection #10 from [192.0.2.9]:59789 on [192.0.2.1]:22 Maxstartups",
         pattern=r"drop connection #\d+ from \S+ on \S+ Maxstartups|Exceeded MaxStartups"),
    _row(OPENSSH, LineKind.TURNED_AWAY, "Not allowed at this time"),  # OpenSSH 9.8, sshd.c
    # Around it. That a listener "received signal 15" tells nothing: sessions outlive a restart of sshd.
    _row(SYSTEMD, LineKind.LOGIND, "is idle, stopping",
         'systemd-logind[6]: Session "3" of user "etl" is idle, stopping.',
         pattern=r'Session "?\S+?"? of user "?(?P<user>[^\s"]+)"? is idle, stopping'),
    _row(SYSTEMD, LineKind.SERVER_STOPPED, "is powering", "systemd-logind[6]: System is powering down.",
         pattern=r"systemd-logind\[\d+\]: (?:System is (?:powering|rebooting)|Power)"),
    _row(SYSTEMD, LineKind.SERVER_STOPPED, "System is rebooting", "systemd-logind[6]: System is rebooting."),
    _row(KERNEL, LineKind.KILLED, "out of memory", "kernel: Out of memory: Killed process 7 (java)",
         pattern="Out of memory: Kill(?:ed)? process|oom-kill:"),
    _row(BASH, LineKind.SHELL_TMOUT, "timed out waiting for input: auto-logout",
         "bash: timed out waiting for input: auto-logout"),
)
# fmt: on

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
