# Tell what one earlier run changed: the one in WANTED, else the latest that was confirmed, is no undo and was not
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

[ -d "$STATE" ] || exit 0
is_ours "$STATE" || { say unsafe "$other"; exit 0; }
undone=' '
# shellcheck disable=SC2010,SC2012 # the names are ours
for run in $(ls -1 "$STATE" | grep -E '^[0-9]{8}T[0-9]{6}Z-[0-9a-f]+$' | sort -r); do
    folder=$STATE/$run
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
