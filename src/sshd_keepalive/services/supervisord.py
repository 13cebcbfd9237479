"""supervisord: runs programs of its configuration; `supervisorctl` controls them.

Source: supervisord.org, "Running Supervisor" (supervisorctl must read the file that supervisord reads) and
"Configuration". It has no timers and no place for a command of one boot.
"""

from sshd_keepalive.model import ServiceChoice
from sshd_keepalive.services import quote_unit

RANK: int = 6  # the supervisor of sshd counts, not the init of the machine
DETECT: str = "is_supervised_by supervisord"

#: Defines `control`, supervisorctl with the file that supervisord reads: the one on its command line, else what a
#: search from its own directory finds. Only a process of this account counts: any account may start a program of this
#: name, with any file.
_CONTROL = (
    "comm_of $$; me=$uid there=/ file=''\n"
    "found=$(grep -l -s -F /supervisord /proc/[0-9]*/cmdline)\n"
    "for each in $found; do\n"
    "each=${each%/cmdline} take=no\n"
    'comm_of "${each##*/}" && [ "$uid" = "$me" ] || continue\n'
    "told=$(tr '\\000' '\\n' 2>/dev/null <\"$each/cmdline\" | grep -A 9 \"/supervisord$\") || continue\n"
    "there=$each/cwd\n"
    "for word in $told; do\n"
    "case $take$word in no-[!-]*c | no-c | no--configuration) take=yes; continue ;; "
    "no-c* | no--configuration=*) word=${word#-c} word=${word#--configuration=} ;; yes*) ;; *) continue ;; esac\n"
    "file=$word; break 2\n"
    "done\ndone\n"
    'control() { (cd "$there" && supervisorctl ${file:+-c "$file"} "$@"); }\n'
)


def find(service: ServiceChoice) -> str:
    """Set `$unit` to the program whose process the listener is."""
    return (
        f"{_CONTROL}while read -r name state key number _; do\n"
        'case "$state $key $number" in "RUNNING pid $pid,") unit=$name; break ;; esac\n'
        "done <<END\n$(control status)\nEND"
    )


def is_active(service: ServiceChoice) -> str:
    """Exit 0 for RUNNING."""
    return f"( {_CONTROL}control status {quote_unit(service)} | grep -q ' RUNNING ' )"


def restart(service: ServiceChoice) -> str:
    """Stop and start the program; supervisorctl waits until the program has run for its `startsecs`."""
    return f"( {_CONTROL}control restart {quote_unit(service)} )"


def find_obstacle(service: ServiceChoice) -> str:
    """Compare with `supervisorctl pid`, which names the process that a restart would reach."""
    return (
        f"name={quote_unit(service)}\n{_CONTROL}"
        'if [ -z "$name" ]; then problem="no_unit supervisorctl lists no program for the sshd '
        'that accepted this login ($pid): $(control status 2>&1 | head -n 1)"; return; fi\n'
        'seen=$(control pid "$name" 2>&1)\n'
        '[ "$seen" = "$pid" ] || problem="other_daemon supervisorctl reports $seen for $name; '
        'the sshd that accepted this login is $pid"'
    )
