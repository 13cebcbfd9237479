# RHEL 9 and 10, Rocky, Alma, Oracle, Fedora: the drop-in directory comes first and holds the vendor's settings.
# shellcheck shell=sh
cat >/etc/os-release <<'END'
NAME="Red Hat layout"
ID=rhel
ID_LIKE=fedora
VERSION_ID=10
PRETTY_NAME="Red Hat layout 10 (emulated)"
END
mkdir -p /etc/crypto-policies/back-ends
echo 'RequiredRSASize 2048' >/etc/crypto-policies/back-ends/opensshserver.config
cat >/etc/ssh/sshd_config.d/50-redhat.conf <<'END'
Include /etc/crypto-policies/back-ends/opensshserver.config

SyslogFacility AUTHPRIV
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
END
cat >/etc/ssh/sshd_config <<'END'
# Settings in the files of this directory come first.
Include /etc/ssh/sshd_config.d/*.conf

#Port 22
#PermitRootLogin prohibit-password
AuthorizedKeysFile	.ssh/authorized_keys
#TCPKeepAlive yes
#ClientAliveInterval 0
#ClientAliveCountMax 3
Subsystem	sftp	/usr/lib/openssh/sftp-server

#Match User anoncvs
#	PermitTTY no
END
chmod 600 /etc/ssh/sshd_config /etc/ssh/sshd_config.d/50-redhat.conf
