# The live sessions of every sshd on this host: processes, their sockets and what runs in them. Writes nothing.
#
# One line a process is told; which of them is a session, and whose, is the reader's business.
# shellcheck shell=sh disable=SC2034,SC2154

sessions() {
    say clock "$(date -u +%s.%N)"
    now
    say uptime "$now"
    say hertz "$(getconf CLK_TCK 2>/dev/null || echo 100)"
    say self "$$"
    servers=' ' table=''
    for directory in /proc/[0-9]*; do
        walk=${directory#/proc/}
        { comm_of "$walk" && started_of "$walk"; } || continue
        table="$table$walk $parent $started $comm$nl"
        case $comm in sshd*) servers="$servers$walk " ;; esac
    done
    say processes "$table"
    for walk in $servers; do
        say server "$walk"
        read_command_line "$walk"
        say title "$command_line"
        # shellcheck disable=SC2012 # the names are numbers; find -printf is not POSIX
        say sockets "$(ls -l "/proc/$walk/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ')"
    done
    printf '%s' "$table" | while read -r walk parent started comm; do
        case $comm in sshd*) continue ;; esac
        case $servers in *" $parent "*) ;; *) continue ;; esac
        say child "$walk $parent"
        say command "$(tr '\000\n' '  ' <"/proc/$walk/cmdline" 2>/dev/null | cut -c 1-400)"
    done
    say network "$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "01" || $4 == "0A" { print $4, $2, $3, $10 }')"
}

sessions 2>/dev/null
