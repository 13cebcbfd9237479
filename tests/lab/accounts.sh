#!/bin/sh
# Run inside a new root filesystem: the lab's accounts, and nothing that a clone must not share.
# Usage: accounts.sh PASSWORD PUBLIC_KEY. /etc/ssh/sshd_config stays Debian's own, which lets root in by key.
set -eu
password=$1 public_key=$2

authorise() { # USER HOME
    install -d -m 700 -o "$1" -g "$1" "$2/.ssh"
    printf '%s\n' "$public_key" >"$2/.ssh/authorized_keys"
    chown "$1:$1" "$2/.ssh/authorized_keys"
    chmod 600 "$2/.ssh/authorized_keys"
}

for user in ops pwd nosudo; do
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
    authorise "$user" "/home/$user"
done
authorise root /root
printf 'pwd:%s\nnosudo:%s\n' "$password" "$password" | chpasswd

cat >/etc/sudoers.d/lab <<'END'
ops ALL=(ALL:ALL) NOPASSWD: ALL
pwd ALL=(ALL:ALL) ALL
END
chmod 440 /etc/sudoers.d/lab
visudo -cq

# Name, addresses and machine id come from the host that is booted; there is no name server to wait for.
rm -f /etc/hostname /etc/resolv.conf /etc/hosts
: >/etc/machine-id
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
