# Count the sessions in the log of this host: whose, from where, how they ended, and how long the lost ones lasted. Writes
# nothing. The text logs come first, oldest first, then the journal; a line that both have counts once. Only counts leave
# the host.
#
# Given: DAYS, to look back; EFFECT, when sshd read its values, in seconds, 0 where nobody knows; STATE, where earlier runs
# are, empty where nobody knows; LIMIT_S, for all of it; LOGS, the directory of the text logs.
# shellcheck shell=sh disable=SC2034,SC2154

MOST_BYTES=1100000000 # of all text logs, the newest of them; a compressed byte counts as ten
MOST_LINES=1000000    # of the journal, the newest of them

# within PROGRAM...: run it until the time is up; then the counts are those of what was read.
within() {
    now
    left=$((deadline - ${now%.*}))
    [ $left -gt 0 ] || return 124
    if command -v timeout >/dev/null; then timeout $left "$@"; else "$@"; fi
}

# find_change: sets run to the last change that was confirmed, and EFFECT to its time where sshd was started again since.
find_change() {
    run=''
    [ "$EFFECT" -gt 0 ] && [ -d "$STATE" ] || return 0
    # shellcheck disable=SC2010 # the names are ours
    for each in $(ls -1r "$STATE" | grep -E '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]+$'); do
        line_of "$STATE/$each/decided/how"
        [ "$line" = applied ] || continue
        applied=$(date -r "$STATE/$each/decided/how" +%s)
        [ "$applied" -ge "$EFFECT" ] || EFFECT=$applied
        [ $((applied - EFFECT)) -gt 3600 ] || run=$each
        return
    done
}

# unpacker FILE: sets unpack to the program that prints the content of a log.
unpacker() {
    case $1 in
        *.gz) unpack=gzip ;;
        *.xz) unpack=xz ;;
        *.bz2) unpack=bzip2 ;;
        *.zst) unpack=zstd ;;
        *) unpack='' ;;
    esac
}

# choose_logs: sets logs to a line for each text log that is read, oldest first: how many bytes from its end, and its name.
# Where one of the first two exists, it holds what sshd says; else the log of everything does.
choose_logs() {
    logs='' left=$MOST_BYTES
    for base in auth.log secure messages; do
        # shellcheck disable=SC2153 # given
        [ -f "$LOGS/$base" ] || continue
        # shellcheck disable=SC2012 # the order of time is wanted; names with line ends are left out by the test
        for name in $(cd "$LOGS" && ls -1td "$base" "$base"[.-]* 2>/dev/null); do
            [ -f "$LOGS/$name" ] && [ -n "$(find "$LOGS/$name" -prune -mtime "-$((DAYS + 1))")" ] || continue
            unpacker "$name"
            if ! [ -r "$LOGS/$name" ] || { [ -n "$unpack" ] && ! command -v "$unpack" >/dev/null; }; then
                say unread "$LOGS/$name"
                continue
            fi
            [ $left -gt 0 ] || { say cut bytes; break; }
            size=$(($(wc -c <"$LOGS/$name")))
            [ -z "$unpack" ] || size=$((size * 10))
            [ $size -le $left ] || { size=$left; say cut bytes; }
            left=$((left - size))
            logs="$size $name$nl$logs"
        done
        break
    done
}

# keep_sessions: of a text log those lines that may tell of the begin or the end of a session.
keep_sessions() {
    within grep -aF -e ']: Accepted ' -e ']: Timeout, client not responding' -e ']: Received disconnect from ' \
        -e ']: Disconnected from ' -e ']: Connection closed by ' -e ']: Connection reset by ' -e ': Broken pipe' \
        -e ': Connection reset by peer' -e ' timed out' -e ': No route to host' -e ': Host is down' \
        -e ': Network is unreachable' -e ':session): session closed for user ' -e ']: terminating inactive connection' \
        -e ']: Exiting on signal' || [ $? -eq 1 ] || echo cut
}

# read_journal [OPTION]: what sshd says there.
read_journal() {
    within journalctl -q --no-pager -o short-iso -t sshd -t sshd-session --since "$from" "$@" || [ $? -eq 1 ] || echo cut
}

read_logs() {
    while read -r size name; do
        [ -n "$name" ] || continue
        unpacker "$name"
        if [ -n "$unpack" ]; then "$unpack" -dc <"$LOGS/$name"; else tail -c "$size" "$LOGS/$name"; fi | keep_sessions
    done <<END
$logs
END
    if [ -n "$first" ]; then
        echo journal
        read_journal -n $MOST_LINES
    fi
}

# count: a session begins with `Accepted`, said by the process that also says PAM's last word; whichever line about the
# address and port comes first afterwards tells how it ended. What a client wrote never stands at the begin of a message.
count() {
    awk -v since="$since" -v effect="$EFFECT" -v clock="$clock" -v zone="$zone" -v first="$first" '
        # days: since 1970, of a date.
        function days(y, m, d) {
            if (m < 3) { y--; m += 12 }
            return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * m - 457) / 5) + d - 719469
        }
        function of_zone(text,    sign) {
            if (text !~ /^[+-]/) return 0
            sign = substr(text, 1, 1) == "-" ? -1 : 1
            gsub(/[^0-9]/, "", text)
            return sign * (substr(text, 1, 2) * 3600 + substr(text, 3, 2) * 60)
        }
        function of_clock(text) { return substr(text, 1, 2) * 3600 + substr(text, 4, 2) * 60 + substr(text, 7, 2) }
        # of_iso: seconds of 2026-01-31T02:00:00.123+01:00.
        function of_iso(text,    tail) {
            if (substr(text, 1, 10) != date) {
                date = substr(text, 1, 10)
                base = days(substr(date, 1, 4) + 0, substr(date, 6, 2) + 0, substr(date, 9, 2) + 0) * 86400
            }
            tail = substr(text, 20)
            sub(/^[.,][0-9]+/, "", tail)
            if (tail != offset) { offset = tail; offset_s = of_zone(tail) }
            return base + of_clock(substr(text, 12)) - offset_s
        }
        # of_syslog: seconds of Jan 31 02:00:00; it is the last such day, and the zone is that of now.
        function of_syslog(month, day, time,    year) {
            if (month day != date) {
                date = month day
                month = (index("JanFebMarAprMayJunJulAugSepOctNovDec", month) + 2) / 3
                year = int(clock / 31556952) + 1970
                base = days(year + 1, month, day) * 86400 - here_s
                if (base > clock + 86400) base = days(year, month, day) * 86400 - here_s
                if (base > clock + 86400) base = days(year - 1, month, day) * 86400 - here_s
            }
            return base + of_clock(time)
        }
        function drop(key) {
            delete by_pid[pid_of[key]]
            delete pid_of[key]
            delete began[key]
            delete user[key]
            delete jumped[key]
            n_open--
        }
        function add(key, how, at,    part, period, group, lasted) {
            split(key, part, " ")
            period = effect > 0 && began[key] >= effect ? "new" : "old"
            group = period " " how " " user[key] " " part[1]
            if (!(group in n_of) && ++n_groups > 4000) group = period " " how " * *"
            n_of[group]++
            lasted = at - began[key]
            if (how !~ /^(timeout|cut|unknown)$/ || lasted < 0 || jumped[key] != n_jumps) return
            if (lasted >= 10000) lasted -= lasted % 100
            if (((group, lasted) in lived) || ++n_cells <= 50000) lived[group, lasted]++
        }
        # has_given_up: up to 7.8 the line names no address, and the process that says it is a child of the session.
        function has_given_up(pid, at,    other, nearest, found) {
            for (other in waiting) {
                if (at - waiting[other] > 5) delete waiting[other]
                else if (nearest == "" || (other + 0 - pid + 4194304) % 4194304 < nearest) {
                    nearest = (other + 0 - pid + 4194304) % 4194304
                    found = other
                }
            }
            if (nearest == "") return 0
            delete waiting[found]
            return 1
        }
        BEGIN {
            here_s = of_zone(zone)
            n_jumps = 0
            if (first != "") first = of_iso(first)
        }
        $0 == "journal" { in_journal = 1; next }
        $0 == "cut" { print "cut"; next }
        {
            if ($1 ~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T/) { at = of_iso($1); tag = 3 }
            else if ($1 ~ /^[A-Z][a-z][a-z]$/) { at = of_syslog($1, $2, $3); tag = 5 }
            else next
            # busybox tells the facility and the level as well.
            if (tag == 5 && $5 ~ /^[a-z0-9]+\.[a-z]+$/) tag = 6
            if ($tag !~ /^sshd[a-z0-9.-]*\[[0-9]+\]:$/ || at < since) next
            if (first != "" && !in_journal && at > first) next
            # Both have lines of the second in which the journal begins, and may date one a second apart.
            if (first != "" && at >= first - 1 && at <= first + 1) {
                line = substr($0, index($0, $tag))
                if (!in_journal) n_told[line]++
                else if (n_told[line]-- > 0) next
            }
            if (!began_at) began_at = at
            if (at < last_at - 2) n_jumps++
            last_at = at
            message = substr($0, index($0, $tag) + length($tag) + 1)
            if (message ~ /\[preauth\]$/) next
            sub(/^(fatal|error): /, "", message)
            pid = substr($tag, index($tag, "[") + 1) + 0
            if (message ~ /^Accepted /) {
                split(message, word, " ")
                if (word[3] != "for" || word[5] != "from" || word[7] != "port") next
                # `sshd -i` of a rehearsal or of probe --fast, which no client uses.
                if (word[6] == "UNKNOWN") next
                key = word[6] " " word[8] + 0
                if (key in began) { add(key, "open", at); drop(key) }
                if (n_open >= 100000) { n_left_out++; next }
                began[key] = at
                user[key] = substr(word[4], 1, 64)
                jumped[key] = n_jumps
                if (pid in by_pid) delete pid_of[by_pid[pid]]
                pid_of[key] = pid
                by_pid[pid] = key
                n_open++
                next
            }
            if (message ~ /^Timeout, client not responding/) how = "timeout"
            else if (message ~ /^(Received disconnect|Disconnected) from /) how = "peer"
            else if (message ~ /^Connection closed by /) how = "unknown"
            else if (message ~ /^Connection reset by |: (Broken pipe|Connection reset by peer|Connection timed out|No route to host|Host is down|Network is unreachable)$|^Connection from .* timed out$/) how = "cut"
            else if (message ~ /^(terminating inactive connection|Exiting on signal)/) how = "host"
            else if (message ~ /^pam_[a-z0-9_]+\(sshd[a-z.-]*:session\): session closed for user /) how = "closed"
            else next
            if (how != "closed" && match(message, /(UNKNOWN|[0-9A-Fa-f:.]+(%[^ ]+)?) port [0-9]+/)) {
                split(substr(message, RSTART, RLENGTH), word, " ")
                key = word[1] " " word[3] + 0
            }
            else if (pid in by_pid) key = by_pid[pid]
            else { if (how == "timeout") waiting[pid] = at; next }
            if (!(key in began)) next
            if (how == "closed") how = has_given_up(pid, at) ? "timeout" : "unknown"
            add(key, how, at)
            drop(key)
        }
        END {
            for (key in began) add(key, "open", last_at)
            printf "seen %.0f %.0f\n", began_at, last_at
            printf "left-out %.0f\n", n_left_out
            for (cell in lived) {
                split(cell, part, SUBSEP)
                list[part[1]] = list[part[1]] " " part[2] "*" lived[cell]
            }
            for (group in n_of) print "group", group, n_of[group] list[group]
        }'
}

losses() {
    now
    deadline=$((${now%.*} + LIMIT_S))
    clock=$(date +%s) zone=$(date +%z) first=''
    since=$((clock - DAYS * 86400))
    find_change
    say effect "$EFFECT $run"
    choose_logs
    if command -v journalctl >/dev/null; then
        TZ=UTC0
        export TZ
        from=$(date -u -d "@$since" '+%Y-%m-%d %H:%M:%S')
        first=$(read_journal | head -n 1)
        first=${first%% *}
        case $first in [0-9][0-9][0-9][0-9]-*) ;; *) first='' ;; esac
    fi
    say sources "$(printf %s "$logs" | wc -l) $first"
    say counts "$(read_logs | count)"
}

losses 2>/dev/null
