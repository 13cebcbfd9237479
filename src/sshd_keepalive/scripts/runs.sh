# Record what one earlier run changed: the one in WANTED, else the latest that was confirmed, is no undo and was not
# undone since. Writes nothing. What another account may have put there is not read: `undo` would install it.
#
# Given: STATE WANTED.
# shellcheck shell=sh disable=SC2154

# tell_bytes KIND FILE: a record that holds a whole file.
tell_bytes() {
    [ -e "$2" ] || return 0
    printf '%s %s\n' "$1" "$(wc -c <"$2" | tr -d ' ')"
    cat "$2"
    printf '\n'
}

# can_read DIRECTORY: it is there, and all that lies in it is root's.
can_read() {
    [ -n "$1" ] && [ -d "$1" ] || return 1
    is_ours "$1" && return
    say unsafe "$other"
    return 1
}

find_old_state
can_read "$STATE" || STATE=''
can_read "$OLD" || OLD=''
undone=' '
# shellcheck disable=SC2010,SC2012 # the names are ours
for run in $(for place in "$STATE" "$OLD"; do [ -z "$place" ] || ls -1 "$place"; done |
    grep -E '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]+$' | sort -r); do
    folder=$STATE/$run
    [ -n "$STATE" ] && [ -d "$folder" ] || folder=$OLD/$run
    how=$(cat "$folder/decided/how" 2>/dev/null)
    if [ -n "$WANTED" ]; then
        [ "$run" = "$WANTED" ] || continue
    else
        [ "$how" = applied ] || continue
        [ -e "$folder/1.target" ] || continue
        case $undone in *" $run "*) continue ;; esac
        if [ -e "$folder/undoes" ]; then
            undone="$undone$(cat "$folder/undoes") "
            continue
        fi
    fi
    say run "$run"
    say how "$how"
    number=1
    while [ -e "$folder/$number.target" ]; do
        tell_bytes target "$folder/$number.target"
        tell_bytes old "$folder/$number.before"
        tell_bytes new "$folder/$number.after"
        number=$((number + 1))
    done
    break
done
