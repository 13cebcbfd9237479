#!/bin/sh
# OpenSSH and xargs: ssh_loop.sh SCRIPT FORKS KEY KNOWN_HOSTS <addresses. Fails if any host does not say `ok`.
set -eu
export SCRIPT="$1" KEY="$3" KNOWN_HOSTS="$4"
# shellcheck disable=SC2016 # expanded by the inner shell
xargs -P "$2" -I '{}' sh -c '
    said=$(ssh -F none -T -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$KNOWN_HOSTS" \
        -o IdentitiesOnly=yes -i "$KEY" root@"$1" sh -s <"$SCRIPT")
    echo "$1 $said"
    [ "$said" = ok ]
' sh '{}'
