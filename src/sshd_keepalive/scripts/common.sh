# What every script shares: records, finding the daemon, asking sshd. POSIX sh; data comes in as variables.
#
# A record is `KIND LENGTH`, a line end, LENGTH bytes, a line end: nothing a host prints can be taken for one.
# shellcheck shell=sh disable=SC2034,SC2154

nl='
'

say() { printf '%s %s\n%s\n' "$1" "${#2}" "$2"; }

# What is asked often sets a variable: a substitution would cost a process each time.

# now: sets now to seconds on a clock that nobody sets, where there is one.
now() { { read -r now _ </proc/uptime; } 2>/dev/null || now=$(date +%s); }

# boot: sets boot to what tells one start of the machine from the next.
boot() { { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=unknown; }

# line_of FILE: sets line to its first line, empty when there is none.
line_of() { line=''; { IFS='' read -r line <"$1" || [ -n "$line" ]; } 2>/dev/null; }

# try COMMAND...: run it once more when it fails, to set complaint to what it says then: a substitution costs a process.
try() { complaint='' && "$@" 2>/dev/null || complaint=$("$@" 2>&1); }

# write_text TEXT FILE: as a function, for try.
write_text() { printf '%s' "$1" >"$2"; }

# Never wait for ever: a FIFO in an Include hangs sshd. Only within a substitution, whose process becomes the program.
limited() { if command -v timeout >/dev/null; then exec timeout 20 "$@"; else exec "$@"; fi; }

# is_root: without a process, where the root directory belongs to root.
# shellcheck disable=SC3067 # as is_ours
is_root() { [ -O / ] || [ "$(id -u)" = 0 ]; }

# is_ours DIRECTORY...: only root can write to them and to every directory on the way to them, links followed. Anybody
# else who can could replace a name by a link between two commands, and make root write, or run, anything. An account
# other than root has nothing to lose this way. Fails also if this cannot be found out. Sets other to the first unsafe
# place. What does not exist yet is skipped: root creates it.
is_ours() {
    other=$1
    # shellcheck disable=SC3067 # POSIX has neither -O nor -k; all shells that serve as sh have
    [ -O / ] || return 0
    left=$# is_sticky=no
    set -- "$@" /
    while [ $left -gt 0 ]; do
        left=$((left - 1)) way=$1/ at='' links=0
        shift
        while [ -n "$way" ]; do
            part=${way%%/*} way=${way#*/}
            case $part in
                '' | .) continue ;;
                ..) at=${at%/*}; continue ;;
            esac
            if [ -L "$at/$part" ]; then
                links=$((links + 1))
                other=$at/$part
                [ $links -le 40 ] && leads=$(readlink "$other" && echo .) || return 1
                way=${leads%"$nl".}/$way
                set -- "$@" "$other"
                case $leads in /*) at='' ;; esac
            elif [ -d "$at/$part" ]; then
                at=$at/$part
                set -- "$@" "$at"
            else
                break
            fi
        done
        # shellcheck disable=SC3065 # as -O
        [ ! -k "$at" ] || is_sticky=yes
    done
    are_roots "$@" && return
    for other; do are_roots "$other" || return 1; done
    return 1
}

# are_roots PATH...: root owns them, and nobody else may write there by mode or ACL: with an ACL, the group's bits are the
# most that any entry of it grants (acl(5)). In a directory like /tmp nobody else moves what root has there, so it may be
# on the way, yet not at its end. No option -q, which busybox before 1.38 lacks: a name with a line end in it makes lines
# more, never less.
are_roots() {
    lines=$(ls -ldn "$@" 2>/dev/null) || return 1
    count=0
    while read -r mode _ owner _; do
        case $mode in [dl][r-][w-]???????*) count=$((count + 1)) ;; *) continue ;; esac
        [ "$owner" = 0 ] || return 1
        case $mode in
            l*) ;;
            ?????w???[tT]* | ????????w[tT]*) [ "$is_sticky" = no ] || return 1 ;;
            ?????w* | ????????w*) return 1 ;;
        esac
    done <<END
$lines
END
    [ $count -ge $# ]
}

# comm_of PID: sets comm to the name of a process; state, parent and uid, its real owner, come along. Line by line: a shell
# reads byte by byte.
comm_of() {
    comm='' state='' parent=0 uid=''
    # The process may be gone: then the redirection fails, and the loop with it.
    {
        while read -r key value; do
            case $key in
                Name:) comm=$value ;;
                State:) state=${value%% *} ;;
                PPid:) parent=$value ;;
                Uid:) uid=${value%%[!0-9]*}; return 0 ;;
            esac
        done <"/proc/$1/status"
    } 2>/dev/null
    return 1
}

# find_sshds: sets sshds to the processes of this account, mostly root, that are called sshd…. Any account may call its own
# so, by the thousand; the real owner counts, since a program with the set-user-ID bit has root's rights as well.
find_sshds() {
    comm_of $$
    me=$uid sshds=''
    for each in /proc/[0-9]*; do
        # shellcheck disable=SC3067 # as is_ours
        [ -O "$each" ] || continue
        { read -r comm <"$each/comm"; } 2>/dev/null || continue
        case $comm in sshd*) ;; *) continue ;; esac
        comm_of "${each#/proc/}" && [ "$uid" = "$me" ] && sshds="$sshds ${each#/proc/}"
    done
}

# started_of PID: sets started to when a process began, in ticks since the boot: with its number, who it is. `self` is
# this shell, be it a child of the one that $$ means; its number is the first word of stat.
started_of() {
    started=''
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name, in brackets, may hold spaces and brackets.
    # shellcheck disable=SC2086 # numbers and one letter
    { set -f; set -- ${stat##*) }; set +f; }
    shift 19
    started=$1
}

# note_sleeper PID: who waits for the time to be up. A number alone is somebody else's after a reboot, or later.
note_sleeper() {
    started_of "$1"
    boot
    printf '%s %s %s\n' "$1" "$started" "$boot" >"$RUN/sleeper"
}

# end_sleeper: that very process, and its sleep. With KILL: between fork and exec ksh and mksh lose a TERM. Without `--`:
# dash and busybox take it for a process.
end_sleeper() {
    { read -r sleeper began booted <"$RUN/sleeper"; } 2>/dev/null || return 0
    rm -f "$RUN/sleeper"
    boot
    [ "$booted" = "$boot" ] && started_of "$sleeper" && [ "$started" = "$began" ] || return 0
    { kill -KILL "-$sleeper" || kill -KILL "$sleeper"; } 2>/dev/null || :
}

# find_bindings PID...: sets bindings to a line for each of these processes that listens: its number, then the addresses
# with their ports, sorted. Two processes, however many are asked about.
find_bindings() {
    bindings='' sockets=' ' owner='' addresses='' space=$IFS
    for each; do
        shift
        set -- "$@" "/proc/$each/fd"
    done
    set -f
    IFS=$nl
    # Of two names or more ls tells to which of them a line belongs.
    # shellcheck disable=SC2012,SC2046 # the names are numbers, find -printf is not POSIX; one line a word
    set -- $({ list_listening; exec ls -l /dev/null "$@"; } 2>/dev/null) /proc//fd:
    IFS=$space
    for row; do
        case $row in
            LISTEN*\ ino:[0-9]*)
                # shellcheck disable=SC2086 # its fields are wanted
                set -- $row
                case ${4##*:} in '' | *[!0-9A-Fx]*) continue ;; esac # anything else would end the shell
                row=${row#* ino:}
                sockets="$sockets${row%%[!0-9]*}=${4%:*}:$((${4##*:})) "
                ;;
            /proc/*/fd:)
                [ -z "$addresses" ] || bindings="$bindings$owner$addresses$nl"
                owner=${row#/proc/} owner=${owner%/fd:} addresses=''
                ;;
            *'-> socket:['[0-9]*)
                row=${row##*[} row=${row%]}
                case $sockets in *" $row="*) row=${sockets#*" $row="}; insert_address "${row%% *}" ;; esac
                ;;
        esac
    done
    set +f
}

# insert_address ADDRESS: into addresses, where it belongs; once.
insert_address() {
    case "$addresses " in *" $1 "*) return ;; esac
    smaller='' larger=''
    for each in $addresses; do
        # shellcheck disable=SC3012 # POSIX 2024 has it, and all shells that serve as sh
        if [ "$each" \< "$1" ]; then smaller="$smaller $each"; else larger="$larger $each"; fi
    done
    addresses="$smaller $1$larger"
}

# list_listening: a line for each listening socket of this machine, as ss writes it: the fourth word is its address, the
# inode follows ` ino:`. ss is told by the kernel of these alone; /proc/net/tcp walks through all connections of the
# machine. One without -H, before iproute 4.9, fails.
list_listening() {
    ss -Hltne || awk '$4 == "0A" { sub(/:/, ":0x", $2); print "LISTEN 0 0", $2, "- ino:" $10 }' /proc/net/tcp /proc/net/tcp6
}

# addresses_of PID: sets addresses to those that it listens on; empty where it does not.
addresses_of() { find_bindings "$1"; addresses=${bindings#* } addresses=${addresses%"$nl"}; }

# is_over RUN PID: the run has put the old files back, and PID, which listens where sshd listened before, was started since
# then: nothing is left to revert, whatever became of the restart. Sets back line.
is_over() {
    line_of "$1/sockets"
    [ -n "$2" ] && addresses_of "$2" && [ "$addresses" = "$line" ] && line_of "$1/back" && [ -n "$line" ] || return 1
    back=$line
    line_of "$1/boot"
    boot
    [ "$line" != "$boot" ] || { started_of "$2" && [ "$started" -gt "$back" ]; }
}

# find_listener: sets pid to the sshd that listens for the session this script runs in, '' when each
# connection has a process of its own (inetd, Accept=yes), and command_line to how it was called.
# Among our ancestors, it is the last of the nearest unbroken row of sshd: whatever else runs here, this one let us in.
find_listener() {
    pid='' top='' walk=$$
    # Up to process 1, whose parent is 0: in a container it may be the sshd itself.
    while [ "$walk" -gt 0 ] && comm_of "$walk"; do
        case $comm in
            sshd-keepalive) break ;; # this program, whose `demo` starts an sshd
            sshd*) top=$walk ;;
            *) [ -z "$top" ] || break ;;
        esac
        walk=$parent
    done
    [ -n "$top" ] || return 1
    read_command_line "$top"
    case $command_line in
        # The title of a process that serves one connection; the listener's ends in [listener].
        *'[listener]'*) pid=$top ;;
        sshd*) case ${command_line%% *} in *:) ;; *) [ $by_inetd = yes ] || pid=$top ;; esac ;;
        *) [ $by_inetd = yes ] || pid=$top ;;
    esac
}

# is_init NAME: process 1, which runs the machine, is this program. An init.d script or a package proves nothing. A
# script may be named init too (/init of many containers): its command line begins with a shell.
is_init() {
    comm_of 1 && [ "$comm" = "$1" ] || return 1
    [ "$1" = init ] || return 0
    first=$(tr '\000' ' ' </proc/1/cmdline)
    first=${first%% *}
    case ${first##*/} in *sh) return 1 ;; esac
}

# is_supervised_by NAME: the parent of the listener is this program, or a script of this name. Sets parent, and starter to
# the number and the words of that parent, which is asked for them once.
is_supervised_by() {
    [ -n "$pid" ] && comm_of "$pid" && [ "$parent" -gt 0 ] || return 1
    set -- "$1" "$parent"
    comm_of "$2" || return 1
    parent=$2
    case $comm in
        "$1") return 0 ;;
        systemd) return 1 ;; # no interpreter: what it runs is no script
    esac
    case ${starter-} in "$2$nl"*) ;; *) starter=$2$nl$(tr '\000' '\n' <"/proc/$2/cmdline") ;; esac
    set -- "$1" "${starter#*"$nl"}"
    set -- "$1" "${2%%"$nl"*}" "${2#*"$nl"}"
    case $2$nl${3%%"$nl"*}$nl in *"/$1$nl"*) ;; *) return 1 ;; esac
}

# read_command_line PID: the words of a process, one a line. From OpenSSH 8.2 on it is a title, with spaces.
read_command_line() {
    line_of "/proc/$1/cmdline"
    case $line in
        sshd*:\ *\[listener]*) command_line=$line ;; # a title holds no NUL byte: mostly that is all
        *) command_line=$(tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null) ;;
    esac
    by_inetd=no
    case "
$command_line
" in *'
-i
'*) by_inetd=yes ;; esac
}

# follow TEXT FILE...: sets following to the text with its $NAME and ${NAME} replaced by what the files set; quotes are
# dropped, as in the title of a process. Empty when a file cannot be read: then nobody knows.
follow() {
    text=$1 following='' out='' set_last=$nl
    shift
    for file; do
        [ -e "$file" ] || continue
        [ -f "$file" ] && [ -r "$file" ] || return 0
        while IFS= read -r line || [ -n "$line" ]; do
            line=${line#export }
            case $line in [A-Za-z_]*=*) set_last=$nl$line$set_last ;; esac
        done <"$file"
    done
    set -f
    for word in $text; do
        case $word in
            \$*)
                word=${word#?} word=${word#\{} word=${word%\}}
                case $set_last in
                    *"$nl$word="*) word=${set_last#*"$nl$word="} word=${word%%"$nl"*} ;;
                    *) continue ;;
                esac
                ;;
        esac
        out="$out $word"
    done
    set +f
    while :; do
        case $out in *[\"\']*) out=${out%%[\"\']*}${out#*[\"\']} ;; *) break ;; esac
    done
    following=$out
}

# join_options: of words that have lost their quotes, `-o A b` becomes `-o A=b`, which sshd reads alike. An option of more
# values than one stays as it is, and sshd refuses it.
join_options() {
    # shellcheck disable=SC2086 # splitting is the point
    { set -f; set -- $words; set +f; }
    words=
    while [ $# -gt 0 ]; do
        word=$1
        shift
        case $word in
            -o) words="$words -o"; [ $# != 0 ] || break; word=$1; shift ;;
            -o*) ;;
            *) words="$words $word"; continue ;;
        esac
        case $word in *=*) ;; *) case ${1:--}/${2:--} in -*) ;; */-*) word=$word=$1; shift ;; esac ;; esac
        words="$words $word"
    done
}

# daemon_words: sets words to the listener's own words after its name, for a faithful sshd -T. Where each connection
# has a process of its own, those of the next one ($following, from the service manager).
daemon_words() {
    words=''
    if [ -n "$pid" ]; then words=$command_line; else words=$following; fi
    [ -n "$words" ] || return 0
    # A title begins with the name of the program, which is not always sshd: sshd.pam, sshd.krb5 on Alpine.
    case ${words%% *} in *:) words=${words#* } ;; esac
    words=${words%% \[listener\]*}
    # shellcheck disable=SC2086 # splitting is the point: a title has lost its quotes for good
    { set -f; set -- $words; set +f; }
    shift
    words=
    skip=no
    for word; do
        if [ $skip = yes ]; then skip=no; continue; fi
        case $word in
            -D | -i | -e | -q | -d | -dd | -ddd) ;;
            -E) skip=yes ;; # its complaints are wanted here, not in its log
            -E*) ;;
            *) words="$words $word" ;;
        esac
    done
    case $words in *' -o'*) join_options ;; esac
}

# find_sshd: sets sshd to the binary: the inventory's, the one that runs, or the usual ones; and exe to what runs.
find_sshd() {
    runs_as_it_is=no exe=''
    if [ -n "$SSHD" ]; then sshd=$SSHD; return; fi
    if [ -n "$pid" ]; then
        # shellcheck disable=SC3013 # POSIX 2024 has -ef, and all shells that serve as sh
        if [ "/proc/$pid/exe" -ef /usr/sbin/sshd ]; then sshd=/usr/sbin/sshd exe=$sshd runs_as_it_is=yes; return; fi
        exe=$(readlink "/proc/$pid/exe" 2>/dev/null)
        sshd=${exe% \(deleted\)} # without the backslashes mksh takes it for a pattern
        case $sshd in
            */sshd*)
                [ "$exe" != "$sshd" ] || runs_as_it_is=yes
                [ -x "$sshd" ] && return
                ;;
        esac
    fi
    for sshd in /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd /usr/bin/sshd /usr/lib/ssh/sshd; do
        [ -x "$sshd" ] && return
    done
    sshd=''
}

# ask CONFIG SPEC: sshd's own reading of a file for one connection, in $answer; its complaint when it has none. Without
# a CONFIG, of the file that it finds by itself. Where MODE is G it needs neither root nor host keys (9.3 and newer).
ask() {
    # shellcheck disable=SC2086 # the daemon's words were split on purpose, globbing is off
    {
        set -f
        set -- -${MODE:-T} $words ${1:+-f "$1"} ${2:+-C "$2"}
        set +f
    }
    answer=$(limited "$sshd" "$@" 2>/dev/null </dev/null) && return 0
    code=$?
    answer=$(limited "$sshd" "$@" 2>&1 >/dev/null </dev/null)
    return $code
}

# pidfile_of: sets pidfile to the PID file that $answer names. OpenSSH 10.4 and newer print keywords in mixed case.
# By words, not by cutting at a pattern: for that dash takes the square of the length.
pidfile_of() {
    pidfile='' space=$IFS
    set -f
    IFS=$nl
    for each in $answer; do
        case $each in [Pp][Ii][Dd][Ff][Ii][Ll][Ee]\ *) pidfile=${each#* }; break ;; esac
    done
    IFS=$space
    set +f
}

# find_state: sets STATE, the directory that holds lock, backups and guard of one configuration. A daemon
# with a configuration of its own, outside /etc, keeps them beside it; no Include sees a name with a dot.
find_state() {
    case $CONFIG in
        /etc/* | /usr/*) STATE=/var/lib/sshd-keepalive ;;
        *) STATE=${CONFIG%/*}/.sshd-keepalive ;;
    esac
    rest=${CONFIG#/} name=''
    while :; do
        case $rest in */*) name=$name${rest%%/*}- rest=${rest#*/} ;; *) break ;; esac
    done
    STATE=$STATE/$name$rest
}

# find_old_state: sets OLD to where earlier versions kept what STATE holds now, empty where that is the same place.
find_old_state() {
    case $STATE in /var/lib/sshd-keepalive/*) OLD=/var/backups/sshd-keepalive/${STATE##*/} ;; *) OLD='' ;; esac
}

# relabel PATH...: give them the SELinux labels that the policy has for them. Where SELinux is off restorecon does nothing.
relabel() { ! command -v restorecon >/dev/null || restorecon "$@" 2>/dev/null || :; }
