# Ubuntu since 22.10: ssh.socket listens, where a generator that reads sshd_config says so at every daemon-reload; since
# 25.10 with sudo and the core utilities in Rust.
# shellcheck shell=sh
cat >/etc/os-release.new <<'END'
NAME="Ubuntu layout"
ID=ubuntu
ID_LIKE=debian
VERSION_ID=25.10
PRETTY_NAME="Ubuntu layout 25.10 (emulated)"
END
rm -f /etc/os-release && mv /etc/os-release.new /etc/os-release
systemctl --quiet disable ssh.service
systemctl --quiet enable ssh.socket
cat >/usr/lib/systemd/system-generators/sshd-socket-generator <<'END'
#!/bin/sh
# The addresses of sshd_config for ssh.socket.
PATH=/usr/sbin:/usr/bin
answer=$(sshd -G) || exit 1
streams=$(printf '%s\n' "$answer" | sed -n 's/^listenaddress /ListenStream=/p')
mkdir -p "$1/ssh.socket.d"
printf '[Socket]\nListenStream=\nBindIPv6Only=ipv6-only\n%s\n' "$streams" >"$1/ssh.socket.d/addresses.conf"
END
chmod 755 /usr/lib/systemd/system-generators/sshd-socket-generator
printf 'PasswordAuthentication yes\n' >/etc/ssh/sshd_config.d/50-cloud-init.conf
chmod 600 /etc/ssh/sshd_config.d/50-cloud-init.conf
mv /usr/bin/sudo /usr/bin/sudo.ws
ln -s sudo-rs /usr/bin/sudo
for program in /usr/lib/cargo/bin/coreutils/*; do
    ln -sf "$program" "/usr/bin/${program##*/}"
done
