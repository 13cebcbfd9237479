# Debian unstable's OpenSSH on a released Debian: everything else of the host stays as it was.
# shellcheck shell=sh
sshd -V 2>&1 | grep OpenSSH_
