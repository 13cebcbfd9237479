# The daemon: what sshd makes of its files, whether a restart would reach it, the restart and its proof.
#
# The functions of the service manager come with the script: restart_unit, is_active, find_obstacle, next_start.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

# --- what sshd reads ----------------------------------------------------------------------------------------

# ask_sshd FILE SPEC: like ask; makes the directory that Debian's unit removes whenever it stops.
# Sets directory.
ask_sshd() {
    ask "$1" "$2" && return 0
    case $answer in
        *'rivilege separation directory'*': /'*)
            directory=${answer##*: }
            mkdir -p "$directory" && chmod 0755 "$directory" && ask "$1" "$2"
            ;;
        *) return 1 ;;
    esac
}

# split_answer: set two to both settings in answer, and rest to all its other lines. No loop over the lines: a shell
# reads them byte by byte. OpenSSH 10.4 and newer print keywords in mixed case.
# Reads answer nl. Sets above key rest two value.
split_answer() {
    two='' rest=$nl$answer$nl
    for key in '[Cc]lient[Aa]live[Ii]nterval ' '[Cc]lient[Aa]live[Cc]ount[Mm]ax '; do
        # shellcheck disable=SC2295 # a pattern on purpose
        above=${rest%%"$nl"$key*}
        value=${rest#"$above$nl"}
        rest=$above$nl${value#*"$nl"}
        value=${value%%"$nl"*}
        two="$two ${value#* }"
    done
    two=${two# }
}

# ask_present SPEC: what sshd makes of the present files. For everybody the survey of the plan has asked already:
# the files are the same, so the answer would be too.
# Reads CONFIG PRESENT. Sets answer.
ask_present() {
    if [ -z "$1" ] && [ -n "$PRESENT" ]; then answer=$PRESENT; else ask_sshd "$CONFIG" "$1"; fi
}

# check_before SPEC BEFORE AFTER: sshd reads the present files as the plan says, and the candidate as predicted.
# Reads CANDIDATE CONFIG COUNT PRESENT. Sets kind others problem.
check_before() {
    ask_present "$1" || { problem="sshd refuses the present configuration: $answer"; kind=config_broken; return 1; }
    pidfile_of
    split_answer
    if [ "$two" != "$2" ]; then
        problem="sshd reads the present files as $two${1:+ for $1}, this program reads them as $2"
        kind=observe
        return 1
    fi
    [ "$COUNT" = 0 ] && return 0
    others=$rest
    ask_sshd "$CANDIDATE" "$1" || { problem="sshd refuses the new configuration: $answer"; kind=validate; return 1; }
    split_answer
    if [ "$two" != "$3" ]; then
        problem="sshd would read the new files as $two${1:+ for $1}, not as $3"
        kind=effective
        return 1
    fi
    if [ "$rest" != "$others" ]; then
        if [ -z "$1" ] && ask_sshd "$CONFIG" '' && [ "$answer" != "$PRESENT" ]; then
            problem='sshd no longer reads the present files as when the plan was made'
            kind=changed_meanwhile
            return 1
        fi
        problem="the new files would change another setting${1:+ for $1}"
        kind=effective
        return 1
    fi
}

# check_after SPEC BEFORE AFTER: sshd reads the installed files as predicted.
# Reads CONFIG. Sets kind problem.
check_after() {
    ask_sshd "$CONFIG" "$1" || { problem="sshd refuses the installed configuration: $answer"; kind=validate; return 1; }
    split_answer
    [ "$two" = "$3" ] && return 0
    problem="sshd reads the installed files as $two${1:+ for $1}, not as $3"
    kind=effective
    return 1
}

# note_identities: before the candidate is read, by inode and time of the last change: a link or a directory above that
# now leads elsewhere shows, and no clock is asked. Times without a fraction tell too little.
# Reads RUN nl. Sets seen.
note_identities() {
    seen=$(identities 2>/dev/null) || return 0
    case ${seen##*"$nl"} in *.?????????) ;; *) return 0 ;; esac
    case "$seen$nl" in *".000000000$nl"*) return 0 ;; esac
    note "$seen" "$RUN/seen"
}

# is_as_validated: the new main file is the candidate, byte for byte, and nothing else that sshd reads has changed.
# Reads CONFIG COUNT RUN nl. Sets earlier line seen.
is_as_validated() {
    [ "$COUNT" = 1 ] && [ -s "$RUN/seen" ] && [ ! -L "$CONFIG" ] || return 1
    earlier=''
    while IFS='' read -r line; do earlier=$earlier$line$nl; done <"$RUN/seen"
    seen=$(identities 2>/dev/null) && [ "$seen$nl" = "$earlier" ]
}

# --- the process --------------------------------------------------------------------------------------------

# wait_until TIMES COMMAND...: until it succeeds, a tenth of a second between; fails when it never did.
# Sets tries.
wait_until() {
    tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.1 2>/dev/null || sleep 1
    done
}

# can_restart: ACTION reaches the daemon that let us in, and it would start again as it did.
# Reads ACTION DESCRIBED pid pidfile. Sets cause described exe kind problem.
can_restart() {
    [ "$ACTION" != none ] || return 0
    kind=restart
    described=$DESCRIBED
    find_obstacle >/dev/null 2>&1
    if [ -n "$problem" ] && [ -n "$described" ]; then
        described='' # it may be otherwise by now; a good answer that has become a bad one shows in the restart
        find_obstacle >/dev/null 2>&1
    fi
    if [ -n "$problem" ]; then
        cause=${problem%% *}
        problem=${problem#* }
        tell_pidfile
        return 1
    fi
    [ -n "$pid" ] || return 0
    [ -n "$exe" ] || exe=$(readlink "/proc/$pid/exe" 2>/dev/null)
    case $exe in
        *' (deleted)')
            cause=binary_replaced
            problem="${exe% \(deleted\)} was replaced since sshd started: a restart would start a different binary; restart sshd by hand first"
            return 1
            ;;
    esac
    line_of "$pidfile"
    if [ "$ACTION" = reload ] && [ "$line" != "$pid" ]; then
        cause=no_pidfile
        problem="cannot find the PID file of this sshd, which shows that a reload has worked: use --service-action restart"
        return 1
    fi
}

# tell_pidfile: the PID file of the sshd that let us in, for the inventory; not one that names another process.
# Reads pid pidfile.
tell_pidfile() { line_of "$pidfile"; [ -z "$pid" ] || [ "$line" != "$pid" ] || say pidfile "$pidfile" 2>/dev/null; }

# reload_daemon: after SIGHUP it executes itself again, and writes its PID file at the end of the start.
# Reads pidfile. Sets daemon.
reload_daemon() {
    line_of "$pidfile" && daemon=$line && comm_of "$daemon" || return 1
    case $comm in sshd*) ;; *) return 1 ;; esac # a stale number may be anybody's by now
    rm -f "$pidfile" && kill -HUP "$daemon" && wait_until 100 test -s "$pidfile"
}

# start_daemon: as it was called, for those without a manager; without -D it detaches itself.
# Reads CONFIG sshd words. Sets code.
start_daemon() {
    set -f
    # shellcheck disable=SC2086 # the daemon's words were split on purpose
    "$sshd" $words -f "$CONFIG"
    code=$?
    set +f
    return $code
}

# is_listener_back: some sshd, not the old one, listens on the very addresses that were listened on before; listener is
# that one, where it was seen.
# Reads LOOK PIDFILE RUN old pidfile. Sets listener wanted.
is_listener_back() {
    listener=''
    [ "$LOOK" != no ] || return 0
    line_of "$RUN/sockets"
    wanted=$line
    if [ "$LOOK" = pidfile ]; then
        line_of "$PIDFILE" && addresses_of "$line" && [ "$addresses" = "$wanted" ]
        return
    fi
    [ -n "$wanted" ] || return 0
    # sshd writes its PID file when it listens: mostly no other process needs to be looked at.
    if line_of "$pidfile" && [ "$line" != "$old" ] && comm_of "$line"; then
        case $comm in sshd*) addresses_of "$line"; [ "$addresses" != "$wanted" ] || { listener=$line; return 0; } ;; esac
    fi
    find_listeners "$old"
    [ -n "$listener" ]
}

# find_listeners [PID]: bindings are those of all sshd that listen, wherever; listener is the one of them, other than
# PID, that listens on the addresses in wanted, empty where there is none.
# Reads wanted. Sets addresses each listener.
find_listeners() {
    listener=''
    find_sshds
    # shellcheck disable=SC2086 # numbers
    find_bindings $sshds
    while read -r each addresses; do
        [ "$addresses" != "$wanted" ] || [ "$each" = "$1" ] || listener=$each
    done <<END
$bindings
END
}

# is_anybody_listening: for the guard that looks once more when the time is up.
# Reads LOOK PIDFILE RUN.
is_anybody_listening() {
    case $LOOK in
        no) return 0 ;;
        pidfile) line_of "$PIDFILE" && addresses_of "$line" && [ -n "$addresses" ]; return ;;
    esac
    [ -s "$RUN/sockets" ] || return 0
    find_listeners
    [ -n "$bindings" ]
}

# print_connected PID...: print those that serve a connection to a port of this daemon. Another one may leave orphans on
# this machine too.
# Reads RUN. Sets each.
print_connected() {
    line_of "$RUN/sockets"
    [ -n "$line" ] || { echo "$@"; return; }
    for each; do
        shift
        set -- "$@" "/proc/$each/fd"
    done
    # shellcheck disable=SC2012 # as in find_bindings
    ls -l /dev/null "$@" | awk -v sockets="$line" '
        match($0, /^\/proc\/[0-9]+\/fd:$/) { owner = substr($0, 7, RLENGTH - 10) }
        match($0, /socket:\[[0-9]+\]$/) { owners[substr($0, RSTART + 8, RLENGTH - 9)] = owner }
        END {
            for (n = split(sockets, address, " "); n; n--) { sub(/.*:/, "", address[n]); port[sprintf("%04X", address[n])] }
            for (n = 1; n <= 2; n++) {
                file = n == 1 ? "/proc/net/tcp" : "/proc/net/tcp6"
                while ((getline <file) > 0) { sub(/.*:/, "", $2); if (($10 in owners) && ($2 in port)) ours[owners[$10]] }
            }
            for (pid in ours) print pid
        }'
}

# tell_older_sessions: the titles of the sessions that keep the values they began with; this login's own is none of
# them.
# Reads nl pid. Sets children each orphans ours titles.
tell_older_sessions() {
    ours=$$ titles='' orphans='' children=''
    while comm_of "$ours" && [ "$parent" -gt 1 ] && [ "$parent" != "$pid" ]; do ours=$parent; done
    find_sshds
    for each in $sshds; do
        case $each in "$ours" | "$pid") continue ;; esac
        comm_of "$each" || continue
        # A session's first process is the listener's child, or an orphan of an earlier one.
        case $parent in
            "$pid") children="$children $each" ;;
            1) orphans="$orphans $each" ;;
        esac
    done
    # shellcheck disable=SC2086 # numbers
    [ -z "$orphans" ] || children="$children $(print_connected $orphans)"
    for each in $children; do read_command_line "$each" && titles="$titles$command_line$nl"; done
    [ -z "$titles" ] || say lasting "$titles"
} 2>/dev/null

# tell_complaints: record what the new sshd itself logged in the journal. What concerns a connection is logged by the
# process of that connection. Without a journal nothing is recorded.
# Reads MANAGER nl pidfile. Sets line said.
tell_complaints() {
    [ "$MANAGER" = systemd ] && line_of "$pidfile" && [ -n "$line" ] || return 0
    said=''
    # By the words: what it says before it listens goes to standard error, where the journal knows no priorities.
    while IFS='' read -r line; do
        case $line in '' | 'Server listening on '* | 'Received SIGHUP'*) ;; *) said=$said$line$nl ;; esac
    done <<END
$(journalctl --boot --quiet --no-pager --output=cat --lines=12 "_PID=$line" </dev/null)
END
    [ -z "$said" ] || say complaints "$said"
} 2>/dev/null

# is_up: it listens, and the manager says so.
is_up() { is_listener_back && is_active </dev/null >/dev/null 2>&1; }

# has_ended PID: a child of ours has ended; until it is waited for it may be a zombie.
has_ended() { ! comm_of "$1" || [ "$state" = Z ]; }

# end_listener: end the sshd that is to be replaced, and wait until it has gone; its sessions go on.
# Reads old.
end_listener() {
    [ -n "$old" ] && comm_of "$old" || return 0
    case $comm in sshd*) kill "$old" ;; esac
    wait_until 50 has_ended "$old"
}

# restart_and_wait: restart and wait for the proof; the answer of the manager alone proves nothing. The manager gets twenty
# seconds to answer, sshd another five to listen.
# Reads ACTION MANAGER RUN UNIT. Sets began clock code ending job problem what.
restart_and_wait() {
    [ "$ACTION" != none ] || return 0
    # A rollback restarts only where this note is: without it nothing may be restarted.
    [ -e "$RUN/restarting" ] || note "$ACTION" "$RUN/restarting" || { problem="$RUN cannot be written"; return 1; }
    open_log restart.log
    # A shell cannot wait for this long at most: it waits for a clock, which the manager's end stops. With KILL: between
    # fork and exec ksh and mksh lose a TERM. The number may be another process's when the clock has run down.
    sleep 20 >/dev/null 2>&1 &
    clock=$!
    started_of $clock || :
    began=$started
    # A daemon started by hand keeps our output open for ever: into a file with it.
    {
        trap 'started_of $clock && [ "$started" = "$began" ] && kill -KILL $clock 2>/dev/null' EXIT
        if [ "$ACTION" = reload ] && is_up && reload_daemon; then exit 0; else restart_unit; fi
        exit
    } </dev/null >"$log" 2>&1 &
    job=$! code=''
    if ! wait $clock 2>/dev/null || has_ended $job; then wait $job; code=$?; fi
    [ "$code" = 0 ] && wait_until 50 is_up && return
    what="$MANAGER failed to $ACTION ${UNIT:-sshd}"
    [ "$MANAGER" != command ] || what="the command of the inventory failed to $ACTION sshd"
    ending=$(tail -n 7 "$log")
    [ -z "$ending" ] || ending=": $(printf %s "$ending" | tr '\n' ' ')"
    problem="$what (${code:+exit }${code:-still running after 20 s})$ending"
    return 1
}

# has_old_values: what listens where the sshd of before listened, old, holds the old bytes although no restart of ours
# succeeded: no restart ever reached it, or somebody has started it since they were put back.
# Reads RUN old wanted.
has_old_values() {
    is_over "$RUN" "$old" && return 0
    [ -n "$old" ] && [ "$addresses" = "$wanted" ] && started_of "$old" || return 1
    line_of "$RUN/begun" && [ -n "$line" ] && [ "$started" -lt "$line" ] && is_same_boot
}
