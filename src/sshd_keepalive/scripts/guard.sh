# The guard of one change: it compares, validates, arms, installs, restarts, proves; and it undoes all of that.
# It is kept on the host beside the backups of its run, so that anybody with root can type
#     sh RUN/guard.sh restore
#
# Given: RUN (its directory) ID CONFIG SSHD PIDFILE LOOK UNIT MANAGER COUNT (files) DEADLINE_S ACTION (restart,
# reload, none) DESCRIBED (what the manager said of the unit to the look that was planned upon) CANDIDATE (the file that
# stands in for the new configuration), and the functions restart_unit, is_active, obstacle, detect_init, arm, disarm,
# catch_boot, release_boot, expectations, target_of (sets target for a number), identities (prints which files and
# directories sshd reads beside the main file, a line for each that no change leaves as it is; fails where others may do).
# The files: N.target (path), N.before (backup, with owner and mode; absent: the file is new), N.base (the
# content that was planned upon), N.after (the content to be; absent: the file is removed). All of them for N from
# 1 to COUNT.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

# --- telling ---------------------------------------------------------------------------------------------

begin() { step=$1; now; since=$now; }

# done_ TEXT: the step succeeded. When nobody hears it the login is gone, and nobody is left who could confirm.
done_() {
    now
    say step "$step ok $since $now $1" 2>/dev/null || give_up tcp 'the login was lost' lost
}

# failed TEXT: it did not, and that is all that is done about it.
failed() {
    now
    say step "$step failed $since $now $1"
}

# give_up KIND TEXT [CAUSE]: the step failed; what has been changed is put back before anything is said.
give_up() {
    failed "$2"
    say kind "$1"
    say reason "$2"
    say cause "$3"
    [ "$3" != not_ours ] || say place "$other"
    restore "$step failed"
    exit 1
} 2>/dev/null

# withdraw: nothing was changed yet, and nothing of this run is to be left.
withdraw() {
    unstage
    disarm
    release
    release_boot
    rm -rf "$RUN"
} 2>/dev/null

# failure_kind TEXT: which of our words a system's complaint stands for.
failure_kind() {
    case $1 in
        *'No space left'* | *uota*) kind=no_space ;;
        *'Read-only file system'* | *'not permitted'* | *'ermission denied'*) kind=read_only ;;
        *) kind=validate ;;
    esac
}

# --- files -----------------------------------------------------------------------------------------------

# for_each FUNCTION: FUNCTION N target, for every file; stops at the first that fails.
for_each() {
    n=0
    while [ $n -lt "$COUNT" ]; do
        n=$((n + 1))
        target_of $n
        staged=${target%/*}/.sshd-keepalive.$ID.$n
        "$1" || return 1
    done
}

is_absent() { [ ! -e "$target" ] && [ ! -L "$target" ]; }

# The file is still what was planned upon, byte for byte.
is_unchanged() { if [ -e "$RUN/$n.base" ]; then cmp -s "$RUN/$n.base" "$target"; else is_absent; fi; }
is_installed() { if [ -e "$RUN/$n.after" ]; then cmp -s "$RUN/$n.after" "$target"; else is_absent; fi; }
is_not_installed() { ! is_installed; }
is_restored() { if [ -e "$RUN/$n.before" ]; then cmp -s "$RUN/$n.before" "$target"; else is_absent; fi; }

# trying COMMAND...: once more when it fails, for what it says then, in complaint; a substitution costs a process.
trying() { complaint='' && "$@" 2>/dev/null || complaint=$("$@" 2>&1); }

# copy FROM TO: with owner, mode, ACL, extended attributes and label where cp knows how.
copy() {
    # Never a link: what is written into the copy would go through it into somebody's file.
    if [ -e "$2" ] || [ -L "$2" ]; then rm -f "$2"; fi
    cp -aL "$1" "$2" 2>/dev/null || cp -pL "$1" "$2" || return 1
    [ -f "$2" ] && [ ! -L "$2" ] || return 1
    [ ! -e /sys/fs/selinux/enforce ] || chcon "--reference=$1" "$2" 2>/dev/null || :
}

# flush PATH...: onto the disk; an old sync takes no names and flushes everything.
flush() { sync "$@" 2>/dev/null || sync; }

# look_of LINE: of ls -ln. Sets look to mode with the signs of ACL and label, owner, group; names to the number of names.
look_of() {
    set -f
    # shellcheck disable=SC2086 # its fields are wanted
    set -- $1
    set +f
    look="$1 $3 $4" names=$2
}

# is_alike PATH COPY: owner, mode, ACL and label are the same; sets names to the number of names of PATH.
is_alike() {
    look_of "$(ls -ldLn "$2")"
    copied=$look
    look_of "$(ls -ldLn "$1")"
    [ "$copied" = "$look" ]
}

# has_one_name: a rename would part the file with so many names from its other ones.
has_one_name() {
    [ "$names" -gt 1 ] || return 0
    complaint="it has $names names (hard links), and a replacement would part them"
    cause=hard_link
    return 1
}

# lies_safely: nobody but root can swap the target for something else. What was found so is kept in safe.
lies_safely() {
    case $safe in *"|${target%/*}|"*) return 0 ;; esac
    is_ours "${target%/*}" || {
        complaint="another account than root may write to $other"
        kind=read_only cause=not_ours
        return 1
    }
    safe="$safe|${target%/*}|"
}

# May it be written at all? Opening it for reading and writing changes nothing, and fails for an immutable or
# append-only file.
is_replaceable() {
    lies_safely || return 1
    [ -e "$target" ] || return 0
    trying open_it || {
        complaint=$(printf '%s\n' "$complaint" | sed -n '1s/.*: //p') # without the shell's own words
        failure_kind "$complaint"
        cause=immutable
        case $complaint in *'Read-only'*) cause=mount ;; esac
        return 1
    }
}

open_it() { true 1<>"$target"; }

back_up() {
    [ -e "$RUN/$n.base" ] || return 0
    trying copy "$target" "$RUN/$n.before" && cmp -s "$RUN/$n.base" "$RUN/$n.before"
}

# The new content beside its target, under a name that no Include of *.conf reads, dressed like the old file.
stage() {
    if [ ! -e "$RUN/$n.after" ]; then
        look_of "$(ls -ldn "$target")"
        has_one_name && flush "$RUN"/*
        return
    fi
    like=$target
    [ -e "$like" ] || like=$CONFIG
    trying write_beside && cmp -s "$RUN/$n.after" "$staged" && flush "$staged" "$RUN"/* || return 1
    is_alike "$like" "$staged" || { complaint="owner, mode, ACL or label cannot be kept here"; return 1; }
    [ "$like" != "$target" ] || has_one_name
}
write_beside() { { [ -d "${target%/*}" ] || make_folder; } && copy "$like" "$staged" && cat "$RUN/$n.after" >"$staged"; }

# A directory that was made for a file goes with it.
make_folder() { echo yes >"$RUN/$n.made" && (umask 022 && mkdir -p "${target%/*}") && relabel "${target%/*}"; }
drop_folder() { [ ! -e "$RUN/$n.made" ] || rmdir "${target%/*}" 2>/dev/null || :; }

unstage() { for_each drop_staged; }
drop_staged() { rm -f "$staged" "$staged".*; drop_folder; }

# replace WITH: a rename is all or nothing. A file that is a mount point of its own cannot be renamed over: then in
# place.
replace() {
    mv -f "$1" "$target" 2>/dev/null && return
    cat "$1" >"$target" && rm -f "$1"
}

install() {
    if [ -e "$RUN/$n.after" ]; then
        trying replace "$staged"
        [ -e "$RUN/$n.before" ] || relabel "$target" # a new file; another one keeps the label that it had
    else
        trying rm -f "$target"
    fi
    is_installed && flush "${target%/*}"
}

# What somebody else wrote there meanwhile is kept beside the backup, then the old bytes come back.
put_back() {
    lies_safely || return 1
    rm -f "$staged"
    is_restored && { drop_folder; return 0; }
    if ! is_installed && [ -e "$target" ]; then copy "$target" "$RUN/$n.found"; fi
    if [ -e "$RUN/$n.before" ]; then
        like=$target
        [ -f "$like" ] && [ ! -L "$like" ] || like=$RUN/$n.before
        mkdir -p "${target%/*}"
        copy "$like" "$staged.$$" && cat "$RUN/$n.before" >"$staged.$$" && flush "$staged.$$" && replace "$staged.$$"
        is_restored || cat "$RUN/$n.before" >"$target" # no room beside it: in place
        rm -f "$staged.$$"
    else
        rm -f "$target"
        drop_folder
    fi
    if [ -d "${target%/*}" ]; then flush "${target%/*}"; else flush; fi
    is_restored
}

# --- asking sshd -----------------------------------------------------------------------------------------

# asked CONFIG SPEC: like ask, and provides the directory that Debian's unit removes whenever it stops.
asked() {
    ask "$1" "$2" && return 0
    case $answer in
        *'rivilege separation directory'*': /'*)
            directory=${answer##*: }
            mkdir -p "$directory" && chmod 0755 "$directory" && ask "$1" "$2"
            ;;
        *) return 1 ;;
    esac
}

# divide: sets two to both settings of $answer, and rest to all its other lines. No loop over the lines: a shell reads
# them byte by byte. OpenSSH 10.4 and newer print keywords in mixed case.
divide() {
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

# ask_present SPEC: sshd's reading of the present files. For everybody the look that was planned upon has it already:
# asked again, it would only tell what `compare` has told.
ask_present() {
    if [ -z "$1" ] && [ -n "$PRESENT" ]; then answer=$PRESENT; else asked "$CONFIG" "$1"; fi
}

# hold_before, hold_after SPEC BEFORE AFTER: sshd reads the present files as we do, and the candidate as predicted.
hold_before() {
    ask_present "$1" || { problem="sshd refuses the present configuration: $answer"; kind=config_broken; return 1; }
    pidfile_of
    divide
    if [ "$two" != "$2" ]; then
        problem="sshd reads the present files as $two${1:+ for $1}, this program as $2"
        kind=observe
        return 1
    fi
    [ "$COUNT" = 0 ] && return 0
    others=$rest
    asked "$CANDIDATE" "$1" || { problem="sshd refuses the new configuration: $answer"; kind=validate; return 1; }
    divide
    if [ "$two" != "$3" ]; then
        problem="sshd would read the new files as $two${1:+ for $1}, not as $3"
        kind=effective
        return 1
    fi
    if [ "$rest" != "$others" ]; then
        if [ -z "$1" ] && asked "$CONFIG" '' && [ "$answer" != "$PRESENT" ]; then
            problem='sshd no longer reads the present files as when the plan was made'
            kind=changed_meanwhile
            return 1
        fi
        problem="the new files would change another setting${1:+ for $1}"
        kind=effective
        return 1
    fi
}

# note_identities: before the candidate is read. By inode and time of its last change: a link or a directory above that
# now leads elsewhere shows, and no clock is asked. Times without a fraction tell too little.
note_identities() {
    seen=$(identities 2>/dev/null) || return 0
    case ${seen##*"$nl"} in *.?????????) ;; *) return 0 ;; esac
    case "$seen$nl" in *".000000000$nl"*) return 0 ;; esac
    note "$seen" "$RUN/seen"
}

# is_as_validated: the new main file is the candidate, byte for byte, and nothing else that sshd reads has changed.
is_as_validated() {
    [ "$COUNT" = 1 ] && [ -s "$RUN/seen" ] && [ ! -L "$CONFIG" ] || return 1
    earlier=''
    while IFS='' read -r line; do earlier=$earlier$line$nl; done <"$RUN/seen"
    seen=$(identities 2>/dev/null) && [ "$seen$nl" = "$earlier" ]
}

hold_after() {
    asked "$CONFIG" "$1" || { problem="sshd refuses the installed configuration: $answer"; kind=validate; return 1; }
    divide
    [ "$two" = "$3" ] && return 0
    problem="sshd reads the installed files as $two${1:+ for $1}, not as $3"
    kind=effective
    return 1
}

# --- the daemon ------------------------------------------------------------------------------------------

# can_restart: the daemon that let us in is the one that ACTION reaches, and would start again as it did.
can_restart() {
    [ "$ACTION" != none ] || return 0
    kind=restart
    described=$DESCRIBED
    problem=$(obstacle 2>/dev/null)
    if [ -n "$problem" ] && [ -n "$described" ]; then
        described='' # it may be otherwise by now; a good answer that has become a bad one shows in the restart
        problem=$(obstacle 2>/dev/null)
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
            problem="${exe% \(deleted\)} was replaced since sshd started: a restart would start another program; restart it by hand first"
            return 1
            ;;
    esac
    line_of "$pidfile"
    if [ "$ACTION" = reload ] && [ "$line" != "$pid" ]; then
        cause=no_pidfile
        problem="no PID file of this sshd is to be found, so nothing would tell that it has read its files again: restart it"
        return 1
    fi
}

# tell_pidfile: the PID file of the sshd that let us in, for the inventory; not one that names another process.
tell_pidfile() { line_of "$pidfile"; [ -z "$pid" ] || [ "$line" != "$pid" ] || say pidfile "$pidfile" 2>/dev/null; }

# reload_daemon: SIGHUP has it execute itself anew; it writes its PID file again at the end of the start.
reload_daemon() {
    line_of "$pidfile" && daemon=$line && comm_of "$daemon" || return 1
    case $comm in sshd*) ;; *) return 1 ;; esac # a stale number may be anybody's by now
    rm -f "$pidfile" && kill -HUP "$daemon" || return 1
    tries=0
    until [ -s "$pidfile" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || return 1
        sleep 0.1 2>/dev/null || sleep 1
    done
}

# start_daemon: as it was called, for those without a manager; without -D it detaches itself.
start_daemon() {
    set -f
    # shellcheck disable=SC2086 # the daemon's words were split on purpose
    "$sshd" $words -f "$CONFIG"
    code=$?
    set +f
    return $code
}

# listener_is_back: some sshd, not the old one, listens on the very addresses that were listened on before; sets listener
# to it, where it was seen.
listener_is_back() {
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

# find_listeners [PID]: sets listeners to the numbers of all sshd that listen, wherever, and listener to the one of them,
# other than PID, that listens on the addresses in wanted; empty where there is none.
find_listeners() {
    listeners='' listener=''
    find_sshds
    # shellcheck disable=SC2086 # numbers
    while read -r each addresses; do
        listeners="$listeners$each "
        [ "$addresses" != "$wanted" ] || [ "$each" = "$1" ] || listener=$each
    done <<END
$([ -z "$sshds" ] || listening $sshds)
END
}

anybody_listens() {
    case $LOOK in
        no) return 0 ;;
        pidfile) line_of "$PIDFILE" && [ -n "$(listening "$line")" ]; return ;;
    esac
    [ -s "$RUN/sockets" ] || return 0
    find_listeners
    [ "$listeners" != ' ' ]
}

# came_to_us PID...: prints those that serve a connection to a port of this daemon; another one may leave orphans on this
# machine too.
came_to_us() {
    line_of "$RUN/sockets"
    [ -n "$line" ] || { echo "$@"; return; }
    for each; do
        shift
        set -- "$@" "/proc/$each/fd"
    done
    # shellcheck disable=SC2012 # as in listening
    ls -l /dev/null "$@" | awk -v sockets="$line" '
        match($0, /^\/proc\/[0-9]+\/fd:$/) { owner = substr($0, 7, RLENGTH - 10) }
        match($0, /socket:\[[0-9]+\]$/) { owners[substr($0, RSTART + 8, RLENGTH - 9)] = owner }
        END {
            for (n = split(sockets, address, " "); n; n--) { sub(/.*:/, "", address[n]); port[address[n]] }
            for (n = 1; n <= 2; n++) {
                file = n == 1 ? "/proc/net/tcp" : "/proc/net/tcp6"
                while ((getline <file) > 0) { sub(/.*:/, "", $2); if (($10 in owners) && ($2 in port)) ours[owners[$10]] }
            }
            for (pid in ours) print pid
        }'
}

# tell_lasting: the titles of the sessions that keep the values they began with; this login's own is none of them.
tell_lasting() {
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
    [ -z "$orphans" ] || children="$children $(came_to_us $orphans)"
    for each in $children; do read_command_line "$each" && titles="$titles$command_line$nl"; done
    [ -z "$titles" ] || say lasting "$titles"
} 2>/dev/null

# tell_complaints: what the new sshd itself complained of in the journal. What it says of those who knock, processes of
# theirs say; where there is no journal nothing is told.
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

is_up() { listener_is_back && is_active </dev/null >/dev/null 2>&1; }

# is_over PID: a child of ours has ended; until it is waited for it may be a zombie.
is_over() { ! comm_of "$1" || [ "$state" = Z ]; }

# restarted: restart and wait for the proof. A manager's good word alone proves nothing. It gets twenty seconds to
# speak, sshd another five to listen.
restarted() {
    [ "$ACTION" != none ] || return 0
    # A rollback restarts only where this note is: without it nothing may be restarted.
    [ -e "$RUN/restarted" ] || note "$ACTION" "$RUN/restarted" || { problem="$RUN cannot be written"; return 1; }
    log_into restart.log
    # A shell cannot wait for this long at most: it waits for a clock, which the manager's end stops.
    sleep 20 >/dev/null 2>&1 &
    clock=$!
    # A daemon started by hand keeps our output open for ever: into a file with it.
    {
        trap 'kill $clock 2>/dev/null' EXIT
        if [ "$ACTION" = reload ] && is_up && reload_daemon; then exit 0; else restart_unit; fi
        exit
    } </dev/null >"$log" 2>&1 &
    job=$! tries=0 code=''
    if ! wait $clock 2>/dev/null || is_over $job; then wait $job; code=$?; fi
    while [ "$code" = 0 ] && [ $tries -lt 25 ]; do
        if is_up; then return 0; fi
        tries=$((tries + 1))
        sleep 0.2 2>/dev/null || sleep 1
    done
    problem="$MANAGER did not bring ${UNIT:-sshd} back (exit ${code:-none in 20 s}): $(tail -n 7 "$log" | tr '\n' ' ')"
    return 1
}

# --- deciding --------------------------------------------------------------------------------------------

# is_untouched: no file was replaced yet. After a power cut the note of it may be lost while the new file is there.
is_untouched() { [ ! -e "$RUN/touched" ] && { is_same_boot || for_each is_not_installed; }; }

# Confirming and taking back must not fail for want of room: some was put aside before anything was changed.
keep_room() { for each in 1 2 3 4; do printf '%4096s' '' >"$RUN/room.$each" || return 1; done; }
make_room() { rm -f "$RUN"/room.*; }

# note TEXT FILE: a line, with the room that was put aside where there is no other.
note() {
    { printf '%s\n' "$1" >"$2"; } 2>/dev/null && [ -s "$2" ] && return
    make_room
    { printf '%s\n' "$1" >"$2"; } 2>/dev/null
}

# log_into NAME: sets log to a file of the run, empty; a command whose output cannot be opened would not be run at all.
log_into() {
    log=$RUN/$1
    { : >"$log"; } 2>/dev/null || { make_room; { : >"$log"; } 2>/dev/null; } || log=/dev/null
}

# decide HOW: the first to decide wins, be it the confirmation, the timer or a person.
decide() {
    mkdir "$RUN/decided" 2>/dev/null || {
        [ -d "$RUN" ] && [ ! -d "$RUN/decided" ] || return 1
        make_room
        mkdir "$RUN/decided" 2>/dev/null || return 1
    }
    verdict "$1" || :
}
verdict() { note "$1" "$RUN/decided/how"; }
how() { line_of "$RUN/decided/how"; how=$line; }

# release [PATH...]: remove these, and at last the lock with both its names, where it is ours. Before release_boot: should
# the power be cut between the two, the next boot clears up.
release() {
    line_of "$STATE/lock"
    case $line in "$ID "*) set -- "$@" "$STATE/new.$ID" "$STATE/lock" ;; esac
    [ $# = 0 ] || rm -f "$@"
}

# is_same_boot: the machine was not started anew since this run began.
is_same_boot() { boot; line_of "$RUN/boot"; [ "$line" = "$boot" ]; }

# is_busy FILE: the process whose number stands in a file of this run lives, and is not this one.
is_busy() {
    is_same_boot && line_of "$1" || return 1
    busy=$line
    [ -n "$busy" ] && [ "$busy" != $$ ] && kill -0 "$busy" 2>/dev/null
}

# stand_by FILE: let the process of a file come to its end; it looks at what was decided before each step.
stand_by() {
    tries=0
    while is_busy "$1" && [ $tries -lt 150 ]; do
        tries=$((tries + 1))
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# still_ours: nobody has decided to take it back meanwhile.
still_ours() { [ ! -d "$RUN/decided" ] || give_up restart 'the host took the change back before it was complete' fired; }

# --- the change ------------------------------------------------------------------------------------------

# prepare: everything that leaves the host as it is, and the timer.
prepare() {
    begin compare
    remember 2>/dev/null || give_up no_space "$RUN cannot be written"
    for_each is_unchanged || give_up changed_meanwhile "$target is no longer what the plan was made for"
    for_each is_replaceable || give_up "$kind" "$target cannot be replaced: $complaint" "$cause"
    done_ "$COUNT file(s) as planned upon"
    if [ "$COUNT" != 0 ]; then
        begin back_up
        for_each back_up || { failure_kind "$complaint"; give_up "$kind" "$target could not be backed up: $complaint"; }
        done_ "$RUN"
        begin stage
        for_each stage || { failure_kind "$complaint"; give_up "$kind" "$target cannot be replaced: $complaint" "$cause"; }
        done_ ''
    fi
    begin validate
    note_identities
    expectations hold_before || give_up "$kind" "$problem"
    if [ -z "$answer" ]; then # no connection could be made up to ask about
        asked "$CONFIG" '' || give_up config_broken "sshd refuses the present configuration: $answer"
        [ "$COUNT" = 0 ] || asked "$CANDIDATE" '' || give_up validate "sshd refuses the new configuration: $answer"
    fi
    can_restart || give_up "$kind" "$problem" "$cause"
    done_ 'sshd reads the present and the new files as predicted'
    begin arm
    detect_init
    echo "$init" >"$RUN/init"
    printf '%s' "$pidfile" >"$RUN/pidfile"
    # The timer first: should the script die between the two, the timer clears up.
    complaint=$({ keep_room && now && echo $((${now%.*} + DEADLINE_S)) >"$RUN/armed" && arm; } 2>&1) || { failure_kind "$complaint"; give_up "$kind" "the guard could not be armed: $complaint"; }
    complaint=$(catch_boot 2>&1)
    case $? in
        0) done_ "reverts by itself after $DEADLINE_S s, or at a reboot" ;;
        2) done_ "reverts by itself after $DEADLINE_S s; a reboot before that is not noticed on this host" ;;
        *)
            failure_kind "$complaint"
            give_up "$kind" "the guard could not be armed for a reboot: $complaint"
            ;;
    esac
}

# mark NAME: leave a sign of how far it has come.
mark() {
    trying sign "$1" && return
    complaint=${complaint:-No space left}
    failure_kind "$complaint"
    give_up "$kind" "$RUN cannot be written: $complaint"
}

sign() { echo yes >"$RUN/$1"; }

# go: the change itself.
go() {
    old=$pid
    if [ "$COUNT" != 0 ]; then
        begin install
        still_ours
        for_each lies_safely || give_up "$kind" "$target cannot be replaced: $complaint" "$cause"
        for_each is_unchanged || give_up changed_meanwhile "$target was edited while this ran"
        mark touched
        for_each install || { failure_kind "$complaint"; give_up "$kind" "$target cannot be replaced: $complaint"; }
        is_as_validated || expectations hold_after || give_up "$kind" "$problem"
        done_ "$COUNT file(s)"
    fi
    if [ "$ACTION" != none ]; then
        begin restart
        still_ours
        mark touched
        [ "$ACTION" = restart ] || old=''
        tell_lasting
        restarted || give_up restart "$problem"
        done_ "${UNIT:-sshd}"
    fi
    still_ours
    mark changed
    say end changed 2>/dev/null || give_up tcp 'the login was lost' lost
}

# confirm: called over a login that was made after the change. The timer stays: should sshd be gone when it is up,
# because it came up and fell over later, it still takes the change back.
confirm() {
    begin confirm
    if [ ! -e "$RUN/changed" ]; then
        failed 'the change is not complete yet'
        say end unknown
        exit 1
    fi
    decide applied || :
    how
    if [ "$how" = applied ]; then
        # What is told must outlast a power cut.
        flush "$RUN/decided/how" "$RUN/decided" "$RUN"
        release "$STATE/taken_back" "$RUN"/candidate.* "$RUN"/room.*
        release_boot
        prune
        done_ ''
        tell_complaints
        say end applied
    else
        failed "the host has decided already: $how"
        say end "$how"
        exit 1
    fi
}

# reads_old: what listens where the sshd of before listened, $old, holds the old bytes although no restart of ours
# succeeded: no restart ever reached it, or somebody has started it since they were put back.
reads_old() {
    [ -n "$old" ] && addresses_of "$old" && [ "$addresses" = "$wanted" ] && started_of "$old" || return 1
    line_of "$RUN/back" && [ -n "$line" ] && [ "$started" -gt "$line" ] && return 0
    line_of "$RUN/begun" && [ -n "$line" ] && [ "$started" -lt "$line" ] && is_same_boot
}

# restore WHY: back to the old bytes and the old daemon; safe to be called at any time, any number of times.
restore() {
    begin restore
    if ! decide restoring; then
        # Deciding is two steps, a directory and a word in it: wait for the word.
        tries=0
        while how && [ -z "$how" ] && [ -d "$RUN/decided" ] && [ $tries -lt 50 ]; do
            tries=$((tries + 1))
            sleep 0.1 2>/dev/null || sleep 1
        done
        # Whoever decided waits for the change to stop: it has.
        line_of "$RUN/pid"
        [ "$line" != $$ ] || rm -f "$RUN/pid"
        stand_by "$RUN/decided/by"
        if [ ! -d "$RUN" ]; then say end refused; return 0; fi
        how
        case $how in
            applied)
                if [ "$1" != asked ]; then say end applied; return 0; fi
                line_of "$STATE/lock"
                if [ -n "$line" ]; then
                    say reason "run ${line%% *} is at work; the old content is $RUN/1.before"
                    say end refused
                    return 1
                fi
                for_each is_installed || {
                    say reason "$target was edited since; the old content is $RUN/$n.before"
                    say end refused
                    return 1
                }
                ;;
            rolled_back) if for_each is_restored; then say end rolled_back; return 0; fi ;;
        esac
        verdict restoring
    fi
    note $$ "$RUN/decided/by"
    stand_by "$RUN/pid"
    if is_untouched; then
        withdraw
        say end refused
        return 0
    fi
    worst=rolled_back complaint=''
    for_each is_restored || rm -f "$RUN/back"
    for_each put_back || { worst=unknown; problem="$target could not be put back${complaint:+: $complaint}"; }
    # By the clock of process starts: `self` is a process of this very moment.
    [ $worst = unknown ] || [ -e "$RUN/back" ] || note "$(started_of self; echo "$started")" "$RUN/back"
    # Whatever listens on these addresses now may have read the new files: another process must come.
    old=''
    line_of "$RUN/sockets"
    wanted=$line
    if [ "$ACTION" = restart ] && [ "$LOOK" = yes ] && [ -n "$wanted" ]; then
        find_listeners
        old=$listener
    fi
    if [ -e "$RUN/restarted" ] && { is_same_boot || is_active </dev/null >/dev/null 2>&1; }; then
        # Nothing could be worse than no daemon: who still holds its port gets some seconds to let go.
        again=yes
        now
        patience=$((${now%.*} + 15))
        until restarted; do
            now
            [ "${now%.*}" -lt $patience ] || { reads_old || worst=unknown; break; }
            sleep 2
        done
    fi
    verdict $worst
    if [ $worst = rolled_back ]; then
        note "$ID $(date -u +%Y-%m-%dT%H:%M:%SZ) $1" "$STATE/taken_back"
        disarm
        release
        release_boot
        make_room
        prune
        step=restore
        now
        say step "restore ok $since $now $1; the old files and the old daemon are back" 2>/dev/null
    else
        failed "$problem" 2>/dev/null
    fi
    say end $worst 2>/dev/null
    [ $worst = rolled_back ]
}

# fire: the time is up. What was confirmed stays, unless sshd has gone since and the files are still those of this run.
fire() {
    disarm() { :; } # it would end this very process
    how
    if [ "$how" != applied ]; then restore "not confirmed within $DEADLINE_S s"; return; fi
    rm -f "$RUN/sleeper"
    old=''
    tries=0
    while [ $tries -lt 3 ]; do
        if [ "$ACTION" = none ] || [ ! -e "$RUN/restarted" ] || [ -e "$STATE/lock" ]; then return; fi
        # Not is_up: somebody may have given it other addresses since.
        if is_active </dev/null >/dev/null 2>&1 && anybody_listens; then return; fi
        tries=$((tries + 1))
        sleep 1
    done
    for_each is_installed || return
    verdict restoring
    rm -f "$RUN/decided/by"
    restore 'sshd was confirmed, and was gone when the time was up'
}

# prune: this run is kept and the nine newest of the others, by the clocks of the controllers that named them.
prune() {
    set -- "$STATE"/[0-9]*T*
    [ $# -gt 10 ] || return 0
    # shellcheck disable=SC2010,SC2012 # the names are ours
    ls -1 "$STATE" | grep -E '^[0-9]{8}T' | grep -v -x -F "$ID" | sort -r | sed 1,9d | while read -r run; do rm -rf "${STATE:?}/$run"; done
}

# remember: what the second half and the timer must know; they may run without any sshd around.
remember() {
    boot
    following=''
    [ -n "$pid" ] || next_start >/dev/null
    daemon_words
    started_of self
    printf '%s\n' "$boot" >"$RUN/boot" &&
        printf '%s\n' "$started" >"$RUN/begun" &&
        printf '%s' "$pid" >"$RUN/listener" &&
        { [ -z "$pid" ] || [ "$ACTION" = none ] || { addresses_of "$pid" && printf '%s' "$addresses" >"$RUN/sockets"; }; } &&
        printf '%s' "$words" >"$RUN/words" &&
        printf '%s' "$sshd" >"$RUN/sshd"
}

recall() {
    line_of "$RUN/listener"; pid=$line
    line_of "$RUN/words"; words=$line
    line_of "$RUN/sshd"; sshd=$line
    line_of "$RUN/init"; init=$line
    line_of "$RUN/pidfile"; pidfile=${pidfile:-$line}
}

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
umask 077
LC_ALL=C
export LC_ALL PATH
# A lost login must neither end this nor stay unnoticed.
trap '' HUP PIPE
# Who can swap this file for another is root already; but what lies beside it must not be used either.
is_ours "$RUN" || {
    say kind read_only
    say reason "nothing was done: another account than root may write to $other"
    say cause not_ours
    say place "$other"
    say end unknown
    exit 1
}
cause='' safe='' again='' answer='' pid='' listener='' command_line='' pidfile=$PIDFILE unit=$UNIT manager=$MANAGER
if [ "$1" = rehearse ]; then
    recall
    set -f
    echo 'SKA1 READY' >&2
    # Its standard input and output are the connection.
    # shellcheck disable=SC2086 # the daemon's words were split on purpose
    exec "$sshd" $words -f "${2:-$CONFIG}" -i 2>/dev/null
fi
case $1 in
    prepare | change)
        case $LOOK in
            yes) find_listener || : ;;
            pidfile) line_of "$PIDFILE" && pid=$line && read_command_line "$pid" ;;
        esac
        find_sshd
        echo $$ >"$RUN/pid"
        prepare
        if [ "$1" = change ]; then go; else say end ready 2>/dev/null || give_up tcp 'the login was lost' lost; fi
        ;;
    go)
        echo $$ >"$RUN/pid"
        recall
        go
        ;;
    confirm) recall; confirm ;;
    restore) recall; restore asked ;;
    recover)
        recall
        how
        case $how in applied | rolled_back | refused) release_boot; exit 0 ;; esac
        restore 'its run was interrupted'
        how
        [ ! -d "$RUN" ] || [ "$how" = rolled_back ]
        ;;
    fire) recall; log_into fired.log; fire >"$log" 2>&1 ;;
    boot)
        recall
        ! is_same_boot || exit 0
        how
        case $how in
            applied | rolled_back | refused) release; release_boot ;;
            *) log_into fired.log; restore 'the host was started anew before anybody confirmed' >"$log" 2>&1 ;;
        esac
        ;;
    *) echo "usage: sh $0 confirm | restore" >&2; exit 2 ;;
esac
