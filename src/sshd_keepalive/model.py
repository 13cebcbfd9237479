"""The types that flow through the program, in the order of the data flow.

observed → read → judged → planned → done → reported. All of them are frozen, hold tuples instead of lists,
and can be pickled, so that an engine may carry them to another process. Secrets never enter them; a
reference such as `env:NAME` does, and only `secrets.retrieval` resolves it. Times are aware UTC datetimes,
durations are seconds (`_s`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

SCHEMA_VERSION: Final = 2
INTERVAL: Final = "clientaliveinterval"
COUNT_MAX: Final = "clientalivecountmax"


class Subject(StrEnum):
    """What a finding is about, as `findings[].setting` of the JSON report."""

    INTERVAL = "ClientAliveInterval"
    COUNT_MAX = "ClientAliveCountMax"
    CHANNEL_TIMEOUT = "ChannelTimeout"
    MAX_SESSIONS = "MaxSessions"
    TCP_KEEPALIVE = "TCPKeepAlive"
    DAEMON = "daemon"  # what the running sshd has loaded
    AS_IF = "as-if"  # what another release would make of a line
    OBSERVED = "observed"  # from here on: sessions of `probe` and `sessions`
    COUNT_ZERO = "count 0"
    DEAD_CLIENT = "dead client"
    IDLE_LIMIT = "idle limit"
    SESSION = "session"
    LOST_SESSIONS = "lost sessions"  # of the log of a host
    SILENT_CLIENT = "silent client"

    @property
    def is_changed_by_apply(self) -> bool:
        """`apply` can make it compliant."""
        return self in (Subject.INTERVAL, Subject.COUNT_MAX, Subject.DAEMON)

    @property
    def is_observation(self) -> bool:
        """Whether it was observed in a session; else it is configured or loaded."""
        return self in (
            Subject.OBSERVED,
            Subject.COUNT_ZERO,
            Subject.DEAD_CLIENT,
            Subject.IDLE_LIMIT,
            Subject.SESSION,
            Subject.LOST_SESSIONS,
            Subject.SILENT_CLIENT,
        )


#: OpenSSH's spelling of the settings in a policy; keys are in lower case, as everywhere in the program.
SPELLING: Final[Mapping[str, Subject]] = MappingProxyType({INTERVAL: Subject.INTERVAL, COUNT_MAX: Subject.COUNT_MAX})
DEFAULT_CONFIG: Final = "/etc/ssh/sshd_config"
COMMAND_LINE: Final = "<command line>"


# ------------------------------------------------------------------------------------------- observed


class MatchOverrides(Enum):
    """How to treat a value in a `Match` block that differs from the policy."""

    OVERRIDE = "override"  # change it too, so that the policy applies to all connections
    KEEP = "keep"  # keep and list it


class Strategy(Enum):
    """Where a missing or wrong value is written."""

    EDIT = "edit"  # in place, in the file that decides
    DROP_IN = "drop-in"  # in a file of ours that sshd reads first, where Include is supported


class Action(Enum):
    """What makes sshd read its files."""

    RESTART = "restart"
    RELOAD = "reload"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The wanted behaviour for idle sessions, independent of the host's release."""

    keep_alive_every_s: int = 300  # the longest silence before sshd sends a keep-alive
    drop_dead_after_s: int | None = None  # the longest time until a dead session is dropped; None: count_max decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What every connection should get."""

    interval_s: int = 300  # ClientAliveInterval, seconds
    count_max: int = 3  # ClientAliveCountMax
    goal: Goal | None = None  # replaces the two numbers where a release doubles the interval; see planning.policy
    match_overrides: MatchOverrides = MatchOverrides.OVERRIDE
    strategy: Strategy = Strategy.EDIT

    def __str__(self) -> str:
        """`300/3`, or the goal in words."""
        if self.goal is None:
            return f"{self.interval_s}/{self.count_max}"
        dropped_s = self.goal.drop_dead_after_s
        dropped = f"after {dropped_s} s" if dropped_s is not None else f"at the {self.count_max + 1}. unanswered one"
        return f"a keep-alive every {self.goal.keep_alive_every_s} s, dead sessions dropped {dropped}"

    @property
    def wanted(self) -> dict[str, int]:
        """Folded keyword → wanted number, in the order in which they are reported and inserted.

        Where there is a goal, ask `planning.policy.adapt_to_release` first.
        """
        return {INTERVAL: self.interval_s, COUNT_MAX: self.count_max}


class Span(NamedTuple):
    """The whole numbers from `low` to `high`, both included."""

    low: int
    high: int | None  # None: no upper limit

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.low <= number and (self.high is None or number <= self.high)

    def __str__(self) -> str:
        if self.high is None:
            return f"{self.low} or more"
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


class Checked(StrEnum):
    """Where the numbers of a benchmark were read."""

    TEXT = "text"  # the rule's own text
    COPY = "copy"  # a copy of it
    UNVERIFIED = "unverified"  # a description by another author; the rule itself was not read


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The two settings in a published benchmark."""

    name: str  # what `--benchmark` takes, "cis-debian-12"
    title: str  # publisher, product, version
    rule: str  # the publisher's number
    interval_s: Span
    count_max: Span
    source: str  # where the numbers were read
    dated: date  # of the edition, or of what was read
    checked: Checked
    note: str = ""


BecomeMethod = Literal["sudo", "doas", "none"]
HostKeyRule = Literal["ask", "strict", "accept-new"]  # ask: the user, if there is a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """How an unprivileged login becomes root."""

    method: BecomeMethod = "sudo"
    password: str | None = None  # a secret reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChoice:
    """The service manager and unit, where the inventory names them; otherwise they are detected on the host."""

    manager: str | None = None  # a module of `services`
    unit: str | None = None
    pidfile: str | None = None  # manager pidfile
    restart: str | None = None  # manager command: shell text
    is_active: str | None = None  # manager command: shell text, exit 0 when active


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Permission to differ from the policy until a day; the host never counts as passing."""

    reason: str
    owner: str
    until: date

    def __str__(self) -> str:
        """`waived until 2026-06-30 by ops: vendor appliance`."""
        return f"waived until {self.until} by {self.owner}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshRules:
    """Rules of an ssh_config for a connection, in addition to known_hosts. None: all algorithms of this program."""

    host_keys: tuple[str, ...] | None = None  # HostKeyAlgorithms
    ca_signatures: tuple[str, ...] | None = None  # CASignatureAlgorithms
    ciphers: tuple[str, ...] | None = None
    macs: tuple[str, ...] | None = None
    kex: tuple[str, ...] | None = None
    rsa_bits: int = 2048  # RequiredRSASize; 2048 at least
    revoked: tuple[str, ...] = ()  # RevokedHostKeys: files


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One sshd of the fleet, and how to log in."""

    name: str  # the inventory's name, unique in a run
    address: str  # name or IP address to connect to
    port: int = 22
    user: str | None = None  # None: the account that runs the program
    identity_file: str | None = None  # None: the agent, then the default files of ssh(1)
    certificate_file: str | None = None
    password: str | None = None  # a secret reference
    become: Become = Become()
    jump: tuple[Host, ...] = ()  # the jump hosts, first hop first
    known_hosts: str | None = None  # None: the user's and the system's files
    more_known_hosts: tuple[str, ...] = ()  # read in addition to `known_hosts`; never written
    host_keys: HostKeyRule = "ask"
    host_key: str | None = None  # a pinned fingerprint, SHA256:…
    ssh_rules: SshRules = SshRules()
    host_key_alias: str | None = None  # the name in known_hosts and in host certificates; None: address and port
    obstacle: str = ""  # why this program cannot log in; the host is reported as unreachable
    sshd_config: str = DEFAULT_CONFIG
    sshd: str | None = None  # the binary; None: found on the host
    service: ServiceChoice = ServiceChoice()
    policy: Policy = Policy()
    waiver: Waiver | None = None
    groups: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The result of one script. Only text between the markers of its run is `stdout`."""

    status: int | None  # exit status that the script reported; None: none
    stdout: bytes  # output between the markers
    noise: bytes = b""  # other output: profiles, banners, sudo's lecture; for diagnosis only
    begun: bool = True  # the begin marker was seen
    ended: bool = True  # the end marker was seen; begun and not ended: how far it came is unknown
    is_late: bool = False  # not ended, and the time limit is over; otherwise the connection broke
    seconds_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a host, unchanged."""

    path: str  # the path sshd opens: absolute, symlinks not resolved
    content: bytes
    real_path: str | None = None  # target of a symlink; None: the path itself
    changed_at: datetime | None = None  # the later of mtime and ctime


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """One pattern of an Include, as the host's shell expanded it (existing paths only)."""

    pattern: str  # absolute
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The attributes of a connection: the `-C` specification of sshd.

    `None` everywhere (the blank context) is what plain `sshd -T` shows: only `Match all` applies.
    """

    user: str | None = None
    host: str | None = None
    address: str | None = None
    local_address: str | None = None
    local_port: int | None = None
    groups: tuple[str, ...] | None = None  # None: unknown, so `Match Group` may match

    def __str__(self) -> str:
        """`user=root, addr=192.0.2.1`; `everybody` for the blank context."""
        parts = {
            "user": self.user,
            "group": ",".join(self.groups) if self.groups else None,
            "host": self.host,
            "addr": self.address,
            "laddr": self.local_address,
            "lport": self.local_port,
        }
        return ", ".join(f"{key}={value}" for key, value in parts.items() if value is not None) or "everybody"


BLANK: Final = Context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """The output of the host's `sshd -T` for one context, or its error."""

    context: Context
    settings: tuple[tuple[str, str], ...] = ()  # (folded keyword, value), in its order, repeats kept
    text: str = ""  # its whole output
    error: str | None = None  # sshd's message

    def find(self, keyword: str) -> str | None:
        """Find the first value of a keyword in lower case; None when sshd did not print it."""
        return next((value for name, value in self.settings if name == keyword), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The running sshd, as seen from a session that it serves."""

    pid: int | None  # the listener; None: one process per connection (inetd, Accept=yes)
    loaded_at: datetime | None = None  # when it last read its configuration
    command_line: str = ""  # as /proc shows it
    options: tuple[str, ...] = ()  # the values of its -o options, in order
    next_command: str | None = None  # how its unit and environment files would start it now; None: unknown
    stale: tuple[str, ...] = ()  # configuration files or directories newer than what it loaded


class Phase(Enum):
    """How far a pending change has come."""

    CHANGING = "changing"  # its run is in progress, or was interrupted; the guard reverts it
    WAITING = "waiting"  # for its confirmation; otherwise the guard reverts it
    REVERTING = "reverting"
    STUCK = "stuck"  # nothing reverts it: the guard failed, or the host was restarted without it


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A change that is neither confirmed nor reverted, as recorded in the host's lock."""

    run_id: str
    phase: Phase
    directory: str  # of the run, on the host
    reverts_at: datetime  # when its guard reverts it


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertedChange:
    """The last change, where the host's guard has reverted it."""

    run_id: str
    at: datetime  # by the host's clock
    reason: str  # "not confirmed within 60 s"

    def __str__(self) -> str:
        """Name the run, the time and the reason."""
        at = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"the host's guard reverted run {self.run_id} at {at}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that was observed on a host at one time."""

    host: Host
    taken_at: datetime
    version: str  # OpenSSH version of the binary on disk, "9.2p1"
    has_include_backport: bool = False  # a release before 8.2 whose sshd says that it knows Include (RHEL 8)
    files: tuple[RemoteFile, ...]
    globs: tuple[Glob, ...]
    dumps: tuple[Dump, ...]
    daemon: Daemon | None  # None: not inspected (manager `command`)
    manager: str = ""  # the detected service manager
    unit: str = ""
    described: str = ""  # the manager's own description of the unit
    active: bool = True
    config_path: str = ""  # the file that the daemon reads first; empty: unknown, see sshd_config.tree
    state_dir: str = ""  # directory of lock, backups and guard of this configuration
    pending: PendingChange | None = None
    reverted: RevertedChange | None = None  # until the next change is confirmed
    agents: tuple[str, ...] = ()  # programs of `agents.AGENTS` that are on the host
    facts: tuple[tuple[str, str], ...] = ()  # os, kernel, login user, …: for display only
    records: tuple[tuple[str, bytes], ...] = field(default=(), repr=False, compare=False)  # of `survey.sh`
    confirmation: bytes = b""  # what the guard printed, if the host found all as predicted

    @property
    def contents(self) -> dict[str, bytes]:
        """The files, by their paths."""
        return {file.path: file.content for file in self.files}

    @property
    def answers(self) -> dict[Context, Dump]:
        """The dumps without an error, by their context."""
        return {dump.context: dump for dump in self.dumps if dump.error is None}


# ----------------------------------------------------------------------------------------- understood


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A line of a file; line 0 of COMMAND_LINE is a daemon option. None instead of a place: compiled in."""

    path: str
    line: int

    @property
    def is_option(self) -> bool:
        """Whether it is an -o option of the daemon, not a line of a file."""
        return self.path == COMMAND_LINE

    def __str__(self) -> str:
        return self.path if self.is_option else f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a value or a finding is about: everybody (GLOBAL), a Match block, one connection, process or address."""

    text: str = ""  # "Match User root", nested blocks joined by " / "; "process 7"; empty: everybody
    place: Place | None = None  # of the Match line

    @property
    def label(self) -> str:
        """The scope without its place, so that a moved Match line stays the same: `Match User root`, `global`."""
        return self.text or "global"

    def __str__(self) -> str:
        return self.label if self.place is None else f"{self.label} ({self.place})"


GLOBAL: Final = Scope()


# --------------------------------------------------------------------------------------------- judged


class State(StrEnum):
    """What a host is, held against its policy, or one finding. UNKNOWN is never OK."""

    OK = "ok"
    DRIFT = "drift"
    WAIVED = "waived"  # it differs, and may
    UNKNOWN = "unknown"  # it could not be judged
    UNREACHABLE = "unreachable"  # login failed; of a host only

    @property
    def is_judged(self) -> bool:
        """It is known whether the host differs from its policy."""
        return self not in (State.UNKNOWN, State.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One setting in one scope, compared with the policy."""

    setting: Subject
    scope: Scope = GLOBAL
    wanted: str = ""
    value: str
    state: State
    place: Place | None = None
    hides: tuple[Place, ...] = ()
    reason: str = ""  # one sentence with a number, where the value alone does not explain the verdict
    number: int | None = None  # the value, where it is a number of the policy
    wanted_number: int | None = None

    @property
    def for_whom(self) -> str:
        """` for Match User root (/etc/ssh/sshd_config:98)`; empty where it holds for everybody."""
        return "" if self.scope == GLOBAL else f" for {self.scope}"

    def __str__(self) -> str:
        """`ClientAliveInterval 0, wanted 300 for Match User root (/etc/ssh/sshd_config:98)`."""
        value = f"{self.setting} {self.value}" if self.value else self.setting
        return f"{value}{f', wanted {self.wanted}' if self.wanted else ''}{self.for_whom}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """A compliant value whose effect differs, because the release doubles the interval."""

    interval_s: int  # what is configured
    keep_alive_after_s: int  # silence before the first keep-alive
    release: str  # "9.2"
    cure_interval_s: int  # the ClientAliveInterval that sends a keep-alive after interval_s

    @property
    def effect(self) -> str:
        """The effect, as a clause."""
        return f"the first keep-alive comes after {self.keep_alive_after_s} s"

    def __str__(self) -> str:
        """Describe the effect, its reason and the cure."""
        cure = (
            f"; --keep-alive-every {self.interval_s} would set {self.cure_interval_s}" if self.cure_interval_s else ""
        )
        return f"{self.effect}: OpenSSH {self.release} doubles the interval{cure}"


# -------------------------------------------------------------------------------------------- decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One line that changes: `before` is empty for an insertion. Bytes with their line ending."""

    path: str
    line: int  # 1-based line in the old file; an insertion comes before that line
    before: bytes
    after: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContent:
    """The whole new content of one file, and the content that it replaces (None: the file is created)."""

    path: str
    before: bytes | None
    after: bytes
    gone: bool = False  # the file is removed, `after` is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The expected output of `sshd -T -C context` before and after the edits; keyword in lower case → value."""

    context: Context
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    scope: Scope = GLOBAL  # of this context


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Proved edits. Without edits nothing is written; `restart` alone is a pending restart."""

    host: Host
    edits: tuple[Edit, ...] = ()
    contents: tuple[NewContent, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    caveat: Caveat | None = None  # about the new values
    restart: bool = False
    notes: tuple[str, ...] = ()  # managed files, duplicates without effect, kept values: for display only

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write and nothing to restart."""
        return not self.contents and not self.restart


# ----------------------------------------------------------------------------------------------- done


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a change on a host."""

    name: str
    ok: bool
    detail: str = ""
    seconds_s: float = 0.0

    def __str__(self) -> str:
        """Name the step, how it ended and its detail: `did restart: ssh.service`."""
        return f"{'did' if self.ok else 'failed'} {self.name}{self.detail and f': {self.detail}'}"


class End(StrEnum):
    """How the change of a host ended. Said only when proved; otherwise UNPROVED."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"  # there was nothing to change
    REFUSED = "refused"  # the host was reached and left as it was
    ROLLED_BACK = "rolled_back"
    NOT_BEGUN = "not_begun"  # the run ended before it came to this host, also of a command that only reads
    UNPROVED = "unproved"  # the state of the host could not be proved


class FailureKind(StrEnum):
    """What went wrong with a host, as `failure.kind` of the JSON report; docs/reference/json.md explains each."""

    DNS = "dns"
    TCP = "tcp"
    TIMEOUT = "timeout"
    BANNED = "banned"
    BANNER = "banner"
    HOST_KEY = "host_key"
    AUTH = "auth"
    BECOME = "become"
    SHELL = "shell"
    OBSERVE = "observe"
    CONFIG_BROKEN = "config_broken"
    CHANGED_MEANWHILE = "changed_meanwhile"
    LOCKED = "locked"
    READ_ONLY = "read_only"
    NO_SPACE = "no_space"
    VALIDATE = "validate"
    RESTART = "restart"
    LOGIN = "login"
    EFFECTIVE = "effective"
    NOT_BEGUN = "not_begun"
    INTERNAL = "internal"


class ChangeCause(StrEnum):
    """The causes of a refused or failed change that decide the next step; there are others."""

    NOT_CONFIRMED = "not_confirmed"
    NOT_REVERTED = "not_taken_back"
    EARLIER_RUN = "earlier_run"  # of a version that kept its state elsewhere
    NOT_ARMED = "not_armed"
    EXPIRED = "expired"
    NO_MANAGER = "no_manager"
    NO_UNIT = "no_unit"
    OTHER_DAEMON = "other_daemon"
    NO_PIDFILE = "no_pidfile"
    VALUE = "value"
    RELAPSE = "relapse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a host could not be judged or changed; `kind` and `cause` are the words of the JSON contract."""

    kind: FailureKind
    cause: str = ""
    message: str
    hint: str = ""


# ------------------------------------------------------------------------------------------- reported


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidingFile:
    """A file that decides a setting, and the program that manages it."""

    path: str
    changed_at: datetime | None = None  # the later of mtime and ctime
    owner: str = ""  # "Puppet"; see planning.owners


class SessionEnd(StrEnum):
    """How a session ended, by the log of its host."""

    TIMEOUT = "timeout"  # sshd: the client does not respond
    CUT = "cut"  # a reset came, or nothing could be sent any more
    UNKNOWN = "unknown"  # closed without a word
    PEER = "peer"  # the client said that it disconnects
    HOST = "host"  # sshd ended it on request, or because it was unused
    OPEN = "open"  # no end is in the log


class CauseName(StrEnum):
    """What ends a session, or keeps one from beginning; the rows of `diagnosis.causes` describe them."""

    COUNT_ZERO = "count-zero"
    DEAD_CLIENT = "dead-client"
    IDLE_LIMIT = "idle-limit"
    TCP_KEEPALIVE = "tcp-keepalive"
    OWN_LIMIT = "own-limit"
    LOGIND = "logind"
    SHELL_TMOUT = "shell-tmout"
    CHANNEL_TIMEOUT = "channel-timeout"
    UNUSED_CONNECTION = "unused-connection"
    SERVER_STOPPED = "server-stopped"
    KILLED = "killed"
    LOGIN_GRACE = "login-grace"
    MAX_STARTUPS = "max-startups"
    SOURCE_PENALTY = "source-penalty"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionGroup:
    """Sessions of one account from one address that ended alike."""

    account: str  # "*" for the rest, beyond the most accounts that are listed
    address: str
    end: SessionEnd
    is_new: bool  # they began since the values in effect came into effect
    n: int
    lengths: tuple[tuple[int, int], ...] = ()  # seconds, how many sessions; of timeout, cut and unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCluster:
    """Sessions that ended without the client's will after the same time."""

    limit_s: int
    end: SessionEnd
    n: int
    n_new: int  # of these, see SessionGroup.is_new
    n_accounts: int
    cause: str  # the likeliest, in words; empty: none fits
    likelihood: str  # likely, possible, …
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The sessions in the log of a host."""

    days: int  # how far it was looked back
    first_at: datetime | None  # of the first line of sshd in that time
    last_at: datetime | None
    in_effect_since: datetime | None
    run_id: str  # of the change that came into effect then; empty: sshd read its values for another reason
    groups: tuple[SessionGroup, ...]
    clusters: tuple[LossCluster, ...]
    unanswering: tuple[str, ...]  # addresses whose clients do not answer keep-alives
    was_cut: bool  # there is more in the log than was counted

    def without_names(self) -> Losses:
        """Give the figures alone: groups without accounts, addresses and lengths."""
        groups = []
        for end in SessionEnd:
            for is_new in (False, True):
                if n := self.count(end, is_new=is_new):
                    groups.append(SessionGroup(account="*", address="*", end=end, is_new=is_new, n=n))
        return replace(self, groups=tuple(groups), unanswering=())

    def count(self, *ends: SessionEnd, is_new: bool | None = None, address: str | None = None) -> int:
        """Count the sessions that ended so; without an argument all."""
        return sum(
            group.n
            for group in self.groups
            if (not ends or group.end in ends) and is_new in (None, group.is_new) and address in (None, group.address)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """The report of one host."""

    host: Host
    state: State
    end: End | None = None  # None for commands that only read, and where login failed
    findings: tuple[Finding, ...] = ()
    caveat: Caveat | None = None  # about the global values, present or planned
    diff: str = ""
    value_diff: str = ""  # the diff of effective values, one line per scope and setting
    fingerprint: str = ""  # of the files that a plan would write and what it found there; never reported
    restarts: bool = False  # sshd would be, or was, restarted
    steps: tuple[Step, ...] = ()
    backup: str | None = None
    facts: tuple[tuple[str, str], ...] = ()  # for display only
    version: str = ""  # OpenSSH version of the host
    answer: str = ""  # what `probe` and `sessions` have found, in one sentence
    n_older_sessions: int = 0  # live sessions that keep older values
    drops_silent_after_s: int | None = None  # a change drops clients that do not answer, or sooner: after so long
    n_may_not_answer: int | None = None  # live sessions that such a change may concern; None: not known
    losses: Losses | None = None  # None: the log was not looked at
    agents: tuple[str, ...] = ()  # programs on the host that are known to write sshd_config
    notes: tuple[str, ...] = ()  # without that of `reverted`
    deciding_files: tuple[DecidingFile, ...] = ()  # of the files that the findings name
    replaced: tuple[Finding, ...] = ()  # findings that our change resolved
    changes: tuple[str, ...] = ()  # since the last recorded run, one sentence each
    pending: PendingChange | None = None  # such a host is never ok
    reverted: RevertedChange | None = None
    failure: Failure | None = None
    seconds_s: float = 0.0

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes to show: that of the reverted change, then the others."""
        return (*([str(self.reverted)] if self.reverted is not None else []), *self.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One recorded run in numbers."""

    id: str
    command: str
    started_at: datetime
    counts: Mapping[str, int]  # hosts by State and by End; see history.outcome.count
    exit_code: int = 0
    selection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One command over a set of hosts, in the order of the inventory."""

    id: str
    command: str  # check, plan, apply, …
    started_at: datetime
    ended_at: datetime
    exit_code: int
    by: str = ""  # the account that ran it, and the machine, "ops@controller"
    selection: str = ""  # the arguments that selected the hosts; runs with the same ones are compared
    hosts: tuple[HostReport, ...] = field(default=())
    benchmarks: tuple[Benchmark, ...] = ()  # held against the hosts beside their policies; they do not decide the state
    past: tuple[PastRun, ...] = ()  # earlier recorded runs of the same selection, oldest first
