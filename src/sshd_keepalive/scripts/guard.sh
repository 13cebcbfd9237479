# The guard of one change: it makes the change, and reverts it unless a new login confirms it. It stays on the host
# beside the backups of its run, so that root can run
#     sh RUN/guard.sh revert
# It is sent in three parts: guard_files.sh, guard_daemon.sh, and this one, which decides.
#
# The state of a run is the newest of these files. The first three are written before the action that they name begins:
# after a power cut the guard may revert too much, never too little.
# decided/ is a directory, which only one process can create: the first decision wins, a confirmation or a revert.
#
#   state                        what is true on the host
#   -----                        ------------------------
#   (none)                       old files, old sshd
#   armed                        the same; the timer runs `expire`, the next boot runs `boot`
#   installing                   a file may be new
#   restarting                   sshd may have read it
#   installed                    files and sshd are new: from here on a new login may confirm
#   decided/how = applied        the same, and it stays; when the timer ends, it checks that sshd still runs
#   decided/how = reverting      the old files come back, then the old sshd
#   decided/how = rolled_back    old files, old sshd
#   decided/how = unproved       a file or sshd could not be restored: `revert` tries again
#
#                 arm             install                                       confirm
#        (none) ------> armed ------------> installing --> restarting --> installed ------> applied
#           ^             |                     |              |              |                |
#           |    abort    |                     +--------------+--------------+                | revert: asked for it
#           +-------------+                                    |                               | expire: sshd has gone
#                                                              v                               |
#                     revert, expire, boot, recover:       reverting <-------------------------+
#                                                              |
#                                                    +---------+---------+
#                                                    v                   v
#                                               rolled_back           unproved
#
# Verbs, the first word of the command line:
#   arm        check everything that can be checked, back up, stage, validate, set the timer
#   change     arm and install, where no login is rehearsed in between
#   rehearse   serve one connection, on standard input and output, with the candidate or with the file that is named
#   install    put the new files in place and restart sshd
#   confirm    over a login that was made after the change
#   revert     root runs it
#   expire     the timer runs it at the deadline
#   boot       the machine runs it at the boot, before sshd
#   recover    the next run calls it: it has found the lock of this run, which has died
# Until a file may be new, each of these aborts the run and leaves nothing of it.
#
# Given: RUN (its directory) ID STATE CONFIG SSHD PIDFILE LOOK UNIT MANAGER PRESENT COUNT (of files) FILES (the same in
# words) DEADLINE_S ACTION (restart, reload, none) DESCRIBED (what the manager said of the unit when the plan was made)
# CANDIDATE (the file that contains the new configuration), and the functions restart_unit, is_active, find_obstacle,
# detect_init, set_timer, cancel_timer, hook_boot, unhook_boot, expectations, target_of (sets target for a number),
# identities (prints which files and directories sshd reads beside the main file, a line for each that no change leaves as
# it is; fails where others may do).
# The comment above a function names what it sets, and what it reads that neither it nor a function that it calls has set.
# A test compares this with the code. A shell has no local variables.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

# --- the records --------------------------------------------------------------------------------------------

# begin_step NAME: everything up to pass_step or fail_step is this step.
# Sets since step.
begin_step() { step=$1; now; since=$now; }

# pass_step TEXT: the step succeeded. If the record cannot be written, the login is lost and nobody can confirm.
# Reads since step.
pass_step() {
    now
    say step "$step ok $since $now $1" 2>/dev/null || stop tcp 'the login was lost' lost
}

# fail_step TEXT: the step failed; only report this.
# Reads since step.
fail_step() {
    now
    say step "$step failed $since $now $1"
}

# stop KIND TEXT [CAUSE]: the step failed; revert the change, then report.
stop() {
    fail_step "$2"
    say kind "$1"
    say reason "$2"
    say cause "$3"
    [ "$3" != not_ours ] || say place "$other"
    revert "$step failed"
    exit 1
} 2>/dev/null

# --- who decides, and the lock ------------------------------------------------------------------------------

# decide HOW: the first decision wins: of the confirmation, the timer or root.
# Reads RUN.
decide() {
    mkdir "$RUN/decided" 2>/dev/null || {
        [ -d "$RUN" ] && [ ! -d "$RUN/decided" ] || return 1
        free_room
        mkdir "$RUN/decided" 2>/dev/null || return 1
    }
    write_decision "$1" || :
}

# write_decision HOW: how the change ended. The process that reverts is noted before: who reads HOW waits for that process.
# Reads RUN.
write_decision() {
    [ "$1" != reverting ] || note $$ "$RUN/decided/by"
    note "$1" "$RUN/decided/how"
}

# read_decision: how, empty where nobody has decided.
# Reads RUN. Sets how.
read_decision() { line_of "$RUN/decided/how"; how=$line; }

# is_decision_whole: a decision is a directory and a word in it; the word was written, or the directory is gone.
# Reads RUN.
is_decision_whole() { read_decision; [ -n "$how" ] || [ ! -d "$RUN/decided" ]; }

# has_lock: the lock is that of this run.
# Reads ID STATE.
has_lock() { line_of "$STATE/lock"; case $line in "$ID "*) ;; *) return 1 ;; esac; }

# check_undecided: nobody has decided to revert in the meantime. In this order: when a run is removed its lock goes first, so
# that a decision which has gone already is not taken for none.
# Reads RUN.
check_undecided() {
    { [ ! -d "$RUN/decided" ] && has_lock; } || stop restart 'the host reverted the change before it was complete' expired
}

# is_untouched: no file was replaced yet. After a power cut the note of it may be lost while the new file is there.
# Reads RUN.
is_untouched() { [ ! -e "$RUN/installing" ] && { is_same_boot || for_each_file is_not_installed; }; }

# mark_state NAME: record the state of the run.
# Reads RUN nl. Sets complaint.
mark_state() {
    try write_text "yes$nl" "$RUN/$1" && return
    complaint=${complaint:-No space left}
    classify_complaint "$complaint"
    stop "$kind" "$RUN cannot be written: $complaint"
}

# remove_lock [PATH...]: remove these, then both names of the lock, if it is ours. Call it before unhook_boot: after a
# power cut between the two, the next boot cleans up.
# Reads ID STATE.
remove_lock() {
    ! has_lock || set -- "$@" "$STATE/new.$ID" "$STATE/lock"
    [ $# = 0 ] || rm -f "$@"
}

# is_same_boot: the machine was not rebooted since this run began.
# Reads RUN.
is_same_boot() { boot; line_of "$RUN/boot"; [ "$line" = "$boot" ]; }

# is_finished FILE: the process whose number is in a file of this run has ended, or is this one. That process checks the
# decision before each of its steps.
is_finished() {
    is_same_boot && line_of "$1" && [ -n "$line" ] && [ "$line" != $$ ] || return 0
    ! kill -0 "$line" 2>/dev/null
}

# remember: write what the other verbs need; they may run while no sshd runs.
# Reads ACTION RUN pid sshd. Sets following.
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

# recall: read what the first verb has written.
# Reads RUN. Sets init pid pidfile sshd words.
recall() {
    line_of "$RUN/listener"; pid=$line
    line_of "$RUN/words"; words=$line
    line_of "$RUN/sshd"; sshd=$line
    line_of "$RUN/init"; init=$line
    line_of "$RUN/pidfile"; pidfile=${pidfile:-$line}
}

# --- the verbs ----------------------------------------------------------------------------------------------

# arm: everything that leaves the host as it is, and the timer.
# Reads CANDIDATE CONFIG COUNT DEADLINE_S FILES RUN. Sets code.
arm() {
    begin_step back_up
    remember 2>/dev/null || stop no_space "$RUN cannot be written"
    for_each_file is_replaceable || stop "$kind" "$target cannot be replaced: $complaint" "$cause"
    for_each_file back_up_file || { classify_complaint "$complaint"; stop "$kind" "cannot back up $target: $complaint"; }
    pass_step "$RUN"
    begin_step compare
    for_each_file is_copy_unchanged || {
        is_unchanged && stop no_space "cannot back up $target: $RUN/$n.before is not a complete copy"
        stop changed_meanwhile "$target was edited after the plan was made"
    }
    pass_step "$FILES as planned"
    if [ "$COUNT" != 0 ]; then
        begin_step stage
        for_each_file stage_file || { classify_complaint "$complaint"; stop "$kind" "$target cannot be replaced: $complaint" "$cause"; }
        pass_step ''
    fi
    begin_step validate
    note_identities
    expectations check_before || stop "$kind" "$problem"
    if [ -z "$answer" ]; then # no connection could be made up to ask about
        ask_sshd "$CONFIG" '' || stop config_broken "sshd refuses the present configuration: $answer"
        [ "$COUNT" = 0 ] || ask_sshd "$CANDIDATE" '' || stop validate "sshd refuses the new configuration: $answer"
    fi
    can_restart || stop "$kind" "$problem" "$cause"
    pass_step 'sshd reads the present and the new files as predicted'
    begin_step arm
    detect_init
    echo "$init" >"$RUN/init"
    printf '%s' "$pidfile" >"$RUN/pidfile"
    # The timer first: if the script dies between the two, the timer cleans up.
    now
    try start_timer || {
        classify_complaint "$complaint"
        stop "$kind" "cannot arm the guard: $complaint" not_armed
    }
    try hook_boot
    code=$?
    umask 077 # a file of the service manager is for all to read
    case $code in
        0) pass_step "reverts by itself after $DEADLINE_S s, or at a reboot" ;;
        2) pass_step "reverts by itself after $DEADLINE_S s; a reboot before that is not noticed on this host" ;;
        *)
            classify_complaint "$complaint"
            stop "$kind" "cannot arm the guard for a reboot: $complaint" not_armed
            ;;
    esac
}

# start_timer: also reserve disk space for the notes that it writes.
# Reads RUN.
start_timer() { reserve_room && echo $((${now%.*} + DEADLINE_S)) >"$RUN/armed" && set_timer; }

# install: the change itself.
# Reads ACTION COUNT FILES UNIT pid. Sets old.
install() {
    old=$pid
    if [ "$COUNT" != 0 ]; then
        begin_step install
        check_undecided
        for_each_file is_safely_placed || stop "$kind" "$target cannot be replaced: $complaint" "$cause"
        for_each_file is_unchanged || stop changed_meanwhile "$target was edited while this ran"
        mark_state installing
        for_each_file install_file || { classify_complaint "$complaint"; stop "$kind" "$target cannot be replaced: $complaint"; }
        is_as_validated || expectations check_after || stop "$kind" "$problem"
        pass_step "$FILES"
    fi
    if [ "$ACTION" != none ]; then
        begin_step restart
        check_undecided
        mark_state installing
        [ "$ACTION" = restart ] || old=''
        tell_older_sessions
        restart_and_wait || stop restart "$problem"
        pass_step "${UNIT:-sshd}"
    fi
    check_undecided
    mark_state installed
    say end changed 2>/dev/null || stop tcp 'the login was lost' lost
}

# confirm: called over a login that was made after the change. The timer stays: if sshd has crashed before the deadline, it
# still reverts the change.
# Reads RUN STATE.
confirm() {
    begin_step confirm
    if [ ! -e "$RUN/installed" ]; then
        fail_step 'the change is not complete yet'
        say end unproved
        exit 1
    fi
    decide applied || wait_until 50 is_decision_whole
    read_decision
    if [ "$how" = applied ]; then
        # What is reported must survive a power cut.
        flush "$RUN/decided/how" "$RUN/decided" "$RUN"
        remove_lock "$STATE/taken_back" "$RUN"/candidate.* "$RUN"/room.*
        unhook_boot
        prune
        pass_step ''
        tell_complaints
        say end applied
    else
        fail_step "the change has ended: $how"
        say end "$how"
        exit 1
    fi
}

# revert WHY: back to the old bytes and the old sshd; safe to be called at any time, any number of times.
# Reads RUN. Sets step.
revert() {
    begin_step revert
    if ! decide reverting; then
        is_left_to_revert "$1" || return $code
        write_decision reverting
    fi
    wait_until 300 is_finished "$RUN/pid"
    if is_untouched; then
        abort
        say end refused
        return 0
    fi
    put_back
    if [ $worst = rolled_back ]; then
        clear_up "$1"
        step=revert
        now
        say step "revert ok $since $now $1; the old files are restored and sshd runs with them" 2>/dev/null
    else
        write_decision unproved
        fail_step "$problem" 2>/dev/null
    fi
    say end $worst 2>/dev/null
    [ $worst = rolled_back ]
}

# is_left_to_revert WHY: another process has decided before: wait until it ends, then check whether anything is left to
# do. Otherwise code is the exit status.
# Reads RUN STATE. Sets code.
is_left_to_revert() {
    code=0
    wait_until 50 is_decision_whole
    # Whoever decided waits for the change to stop: it has.
    line_of "$RUN/pid"
    [ "$line" != $$ ] || rm -f "$RUN/pid"
    wait_until 300 is_finished "$RUN/decided/by"
    if [ ! -d "$RUN" ]; then say end refused; return 1; fi
    read_decision
    case $how in
        applied)
            if [ "$1" != 'on request' ]; then say end applied; return 1; fi
            code=1
            line_of "$STATE/lock"
            if [ -n "$line" ]; then
                say reason "run ${line%% *} is in progress; the old content is $RUN/1.before"
                say end refused
                return 1
            fi
            for_each_file is_installed || {
                say reason "$target was edited since; the old content is $RUN/$n.before"
                say end refused
                return 1
            }
            ;;
        rolled_back) if for_each_file is_restored; then say end rolled_back; return 1; fi ;;
    esac
}

# put_back: restore the files, then restart the sshd that has read them. worst is the result.
# Reads RUN. Sets again complaint patience problem worst.
put_back() {
    worst=rolled_back complaint=''
    for_each_file is_restored || rm -f "$RUN/back"
    for_each_file put_back_file || { worst=unproved; problem="cannot restore $target${complaint:+: $complaint}"; }
    # By the clock of process starts: `self` is a process of this very moment.
    [ $worst = unproved ] || [ -e "$RUN/back" ] || note "$(started_of self; echo "$started")" "$RUN/back"
    # Whatever listens on these addresses now may have read the new files: another process must come.
    find_old
    if [ -e "$RUN/restarting" ] && ! is_over "$RUN" "$old" && { is_same_boot || is_active </dev/null >/dev/null 2>&1; }; then
        # No daemon is the worst case: a process that still holds its port gets some seconds to end.
        again=yes
        now
        patience=$((${now%.*} + 15))
        until restart_and_wait; do
            now
            [ "${now%.*}" -lt $patience ] || { has_old_values || worst=unproved; break; }
            sleep 2
        done
    fi
}

# find_old: set old to the sshd that listens where the previous sshd listened.
# Reads ACTION LOOK RUN. Sets old wanted.
find_old() {
    old=''
    line_of "$RUN/sockets"
    wanted=$line
    [ "$ACTION" = restart ] && [ "$LOOK" = yes ] && [ -n "$wanted" ] || return 0
    find_listeners
    old=$listener
}

# settle: do not repeat a failed restart unless root asks for it, and do not touch a file that somebody may have repaired.
# Reads RUN.
settle() {
    begin_step revert
    find_old
    if is_over "$RUN" "$old"; then clear_up 'its restart failed, and sshd was started since'; return; fi
    fail_step 'sshd has not started since its restart failed'
    return 1
}

# clear_up WHY: the old files are back, and sshd has read them.
# Reads ID STATE.
clear_up() {
    # In this order a survey sees the run as pending or as reverted at any time.
    note "$ID $(date -u +%Y-%m-%dT%H:%M:%SZ) $1" "$STATE/taken_back"
    write_decision rolled_back
    cancel_timer
    remove_lock
    unhook_boot
    free_room
    prune
}

# abort: nothing was changed yet; remove everything of this run.
# Reads RUN.
abort() {
    remove_staged_files
    cancel_timer
    remove_lock
    unhook_boot
    rm -rf "$RUN"
} 2>/dev/null

# expire: the deadline has passed. A confirmed change stays, unless sshd has ended since and the files are still those of
# this run. After a revert there is nothing to do: the files may be those of a later run.
# Reads ACTION DEADLINE_S RUN STATE. Sets old tries.
expire() {
    cancel_timer() { :; } # it would end this very process
    read_decision
    case $how in
        applied) ;;
        rolled_back) return ;;
        *) revert "not confirmed within $DEADLINE_S s"; return ;;
    esac
    rm -f "$RUN/sleeper"
    old=''
    tries=0
    while [ $tries -lt 3 ]; do
        if [ "$ACTION" = none ] || [ ! -e "$RUN/restarting" ] || [ -e "$STATE/lock" ]; then return; fi
        # Not is_up: somebody may have given it other addresses since.
        if is_active </dev/null >/dev/null 2>&1 && is_anybody_listening; then return; fi
        tries=$((tries + 1))
        sleep 1
    done
    for_each_file is_installed || return
    write_decision reverting
    revert 'sshd was confirmed, but it was not running at the end of the time limit'
}

# --- the command line --------------------------------------------------------------------------------------

PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
umask 077
LC_ALL=C
export LC_ALL PATH
# A lost login must not end this script, and the script must notice it.
trap '' HUP PIPE
cause='' safe='' again='' answer='' pid='' listener='' command_line='' pidfile=$PIDFILE unit=$UNIT manager=$MANAGER
# Who can swap this file for another is root already; but what lies beside it must not be used either. The first half of a
# change and its rehearsal come at once after prepare.sh, which has looked, and from then on only root could let others in.
case $1 in
    arm | change | rehearse) ;;
    install) are_safely_placed ;;
    *) is_ours "$RUN" ;;
esac || {
    say kind read_only
    say reason "nothing was done: another account than root may write to $other"
    say cause not_ours
    say place "$other"
    say end unproved
    exit 1
}
if [ "$1" = rehearse ]; then
    recall
    set -f
    echo 'SKA1 READY' >&2
    # Its standard input and output are the connection.
    # shellcheck disable=SC2086 # the daemon's words were split on purpose
    exec "$sshd" $words -f "${2:-$CONFIG}" -i 2>/dev/null
fi
case $1 in
    arm | change)
        case $LOOK in
            yes) find_listener || : ;;
            pidfile) line_of "$PIDFILE" && pid=$line && read_command_line "$pid" ;;
        esac
        find_sshd
        echo $$ >"$RUN/pid"
        arm
        if [ "$1" = change ]; then install; else say end ready 2>/dev/null || stop tcp 'the login was lost' lost; fi
        ;;
    install)
        echo $$ >"$RUN/pid"
        recall
        install
        ;;
    confirm) recall; confirm ;;
    revert | restore) recall; revert 'on request' ;; # earlier versions called it restore
    recover)
        recall
        read_decision
        case $how in
            applied | rolled_back) unhook_boot; exit 0 ;;
            unproved) [ ! -e "$RUN/back" ] || { settle; exit; } ;;
        esac
        revert 'its run was interrupted'
        read_decision
        [ ! -d "$RUN" ] || [ "$how" = rolled_back ]
        ;;
    expire) recall; open_log expire.log; expire >"$log" 2>&1 ;;
    boot)
        recall
        ! is_same_boot || exit 0
        read_decision
        case $how in
            applied | rolled_back) remove_lock; unhook_boot ;;
            *) open_log expire.log; revert 'the host was rebooted before the change was confirmed' >"$log" 2>&1 ;;
        esac
        ;;
    *) echo "usage: sh $0 confirm | revert" >&2; exit 2 ;;
esac
