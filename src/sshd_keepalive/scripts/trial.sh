# Serve one connection, on standard input and output, by the sshd of this host with values of ours.
#
# Given: CONFIG SSHD, INTERVAL and COUNT. Our options stand before the daemon's own: the first one wins.
# shellcheck shell=sh disable=SC2034,SC2154

find_listener || :
find_sshd
[ -n "$sshd" ] || { echo 'no sshd was found' >&2; exit 1; }
daemon_words
set -f
echo 'SKA1 READY' >&2
# shellcheck disable=SC2086 # the daemon's words were split on purpose
exec "$sshd" -i -o "ClientAliveInterval=$INTERVAL" -o "ClientAliveCountMax=$COUNT" $words -f "$CONFIG" 2>/dev/null
