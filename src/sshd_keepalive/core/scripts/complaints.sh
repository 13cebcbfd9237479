# What a daemon complained of in the journal since it was started: warnings and worse, by its own process only, since
# what it says of those who knock is said by others. Nothing where there is no journal. Writes nothing.
#
# Given: DAEMON, its number.
# shellcheck shell=sh disable=SC2154

say complaints "$(limited journalctl --boot --quiet --no-pager --output=cat --lines=5 --priority=warning "_PID=$DAEMON" 2>/dev/null </dev/null)"
