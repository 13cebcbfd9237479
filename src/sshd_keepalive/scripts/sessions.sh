# The live sessions of every sshd on this host: processes, their sockets and what runs in them. Writes nothing.
#
# Records one line for each process; the controller decides which of them is a session, and whose. An ordinary account may
# have thousands of processes with long names, arguments and many connections: only those of an sshd of root, or of the
# account that asks, are recorded, and little of each.
#
# Given: SILENT, not empty where it is asked how long each client has been silent.
# shellcheck shell=sh disable=SC2034,SC2154

# list_processes: of each its number, its parent's, its real owner, and whether it is called sshd. Not the name: it may be
# anything, and echo, unlike printf a builtin of every shell, may take it for an escape.
list_processes() {
    for directory in /proc/[0-9]*; do
        comm_of "${directory#/proc/}" || continue
        case $comm in sshd*) role=sshd ;; *) role=other ;; esac
        echo "${directory#/proc/} $parent $uid $role"
    done
}

# choose: from list_processes: each sshd, with the unprivileged half that it has started, what runs in these, and what this
# script runs in.
choose() {
    awk -v me="$1" -v self="$2" '
        { parent[$1] = $2; owner[$1] = $3; role[$1] = $4 }
        END {
            for (pid in role) if (role[pid] == "sshd" && (owner[pid] == 0 || owner[pid] == me)) whole[pid]
            for (pid in role) if (role[pid] == "sshd" && (parent[pid] in whole)) half[pid]
            for (pid in whole) half[pid]
            for (pid in half) print "server", pid
            for (pid in role) if (!(pid in half) && (parent[pid] in half)) print "child", pid
            for (pid = self; (pid in role) && !(pid in half) && !(parent[pid] in half); pid = parent[pid]) print "above", pid
        }'
}

sessions() {
    say clock "$(date -u +%s.%N)"
    now
    say uptime "$now"
    say hertz "$(getconf CLK_TCK 2>/dev/null || echo 100)"
    say self "$$"
    comm_of $$
    chosen=$(list_processes | choose "$uid" $$)
    servers='' children='' table='' inodes=' '
    while read -r role walk; do
        { comm_of "$walk" && started_of "$walk"; } || continue
        table="$table$walk $parent $started $comm$nl"
        case $role in
            server) servers="$servers $walk" ;;
            child) children="$children $walk $parent" ;;
        esac
    done <<END
$chosen
END
    say processes "$table"
    for walk in $servers; do
        say server "$walk"
        read_command_line "$walk"
        say title "$command_line"
        # shellcheck disable=SC2012 # the names are numbers; find -printf is not POSIX
        sockets=$(ls -l "/proc/$walk/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ')
        say sockets "$sockets"
        inodes="$inodes$sockets"
    done
    # shellcheck disable=SC2086 # numbers
    set -- $children
    while [ $# -gt 1 ]; do
        say child "$1 $2"
        say command "$(dd bs=400 count=1 <"/proc/$1/cmdline" 2>/dev/null | tr '\000\n' '  ')"
        shift 2
    done
    say network "$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v inodes="$inodes" '
        BEGIN { for (n = split(inodes, list, " "); n; n--) ours[list[n]] }
        ($4 == "01" || $4 == "0A") && ($10 in ours) { print $4, $2, $3, $10 }')"
    # How long ago the client was heard, in milliseconds; 0 where it was sent nothing since, as by an sshd that is late with
    # its keep-alive. ss leaves out 0.
    [ -z "$SILENT" ] || say silent "$(ss -Htnei state established | awk -v inodes="$inodes" '
        function ago(what) { return match($0, " last" what ":[0-9]+") ? substr($0, RSTART + 9, RLENGTH - 9) + 0 : 0 }
        BEGIN { for (n = split(inodes, list, " "); n; n--) ours[list[n]] }
        match($0, / ino:[0-9]+/) { inode = substr($0, RSTART + 5, RLENGTH - 5) }
        / cwnd:/ && (inode in ours) { print inode, ago("snd") < ago("rcv") ? ago("rcv") : 0 }')"
}

sessions 2>/dev/null
