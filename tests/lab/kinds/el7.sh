# CentOS and RHEL 7, EulerOS up to 2.5, Amazon Linux 2: one file, and the tools of systemd 219. sshd is 8.4, not 7.4.
# shellcheck shell=sh
cat >/etc/os-release <<'END'
NAME="CentOS layout"
ID=centos
ID_LIKE="rhel fedora"
VERSION_ID=7
PRETTY_NAME="CentOS layout 7 (emulated)"
END
rmdir /etc/ssh/sshd_config.d
cat >/etc/ssh/sshd_config <<'END'
#Port 22
HostKey /etc/ssh/ssh_host_rsa_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_ed25519_key
SyslogFacility AUTHPRIV
AuthorizedKeysFile	.ssh/authorized_keys
PasswordAuthentication yes
ChallengeResponseAuthentication no
UsePAM yes
X11Forwarding yes
UsePrivilegeSeparation sandbox
#ClientAliveInterval 0
#ClientAliveCountMax 3
AcceptEnv LANG LC_CTYPE
Subsystem	sftp	/usr/lib/openssh/sftp-server
END
chmod 600 /etc/ssh/sshd_config
echo 'Defaults requiretty
Defaults:ops !requiretty
Defaults:root !requiretty' >>/etc/sudoers.d/lab
visudo -cq

# older COMMAND REFUSED: refuse the options that its old release does not know, before the real program runs.
older() {
    mv "$1" "$1-247"
    cat >"$1" <<END
#!/bin/sh
for word; do case \$word in $2) echo "\${0##*/}: unrecognized option '\$word'" >&2; exit 1 ;; esac; done
END
}
older /bin/systemctl '--value | -P* | --wait'
cat >>/bin/systemctl <<'END'
case " $* " in *' show '*) "$0-247" "$@" | sed 's/^EnvironmentFiles=/EnvironmentFile=/'; exit ;; esac
exec "$0-247" "$@"
END
older /bin/journalctl '--sync'
cat >>/bin/journalctl <<'END'
exec "$0-247" "$@"
END
chmod 755 /bin/systemctl /bin/journalctl
# These are one program under several names, which it finds out by its own.
for name in halt poweroff reboot shutdown; do
    ln -sf /bin/systemctl-247 "/sbin/$name"
done
