"""systemd: a restart also starts a failed unit and its failed socket again.

Source: systemctl(1), systemd-run(1), systemd.unit(5), systemd.kill(5). A restart takes part in the start limit (5
in 10 s by default), which `reset-failed` clears; a broken start in socket mode fails the socket unit too, so that
is restored first. `reload` is not the default: it kills a socket-activated sshd and leaves no trace of having happened.
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.quoting import quote, quote_unit_word
from sshd_keepalive.services import quote_unit

RANK: int = 10
DETECT: str = "test -d /run/systemd/system && is_init systemd"
_UNITS = "/etc/systemd/system"
_ASKED = ("LoadState", "MainPID", "KillMode", "TriggeredBy", "EnvironmentFiles", "Environment", "ExecStart")
_DESCRIBE = f'described=$(systemctl show {" ".join(f"--property={name}" for name in _ASKED)} "$name")'


#: Whether active sockets would give the service other ports than `$pid` listens on: a generator that fails at a
#: daemon-reload takes them away, and the next start of sshd finds them gone. Not the addresses: `ss` and systemd write
#: them differently. Source: systemd.socket(5), ListenStream=; systemctl.c, print_property.
_SOCKET_DIFFERS = (
    '[ -n "$pid" ] && addresses_of "$pid" && '
    "used=$(for each in $addresses; do echo \"${each##*:}\"; done | sort | tr '\\n' ' ') && "
    'given=$(for each in $socket; do systemctl --quiet is-active "$each" && '
    'systemctl show --property=Listen "$each"; done | '
    "sed -n 's/^Listen[A-Za-z]*=[[0-9][^ ]*:\\([0-9]*\\).*/\\1/p' | sort | tr '\\n' ' ') && "
    '[ -n "$given" ] && [ "$used" != "$given" ]'
)


def find(service: ServiceChoice) -> str:
    """Set `$unit` to the service in whose control group the listener lives."""
    return (
        "while IFS= read -r line; do\ncase $line in\n"
        "*:name=systemd:*/*.service | 0::*/*.service) unit=${line##*/}; break ;;\nesac\n"
        'done <"/proc/$pid/cgroup"'
    )


def find_next_start(service: ServiceChoice) -> str:
    """Print the command of the unit, or of the template that serves each connection, with its environment files.

    Nothing where a variable of the command stands in the unit itself, whose quoting `systemctl show` does not keep, and
    where two templates start sshd differently: it is not known which of them serves this port. systemd up to 229 prints
    `EnvironmentFile=` for the property EnvironmentFiles. Source: systemctl.c.
    """
    unit = service.unit and quote(service.unit)
    return (
        f"first=none\nfor name in {unit or '${unit:-ssh@0.service sshd@0.service}'}; do\n"
        f"{_DESCRIBE}\n"
        "case $described in *' argv[]='*) ;; *) continue ;; esac\n"
        "following='' inline='' words=${described#* argv[]=}\nwords=${words%% ; *}\nset --\n"
        "while IFS='=' read -r key value; do\n"
        "case $key in\nEnvironment) inline=$value ;;\n"
        'EnvironmentFile | EnvironmentFiles) set -- "$@" "${value%% \\(*}" ;;\nesac\n'
        "done <<END\n$described\nEND\n"
        # What a script does with its words only the script knows.
        'case ${words%% *} in */sshd*) follow "$words" "$@" ;; esac\n'
        "set -f\nfor word in $words; do\nword=${word#\\$} word=${word#\\{} word=${word%\\}}\n"
        'case " $inline" in *" $word="* | *\\""$word="*) following=\'\' ;; esac\ndone\nset +f\n'
        '[ "$first" != none ] || first=$following\n'
        'if [ "$first" != "$following" ]; then following=\'\'; return; fi\ndone'
    )


def is_active(service: ServiceChoice) -> str:
    """Ask for a listening process of the unit, or systemd; `activating`, as between two failed starts, is not up."""
    unit = quote_unit(service)
    return (
        'if [ "$listener" ]; then\nwhile IFS= read -r line; do\ncase $line in\n'
        f"*:name=systemd:*/{unit} | 0::*/{unit}) return 0 ;;\nesac\n"
        f'done <"/proc/$listener/cgroup"\nfi\nsystemctl --quiet is-active {unit}'
    )


def restart(service: ServiceChoice) -> str:
    """Restart; where that fails, heal what a failed start left and do it once more.

    When that fails too, the last words of the unit's processes.
    """
    unit = quote_unit(service)
    return (
        # Without its socket the service starts as well, and listens by itself: not as it was found.
        f'[ -z "$again" ] && systemctl restart {unit} 2>/dev/null && return\n'
        f"sockets=$(systemctl show --property=TriggeredBy {unit})\n"
        'for socket in ${sockets#*=}; do if systemctl --quiet is-failed "$socket"; then '
        f'systemctl stop {unit}; systemctl reset-failed "$socket" {unit}; systemctl start "$socket"; fi; done\n'
        f"systemctl reset-failed {unit} 2>/dev/null; systemctl restart {unit} || {{ code=$?; "
        # What its processes say, without what systemd says of them. Of one that is gone at once the journal may not
        # find out the unit any more; its name it said itself. Releases before 228 have no --sync; a journald that hangs
        # never answers it.
        f"timeout 3 journalctl --sync 2>/dev/null; journalctl _SYSTEMD_UNIT={unit} + SYSLOG_IDENTIFIER=sshd --boot "
        "--lines=6 --output=cat --no-pager; return $code; }"
    )


def find_obstacle(service: ServiceChoice) -> str:
    """Find what the unit itself says: masked, another daemon, a kill mode that would end this very session."""
    return (
        f"name={quote_unit(service)} load='' main='' kill='' socket=''\n"
        'if [ -z "$name" ]; then\n'
        "for name in ssh.service sshd.service; do\n"
        'main=$(systemctl show --property=MainPID "$name"); main=${main#MainPID=}\n'
        'case $main in [1-9]*) problem="other_daemon $name runs process $main, the sshd that accepted this login '
        '($pid) belongs to no unit"; return ;; esac\n'
        "done\n"
        'problem="no_unit no unit runs the sshd that accepted this login"; return\nfi\n'
        f'[ -n "$described" ] || {_DESCRIBE}\n'
        "while IFS='=' read -r key value; do\n"
        "case $key in LoadState) load=$value ;; MainPID) main=$value ;; KillMode) kill=$value ;; "
        "TriggeredBy) socket=$value ;; esac\n"
        "done <<END\n$described\nEND\n"
        'if [ "$load" = masked ]; then problem="masked $name is masked: run systemctl unmask $name first"\n'
        'elif [ "$load" != loaded ]; then problem="no_unit $name is not a loaded systemd unit ($load)"\n'
        "elif [ -e /etc/ssh/sshd_not_to_be_run ]; then "
        'problem="not_to_be_run /etc/ssh/sshd_not_to_be_run prevents the start of sshd"\n'
        'elif [ -n "$pid" ] && [ "$main" != "$pid" ]; then '
        'problem="other_daemon $name runs process $main, the sshd that accepted this login is $pid"\n'
        'elif [ "$ACTION" = reload ] && [ -n "$socket" ]; then '
        'problem="socket a reload would end a socket-activated sshd: use --service-action restart"\n'
        f'elif [ -n "$socket" ] && {_SOCKET_DIFFERS}; then '
        'problem="socket_ports the listening ports of ${socket% } are ${given% }, '
        'those of the sshd that accepted this login are ${used% }"\n'
        'elif [ "$kill" != process ] && [ "$kill" != none ] && [ "$ACTION" = restart ] && '
        'grep -q -F "/$name" /proc/self/cgroup; then '
        'problem="kill_mode KillMode=$kill of $name would end every session, also this one"; fi'
    )


def set_timer(name: str, command: str, after_s: int) -> str:
    """Start a transient timer: it belongs to PID 1, not to this login.

    PID 1 expands variables in the words of a transient command (systemd-run(1), `--expand-environment`), and does not
    understand its own escape for a dollar any more after a daemon-reload (found with 252). A dollar of a file's name
    stands within quotes; a `?` outside of them names the same file.
    """
    word = quote(command.replace("$", "'?'"))
    return (
        f"systemd-run --quiet --collect --unit={quote(name)} --on-active={int(after_s)} "
        # A manager of the inventory's own may start sshd from here: it must outlive this service.
        f"--timer-property=AccuracySec=1s --property=KillMode=process /bin/sh -c {word}"
    )


def cancel_timer(name: str) -> str:
    """Stop the timer only: the service it started may be the one that asks."""
    return f"systemctl stop {quote(name + '.timer')} 2>/dev/null || :"


def hook_boot(name: str, command: str) -> str:
    """Write a unit that the next boot starts before sshd and its socket; it is only written, never loaded now.

    No default dependencies: those would put it after sockets.target, and so after ssh.socket.
    """
    lines = (
        "[Service]",
        "Type=oneshot",
        f"ExecStart=/bin/sh -c {quote_unit_word(command)}",
        "KillMode=process",
        "[Unit]",
        "Description=sshd-keepalive reverts an unconfirmed change",
        "DefaultDependencies=no",
        "After=local-fs.target systemd-remount-fs.service",
        "RequiresMountsFor=/etc /var",
        "Before=ssh.service sshd.service ssh.socket sshd.socket",
    )
    text = " ".join(quote(line) for line in lines) + ' "Before=$unit"'
    wants = f"{_UNITS}/multi-user.target.wants"
    file = f"{_UNITS}/{quote(name)}.service"
    return (
        f"{{ [ -d {wants} ] || mkdir -p {wants}; }} && umask 022 && printf '%s\\n' {text} >{file} && "
        f"ln -sf {file} {wants}/{quote(name)}.service && flush {file} {wants}"
    )


def unhook_boot(name: str) -> str:
    """Remove the files of the unit, which was never loaded."""
    file = quote(f"{name}.service")
    return f"rm -f {_UNITS}/{file} {_UNITS}/multi-user.target.wants/{file}"
