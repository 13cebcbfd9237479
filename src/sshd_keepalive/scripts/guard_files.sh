# Files: what is compared, backed up, staged, installed and put back, and the notes of a run.
#
# The files of a run are numbered from 1 to COUNT: N.target (path), N.before (backup, with owner and mode; missing: the file
# is new), N.base (the content that the plan was made for), N.after (the content to be; missing: the file is removed).
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

# --- the files of the plan ----------------------------------------------------------------------------------

# for_each_file FUNCTION: call it for every file, with n, target and staged set; stop at the first that fails.
# Reads COUNT ID. Sets n staged.
for_each_file() {
    n=0
    while [ $n -lt "$COUNT" ]; do
        n=$((n + 1))
        target_of $n
        staged=${target%/*}/.sshd-keepalive.$ID.$n
        "$1" || return 1
    done
}

# is_absent: nothing has the name of the target.
# Reads target.
is_absent() { [ ! -e "$target" ] && [ ! -L "$target" ]; }

# is_unchanged: the file is still what the plan was made for, byte for byte.
# Reads RUN n target.
is_unchanged() { if [ -e "$RUN/$n.base" ]; then cmp -s "$RUN/$n.base" "$target"; else is_absent; fi; }

# is_copy_unchanged: the same of what was backed up: one comparison tells that the file is as planned and the copy good.
# Reads RUN n.
is_copy_unchanged() { if [ -e "$RUN/$n.base" ]; then cmp -s "$RUN/$n.base" "$RUN/$n.before"; else is_absent; fi; }

# is_installed: it is what it is to be.
# Reads RUN n target.
is_installed() { if [ -e "$RUN/$n.after" ]; then cmp -s "$RUN/$n.after" "$target"; else is_absent; fi; }

# is_not_installed: it is not, as a function for for_each_file.
is_not_installed() { ! is_installed; }

# is_restored: it is what it was before.
# Reads RUN n target.
is_restored() { if [ -e "$RUN/$n.before" ]; then cmp -s "$RUN/$n.before" "$target"; else is_absent; fi; }

# classify_complaint TEXT: which kind of failure a system's complaint stands for.
# Sets kind.
classify_complaint() {
    case $1 in
        *'No space left'* | *uota*) kind=no_space ;;
        *'Read-only file system'* | *'not permitted'* | *'ermission denied'*) kind=read_only ;;
        *) kind=validate ;;
    esac
}

# copy_file FROM TO: with owner, mode, ACL, extended attributes and label where cp can.
copy_file() {
    # Never a link: what is written into the copy would go through it into somebody's file.
    if [ -e "$2" ] || [ -L "$2" ]; then rm -f "$2"; fi
    cp -aL "$1" "$2" 2>/dev/null || cp -pL "$1" "$2" || return 1
    [ -f "$2" ] && [ ! -L "$2" ] || return 1
    [ ! -e /sys/fs/selinux/enforce ] || chcon "--reference=$1" "$2" 2>/dev/null || :
}

# flush PATH...: onto the disk. An old sync takes no names and flushes everything.
flush() { sync "$@" 2>/dev/null || sync; }

# read_attributes LINE: of ls -ln, the mode with the signs of ACL and label, the owner and the group; and the number of
# names.
# Sets look names.
read_attributes() {
    set -f
    # shellcheck disable=SC2086 # its fields are wanted
    set -- $1
    set +f
    look="$1 $3 $4" names=$2
}

# is_alike PATH COPY: owner, mode, ACL and label are the same; names is the number of names of PATH, the copy having one.
# Reads nl. Sets both first many names second.
is_alike() {
    both=$(ls -ldLn "$1" "$2")
    second=${both#*" $1$nl"} # ls sorts them; a path may hold line ends
    [ "$second" != "$both" ] || second=${both#*" $2$nl"}
    read_attributes "$both"
    first=$look many=$names
    read_attributes "$second"
    [ "$many" -le "$names" ] || names=$many
    [ "$first" = "$look" ]
}

# has_one_name: a rename would separate a file with several names from its other ones.
# Reads names. Sets cause complaint.
has_one_name() {
    [ "$names" -gt 1 ] || return 0
    complaint="it has $names names (hard links), and a replacement would part them"
    cause=hard_link
    return 1
}

# is_safely_placed: nobody but root can swap the target for something else. What was found so is kept in safe.
# Reads target. Sets cause complaint kind safe.
is_safely_placed() {
    case $safe in *"|${target%/*}|"*) return 0 ;; esac
    is_ours "${target%/*}" || {
        complaint="another account than root may write to $other"
        kind=read_only cause=not_ours
        return 1
    }
    safe="$safe|${target%/*}|"
}

# are_safely_placed: the same for the directory of the run and, if one call can find it out, for all targets.
# Reads COUNT RUN. Sets n safe.
are_safely_placed() {
    set -- "$RUN"
    n=0 safe='|'
    while [ $n -lt "$COUNT" ]; do
        n=$((n + 1))
        target_of $n
        set -- "$@" "${target%/*}"
        safe="$safe${target%/*}|"
    done
    is_ours "$@" || { safe='' && is_ours "$RUN"; }
}

# is_replaceable: it may be written. Opening it for reading and writing changes nothing, and fails for an immutable or
# append-only file.
# Reads target. Sets cause complaint.
is_replaceable() {
    is_safely_placed || return 1
    [ -e "$target" ] || return 0
    try open_target || {
        complaint=$(printf '%s\n' "$complaint" | sed -n '1s/.*: //p') # without the shell's own words
        classify_complaint "$complaint"
        cause=immutable
        case $complaint in *'Read-only'*) cause=mount ;; esac
        return 1
    }
}

# open_target: for reading and writing.
# Reads target.
open_target() { true 1<>"$target"; }

# back_up_file: keep its content, unless it is new, or gone.
# Reads RUN n target.
back_up_file() { [ ! -e "$RUN/$n.base" ] || [ ! -e "$target" ] || try copy_file "$target" "$RUN/$n.before"; }

# stage_file: write the new content beside its target, under a name that no Include of *.conf reads, with the owner,
# mode, ACL and label of the old file.
# Reads CONFIG RUN n staged target. Sets complaint like.
stage_file() {
    if [ ! -e "$RUN/$n.after" ]; then
        read_attributes "$(ls -ldn "$target")"
        has_one_name && flush "$RUN"/*
        return
    fi
    like=$target
    [ -e "$like" ] || like=$CONFIG
    try write_staged && cmp -s "$RUN/$n.after" "$staged" && flush "$staged" "$RUN"/* || return 1
    is_alike "$like" "$staged" || { complaint="owner, mode, ACL or label cannot be kept here"; return 1; }
    [ "$like" != "$target" ] || has_one_name
}

# write_staged: the file itself.
# Reads RUN like n staged target.
write_staged() { { [ -d "${target%/*}" ] || make_directory; } && copy_file "$like" "$staged" && cat "$RUN/$n.after" >"$staged"; }

# make_directory: for a new file. It is removed together with the file.
# Reads RUN n target.
make_directory() { echo yes >"$RUN/$n.made" && (umask 022 && mkdir -p "${target%/*}") && relabel "${target%/*}"; }

# remove_made_directory: if this run has made it and nothing else is in it.
# Reads RUN n target.
remove_made_directory() { [ ! -e "$RUN/$n.made" ] || rmdir "${target%/*}" 2>/dev/null || :; }

# remove_staged_files: all of them.
remove_staged_files() { for_each_file remove_staged_file; }

# remove_staged_file: one of them.
# Reads staged.
remove_staged_file() { rm -f "$staged" "$staged".*; remove_made_directory; }

# replace_target FILE: a rename is all or nothing, and brings the bytes that were compared before. A file that is a mount
# point of its own cannot be renamed over: it is written in place. Where FILE has gone the target stays as it is.
# Reads target.
replace_target() {
    mv -f "$1" "$target" 2>/dev/null && return
    [ -e "$1" ] && cat "$1" >"$target" && cmp -s "$1" "$target" && rm -f "$1"
}

# install_file: put the new content in the place of the old.
# Reads RUN n staged target.
install_file() {
    if [ -e "$RUN/$n.after" ]; then
        try replace_target "$staged" || return 1
        [ -e "$RUN/$n.before" ] || relabel "$target" # a new file; another one keeps the label that it had
    else
        try rm -f "$target"
        is_absent || return 1
    fi
    flush "${target%/*}"
}

# put_back_file: put the old content back. What somebody else has written there meanwhile is kept beside the backup.
# Reads RUN n staged target. Sets like.
put_back_file() {
    is_safely_placed || return 1
    rm -f "$staged"
    is_restored && { remove_made_directory; return 0; }
    if ! is_installed && [ -e "$target" ]; then copy_file "$target" "$RUN/$n.found"; fi
    if [ -e "$RUN/$n.before" ]; then
        like=$target
        [ -f "$like" ] && [ ! -L "$like" ] || like=$RUN/$n.before
        mkdir -p "${target%/*}"
        copy_file "$like" "$staged.$$" && cat "$RUN/$n.before" >"$staged.$$" && flush "$staged.$$" && replace_target "$staged.$$"
        is_restored || cat "$RUN/$n.before" >"$target" # no room beside it: in place
        rm -f "$staged.$$"
    else
        rm -f "$target"
        remove_made_directory
    fi
    if [ -d "${target%/*}" ]; then flush "${target%/*}"; else flush; fi
    is_restored
}

# --- the notes of the run -----------------------------------------------------------------------------------

# note TEXT FILE: write a line; if the disk is full, use the reserved space.
# Reads nl.
note() {
    write_text "$1$nl" "$2" && [ -s "$2" ] && return
    free_room
    write_text "$1$nl" "$2"
} 2>/dev/null

# open_log NAME: set log to a file of the run, empty. A command whose output cannot be opened would not be run at all. Not
# with `:`, a special built-in: dash, ksh and busybox end where its output cannot be opened (POSIX, 2.8.1).
# Reads RUN. Sets log.
open_log() {
    log=$RUN/$1
    { true >"$log"; } 2>/dev/null || { free_room; { true >"$log"; } 2>/dev/null; } || log=/dev/null
}

# reserve_room: a full disk must not stop a confirmation or a revert: reserve space before anything is changed, one
# file for each that a revert creates: expire.log, decided, how, by, back, taken_back.
# Reads RUN. Sets each.
reserve_room() { for each in 1 2 3 4 5 6; do printf '%4096s' '' >"$RUN/room.$each" || return 1; done; }

# free_room: release it.
# Reads RUN.
free_room() { rm -f "$RUN"/room.*; }

# prune: this run is kept and the nine newest of the others, by the clocks of the controllers that named them.
# Reads ID STATE. Sets run.
prune() {
    set -- "$STATE"/[0-9]*T*
    [ $# -gt 10 ] || return 0
    # shellcheck disable=SC2010,SC2012 # the names are ours
    ls -1 "$STATE" | grep -E '^[0-9]{8}T' | grep -v -x -F "$ID" | sort -r | sed 1,9d | while read -r run; do rm -rf "${STATE:?}/$run"; done
}
