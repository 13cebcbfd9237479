# Bring the guard and its data to the host, take the lock, and let the guard do the first half of the change.
#
# Given: STATE RUN ID DEADLINE_S PHASE (arm, change) GUARD (the text of guard.sh), and the function write_files.
# shellcheck shell=sh disable=SC2154

refuse() {
    say kind "$1"
    say reason "$2"
    say cause "$3"
    [ "$3" != not_ours ] || say place "$other"
    say end refused
    exit 1
}

# put NAME CONTENT: one file of the run.
put() {
    written=$((written + ${#2}))
    try write_text "$2" "$RUN/$1" || cannot_put "$1"
}

cannot_put() {
    rm -rf "$RUN"
    rm -f "$mine" "$STATE/lock"
    refuse_for "$RUN/$1 cannot be written: ${complaint:-No space left}"
}

# all_put: the sizes tell a full disk even where printf does not.
all_put() {
    sizes=$(wc -c "$RUN"/*)
    sizes=${sizes##*"$nl"} # of several files the last line is the total
    # shellcheck disable=SC2086 # a number and a word
    set -- $sizes
    [ "$1" -eq $written ] || cannot_put '*'
}

# refuse_for COMPLAINT: with the word for what the system complains about.
refuse_for() {
    case $1 in
        *'No space'* | *uota*) refuse no_space "$1" ;;
        *) refuse read_only "$1" ;;
    esac
}

# is_dead: the run of the lock in $holder … $began will never end by itself: the machine was rebooted, its
# time is over, it failed to take its change back, or its script died before a timer was set.
is_dead() {
    now
    boot
    [ "$booted" = "$boot" ] && [ "${now%.*}" -lt "$expires" ] || return 0
    line_of "$STATE/$holder/decided/how"
    case $line in unproved | unknown) return 0 ;; esac # unknown: an earlier version
    [ ! -e "$STATE/$holder/armed" ] || return 1
    started_of "$by" && [ "$started" = "$began" ] && return 1
    return 0
}

# read_lock: read the lock; fails when there is none.
read_lock() { { read -r holder expires booted by began <"$STATE/lock"; } 2>/dev/null; }

# take_lock: allow one run at a time for one configuration. The lock is one file that appears complete or not at all. It
# outlives its run only if the host or the guard died: then that run is reverted first, because nobody confirmed it.
take_lock() {
    started_of self
    now
    boot
    mine=$STATE/new.$ID
    words="$ID $((${now%.*} + DEADLINE_S + 120)) $boot ${stat%% *} $started"
    try write_text "$words$nl" "$mine"
    [ -s "$mine" ] || { rm -f "$mine"; refuse_for "$mine cannot be written: ${complaint:-No space left}"; }
    problem='' why=at_work
    complaint=$(ln "$mine" "$STATE/lock" 2>&1) || take_over || {
        rm -f "$mine"
        [ -z "$problem" ] || { say holder "$STATE/$holder"; refuse locked "$problem" "$why"; }
        refuse_for "$complaint"
    }
    # We have the lock, so nobody needs what dead runs have left of theirs. Ours is removed with the lock.
    for each in "$STATE"/new.*; do [ "$each" = "$mine" ] || rm -f "$each"; done
}

# claim RUN: only one process may remove the lock of a dead run. If it dies meanwhile, it leaves a lock of its own, which
# the next process claims.
claim() {
    ln "$mine" "$STATE/claim.$1" 2>/dev/null && return
    { read -r holder _ booted by began <"$STATE/claim.$1"; } 2>/dev/null || return 1
    if [ "$booted" = "$boot" ] && started_of "$by" && [ "$started" = "$began" ]; then return 1; fi
    claim "$holder"
}

# take_over: remove the lock of a dead run, and no other.
take_over() {
    # A lock appears complete: half a lock is left by a power cut and belongs to nobody.
    read_lock || holder='' booted=''
    [ -e "$STATE/lock" ] || { complaint=$(ln "$mine" "$STATE/lock" 2>&1); return; }
    dead=$holder
    if ! is_dead; then
        problem="run $holder holds the lock $STATE/lock for another $((expires - ${now%.*})) s at most"
        why=at_work
        [ ! -e "$STATE/$holder/installed" ] || [ -e "$STATE/$holder/decided" ] || why=not_confirmed
        return 1
    fi
    if ! claim "$dead"; then
        problem="another run is removing the lock of run $dead"
        return 1
    fi
    problem="run $dead was never confirmed and could not be reverted completely" why=not_taken_back said=''
    if [ -e "$STATE/$dead/guard.sh" ]; then said=$(sh "$STATE/$dead/guard.sh" recover 2>/dev/null </dev/null); fi
    code=$?
    case $said in *'revert failed '*) said=${said#*revert failed * * } problem="$problem: ${said%%"$nl"*}" ;; esac
    if [ $code = 0 ]; then
        read_lock || holder=''
        [ "$holder" != "$dead" ] || rm -f "$STATE/lock"
    fi
    rm -f "$STATE"/claim.*
    [ $code = 0 ] || return 1
    ln "$mine" "$STATE/lock" 2>/dev/null && return
    why=at_work
    problem="another run has just taken the lock $STATE/lock"
    return 1
}

# settle_old: a run of an earlier version, in the old place, must be over before ours begins; one that is dead is undone.
# Where another account may write to that place, nothing in it counts.
settle_old() {
    find_old_state
    [ -n "$OLD" ] && [ -e "$OLD/lock" ] && is_ours "$OLD" || return 0
    ours=$STATE STATE=$OLD
    if read_lock; then
        is_dead || refuse locked "run $holder holds the lock $OLD/lock for another $((expires - ${now%.*})) s at most"
        [ ! -e "$OLD/$holder/guard.sh" ] || sh "$OLD/$holder/guard.sh" recover >/dev/null 2>&1 </dev/null ||
            { say holder "$OLD/$holder"; refuse locked "run $holder was never confirmed and could not be reverted" earlier_run; }
    fi
    rm -f "$OLD/lock"
    STATE=$ours
}

# can_hold_state: the place for our own files is root's alone; that of another account is its own. Sets other, as is_ours.
# shellcheck disable=SC3067 # as is_ours
can_hold_state() {
    is_ours "$STATE" || return 1
    [ ! -O / ] || return 0
    for other in "${STATE%/*}" "$STATE"; do
        [ -e "$other" ] || [ -L "$other" ] || continue
        [ -O "$other" ] && [ ! -L "$other" ] || return 1
    done
}

# make_state: what is missing of it; what root makes where only root may write is root's alone. Made with mode 0700 in one
# step, since a default ACL of the one above counts more than the umask. Another run may make it at the same time.
make_state() {
    [ -d "${STATE%/*/*}" ] || mkdir -p "${STATE%/*/*}" || return 1
    if [ -d "$STATE" ]; then chmod 0700 "${STATE%/*}" "$STATE"; return; fi
    set -- "$STATE"
    if [ -d "${STATE%/*}" ]; then chmod 0700 "${STATE%/*}" || return 1; else set -- "${STATE%/*}" "$STATE"; fi
    { mkdir -m 0700 "$@" && relabel "$@"; } || [ -d "$STATE" ]
}

umask 077
can_hold_state || refuse read_only "$STATE is not safe for backups: another account than this one may write to $other" not_ours
try make_state || refuse_for "$complaint"
settle_old
take_lock
complaint=$(mkdir -m 0700 "$RUN" 2>&1) || { rm -f "$mine" "$STATE/lock"; refuse_for "$complaint"; }
written=0
put guard.sh "$GUARD"
put stderr ''
write_files
all_put
# Not exec: whatever happens to the guard, the shell still reads this script's last line.
sh "$RUN/guard.sh" "$PHASE" </dev/null 2>"$RUN/stderr"
