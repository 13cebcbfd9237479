# Observe a host: its files, what sshd makes of them, and the daemon that runs. Writes nothing. Only if it verifies a
# change and everything is as predicted, it calls the guard to confirm.
#
# Given: CONFIG SSHD PIDFILE LOOK (yes: find the daemon; pidfile; no: believe the inventory) USERS (for -C)
# EXTRA (patterns of an Include that the last survey missed) AGAIN (yes: this run has already found out how the daemon was
# started) CR (a carriage return) AGENTS (of tell_agents) EXPECTED (the records once a change is in effect; empty: nothing
# is to be confirmed) VARIES (kinds of records that EXPECTED lacks) GUARD (guard.sh of that change), and
# the functions detect, find_unit, is_active.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

told='' changes='' loaded=''
# say KIND TEXT: as in common.sh; what EXPECTED predicts is kept.
if [ -n "$EXPECTED" ]; then
    say() {
        printf '%s %s\n%s\n' "$1" "${#2}" "$2"
        case " $VARIES " in *" $1 "*) ;; *) told="$told$1 ${#2}$nl$2$nl" ;; esac
    }
fi

# details PATH...: sets lines to size, mtime and ctime of each, one line each, links followed.
details() {
    lines=$(stat -L -c '%s %.6Y %.6Z' -- "$@" 2>/dev/null) && return
    # A FIFO's or a vanished file's line is missing then: the reader counts the lines.
    lines=${lines:+$lines$nl}$(stat -L -f '%z %Fm %Fc' -- "$@" 2>/dev/null)
}

# tell_files PATH...: the files of one Include level, and their content in one piece. Sets content, of which a shell drops NUL
# bytes: then the program tells it.
tell_files() {
    [ $# -gt 0 ] || return 0
    for path; do
        say path "$path"
        if [ -L "$path" ]; then say real "$(readlink -f "$path")"; fi
    done
    details "$@"
    say details "$lines"
    changes=$changes$lines$nl total=0
    while read -r size _; do total=$((total + size)) told="$told$size$nl"; done <<END
$lines
END
    # The last line, which keeps the line ends before it, comes from the same process.
    content=$(
        exec cat -- "$@" - <<END
.
END
    )
    content=${content%.}
    if [ ${#content} = "$total" ]; then say content "$content"; return; fi
    printf 'content %s\n' "$total"
    cat -- "$@"
    printf '\n'
}

# find_includes: sets wanted to the patterns that content includes, one a word, roughly: the
# controller recognises a pattern with spaces or escapes, and asks again.
# A Match among them is recorded as //match//, a ModuliFile as //moduli//.
find_includes() {
    wanted='' blank=' 	'
    IFS=$nl
    set -f
    for line in $content; do
        case $line in
            *[Ii][Nn][Cc][Ll][Uu][Dd][Ee]* | *[Mm][Aa][Tt][Cc][Hh]* | *[Mm][Oo][Dd][Uu][Ll][Ii][Ff][Ii][Ll][Ee]*) ;;
            *) continue ;;
        esac
        while :; do
            case $line in *[\""$CR"]*) line=${line%%[\""$CR"]*}${line#*[\""$CR"]} ;; *) break ;; esac
        done
        line=${line#"${line%%[!"$blank"=]*}"}
        case $line in
            [Mm][Aa][Tt][Cc][Hh]*) wanted="$wanted //match//" ;;
            [Mm][Oo][Dd][Uu][Ll][Ii][Ff][Ii][Ll][Ee]*) wanted="$wanted //moduli//" ;;
            [Ii][Nn][Cc][Ll][Uu][Dd][Ee]["$blank"=]*) line=${line%%["$blank"]#*} wanted="$wanted ${line#????????}" ;;
        esac
    done
    IFS=$space
    set +f
}

# expand PATTERN: the regular files it names, in $found one after the other, each recorded as a match.
expand() {
    case $1 in /*) pattern=$1 ;; *) pattern=/etc/ssh/$1 ;; esac
    say glob "$pattern"
    IFS=''
    # shellcheck disable=SC2086 # globbing is the point, IFS keeps spaces whole
    set -- $pattern
    IFS=$space
    directory=${pattern%/*}
    case $pattern in *[*?[]*) [ ! -d "$directory" ] || folders=$folders$directory$nl ;; esac
    for path; do
        if [ -f "$path" ]; then
            say match "$path"
            if [ -r "$path" ]; then found="$found$path$nl"; else say unreadable "$path"; fi
        elif [ -L "$path" ]; then say dangling "$path"
        elif [ -d "$path" ]; then :
        elif [ -e "$path" ]; then say irregular "$path"; fi
    done
}

# read_tree: the main file and all it includes, level by level, at most 16 deep as sshd allows.
read_tree() {
    space=$IFS asked=$nl depth=0 matches=no moduli=compiled_in folders=''
    if [ ! -e "$CONFIG" ]; then say absent "$CONFIG"
    elif [ ! -r "$CONFIG" ]; then say unreadable "$CONFIG"; return
    elif [ ! -f "$CONFIG" ]; then say irregular "$CONFIG"; return
    fi
    found=''
    [ -f "$CONFIG" ] && found=$CONFIG$nl
    IFS=$nl
    set -f
    # shellcheck disable=SC2086 # one pattern a line
    set -- $EXTRA
    set +f
    IFS=$space
    for pattern; do expand "$pattern"; done
    while [ -n "$found" ] && [ $depth -le 17 ]; do
        depth=$((depth + 1))
        IFS=$nl
        set -f
        # shellcheck disable=SC2086 # one word a line
        set -- $found
        IFS=$space
        tell_files "$@"
        found=''
        find_includes
        set -f
        for pattern in $wanted; do
            # Each pattern once: a file that includes itself ends here.
            case $pattern in //match//) matches=yes; continue ;; //moduli//) moduli=named; continue ;; esac
            case $asked in *"$nl$pattern$nl"*) continue ;; esac
            asked=$asked$pattern$nl
            set +f
            expand "$pattern"
            set -f
        done
        set +f
    done
}

tell_daemon() {
    say pid "$pid"
    say command "$command_line"
    [ -n "$pid" ] || return 0
    IFS=$nl
    set -f
    # shellcheck disable=SC2086 # one word a line
    set -- $folders
    set +f
    IFS=$space
    for directory; do say directory "$directory"; done
    # The daemon writes its PID file at the end of every start, also after SIGHUP: the moment it last read its files.
    pidfile=$PIDFILE
    [ -n "$pidfile" ] || pidfile_of
    if line_of "$pidfile" && [ "$line" = "$pid" ]; then
        details "$pidfile" "$@"
        say loaded "$lines"
        changes=$changes$lines$nl loaded=${lines%%"$nl"*}
        return
    fi
    if [ $# != 0 ]; then
        details "$@"
        say folders "$lines"
    fi
    # Without one: when the process was started. The clock was read between two uptimes: a busy host may take a while.
    started_of "$pid"
    say started "$started"
    say hertz "$(getconf CLK_TCK 2>/dev/null || echo 100)"
    now
    say before "$now"
    say clock "$(date -u +%s.%N)"
    now
    say uptime "$now"
}

VENDOR=/usr/etc/ssh/sshd_config

# is_vendor_read: SUSE's sshd reads the vendor's file where /etc/ssh/sshd_config is absent. Without -f it must tell the
# same as with that file; any other sshd refuses to be asked without one.
is_vendor_read() {
    [ ! -e "$CONFIG" ] && [ ! -L "$CONFIG" ] && [ -e "$VENDOR" ] || return 1
    [ -r "$VENDOR" ] || return 0 # which is what is said of it
    tell "" "" || return 1
    found=$answer
    tell "$VENDOR" "" && [ "$found" = "$answer" ]
}

# tell CONFIG SPEC: like ask; an account without root cannot read the host keys, so it asks for the values of everybody.
tell() {
    ask "$1" "$2" && return
    refusal=$answer
    if is_root || [ -n "$2" ] || ! { MODE=G && ask "$1" ""; }; then MODE=T answer=$refusal; return 1; fi
    MODE=T
}

# choose_config: the file that the daemon was started with, unless the inventory names one. Record a difference: sshd
# would never read what is written to the file of the inventory.
choose_config() {
    theirs='' doubt=no
    case " $words" in *' -f '*) theirs=${words##* -f } theirs=${theirs%% *} ;; esac
    if [ "$CONFIG_GIVEN" = no ]; then
        if [ -n "$theirs" ]; then CONFIG=$theirs; return; fi
        if is_vendor_read; then CONFIG=$VENDOR
        elif [ "$AGAIN" = no ] && [ -z "$SSHD" ] && [ "$LOOK" != no ]; then doubt=yes; fi
        return
    fi
    [ -n "$pid" ] || return
    if [ -n "$theirs" ]; then
        # A title has lost its quotes: a path with a space in it looks like two words.
        case $CONFIG in "$theirs"*) return ;; esac
        [ "$(readlink -f "$theirs")" = "$(readlink -f "$CONFIG")" ] || say elsewhere "$theirs"
    else
        grep -q -F -- "$CONFIG" "$sshd" || say elsewhere "the file that was compiled in"
    fi
}

# is_compiled_in: the program reads CONFIG by itself. It takes its moduli from the same directory where nothing else is set
# (pathnames.h), and prints that; otherwise the program contains the path. A wrapper in its place contains no path.
is_compiled_in() {
    case $moduli$nl$answer$nl in
        "compiled_in$nl"*"$nl"[Mm]oduli[Ff]ile" ${CONFIG%/*}/moduli$nl"*) [ "${CONFIG##*/}" != sshd_config ] || return 0 ;;
    esac
    grep -q -F -- "$CONFIG" "$sshd" || ! grep -q -F sshd_config "$sshd"
}

# tell_include: whether a release that has no Include upstream got it from its vendor. No version string tells: RHEL 8
# builds of 8.0p1 differ. As an option sshd refuses Include either way, but in other words when it knows the keyword.
tell_include() {
    case $(limited "$sshd" -t -o Include=none 2>&1 </dev/null) in
        *'Include directive not supported'*) say include backport ;;
    esac
}

# tell_system: kernel and distribution, for people.
tell_system() {
    if read -r kernel </proc/sys/kernel/ostype && read -r release </proc/sys/kernel/osrelease; then
        say system "$kernel $release"
    else
        say system "$(uname -sr)"
    fi
    [ -r /etc/os-release ] || return 0
    while IFS='=' read -r key value; do
        case $key in PRETTY_NAME) say os "$value"; return ;; esac
    done </etc/os-release
}

# tell_agents: programs that may write sshd_config, by what their packages install; a line each of $AGENTS, NAME|PATH.
# No process.
tell_agents() {
    agents=''
    while IFS='|' read -r name path; do
        case ,$agents, in *",$name,"*) ;; *) [ ! -e "$path" ] || agents=${agents:+$agents,}$name ;; esac
    done <<END
$AGENTS
END
    say agents "$agents"
}

# is_pending STATE: a change is not settled. Sets pending to its run, its phase, in how many seconds the guard reverts it, and
# its directory. Before a run touches anything the host is as it was, and so it is when somebody has repaired it since.
is_pending() {
    { read -r run expires _ <"$1/lock"; } 2>/dev/null || return 1
    folder=$1/$run
    [ -n "$run" ] && [ -e "$folder/installing" ] || return 1
    line_of "$folder/boot"
    boot
    phase=changing
    if [ "$line" != "$boot" ]; then phase=stuck
    elif [ -e "$folder/installed" ]; then phase=waiting; fi
    if [ -d "$folder/decided" ]; then
        line_of "$folder/decided/how"
        case $line in
            '') ;; # it is being decided
            applied | rolled_back) return 1 ;;
            unproved | unknown) phase=stuck; ! is_over "$folder" "$pid" || return 1 ;;
            *) phase=reverting ;;
        esac
    fi
    line_of "$folder/armed"
    case $line in '' | *[!0-9]*) ;; *) expires=$line ;; esac # an earlier version writes no time; the lock has one
    now
    pending="$run $phase $((expires - ${now%.*})) $folder"
}

# find_change: sets pending to the change that is not settled, empty where there is none.
find_change() { pending=''; is_pending "$STATE" || [ -z "$OLD" ] || is_pending "$OLD" || :; }

survey() {
    tell_system
    tell_agents
    pid='' listener='' command_line='' unit='' manager=''
    case $LOOK in
        yes) find_listener || say lost "no sshd among the ancestors of this login" ;;
        pidfile)
            line_of "$PIDFILE" && pid=$line
            if [ -n "$pid" ] && comm_of "$pid"; then read_command_line "$pid"; else say lost "no process behind $PIDFILE"; pid=''; fi ;;
    esac
    find_sshd
    if [ -z "$sshd" ]; then say nosshd "${SSHD:-not in the usual places}"; return; fi
    detect
    say manager "$manager"
    # Without a listener no process belongs to the unit.
    [ -n "$pid$PIDFILE" ] || [ "$LOOK" = no ] && find_unit
    say unit "$unit"
    following='' described=''
    [ -n "$pid" ] && [ "$AGAIN" = yes ] || next_start >/dev/null
    if [ -n "$following" ]; then say start "$following"; fi
    if [ -n "$described" ]; then say described "$described"; fi
    daemon_words
    choose_config
    say config "$CONFIG"
    find_state
    say state "$STATE"
    find_old_state
    find_change
    before=$pending
    read_tree
    # A daemon that let us in needs no manager's word for being up.
    if [ -n "$unit" ] && [ "$LOOK" != yes ]; then
        if is_active </dev/null >/dev/null 2>&1; then say active yes; else say active no; fi
    fi
    if tell "$CONFIG" ''; then say dump ''; say answer "$answer"; else say dump ''; say refusal "$answer"; fi
    [ $doubt = no ] || is_compiled_in || say elsewhere "the file that was compiled in"
    tell_daemon
    # Without a Match every connection gets what the blank one gets.
    [ $matches = yes ] || USERS=''
    for user in $USERS; do
        spec="user=$user,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
        if tell "$CONFIG" "$spec"; then say dump "$spec"; say answer "$answer"; else say dump "$spec"; say refusal "$answer"; fi
    done
    # The program that runs is the one on disk: then its version is known already.
    case $runs_as_it_is$BANNER in
        yes*OpenSSH_*) version=$BANNER ;;
        *) version=$(limited "$sshd" -V 2>&1 </dev/null | head -n 2) ;;
    esac
    say version "$version"
    case $version in *OpenSSH_[4-7].* | *OpenSSH_8.[01]*) tell_include ;; esac
    find_change
    # The files may be those of before its end, and the daemon that of after it.
    if [ -n "$pending" ]; then say pending "$pending"; elif [ -n "$before" ]; then say settled "${before%% *}"; fi
    ! line_of "$STATE/taken_back" || say reverted "$line"
    if [ -n "$EXPECTED" ] && [ "$told" = "$EXPECTED" ] && has_read_all; then
        say confirmation "$(sh "$GUARD" confirm)$nl"
    fi
}

# has_read_all: the daemon has written its PID file since the last change of each file and directory that it reads. Times of
# one length compare as words; any other is taken for a later one.
has_read_all() {
    [ "$LOOK" != no ] || return 0
    loaded=${loaded##* }
    while read -r _ modified changed; do
        for each in "$modified" "$changed"; do
            # shellcheck disable=SC3012 # POSIX 2024 has it, and all shells that serve as sh
            [ ${#each} -le ${#loaded} ] && ! [ "$each" \> "$loaded" ] || return 1
        done
    done <<END
$changes
END
}

survey 2>/dev/null
