# What the layouts of the Red Hat family share: Debian's sshd under their unit, files and modes, and no Debian names.
# Only Debian's version stays: in sshd's banner. RHEL's privilege separation directory is compiled in otherwise.
# shellcheck shell=sh
systemctl --quiet disable ssh.service
rm -rf /usr/lib/systemd/system/ssh* /etc/systemd/system/ssh* /etc/init.d/ssh /etc/default/ssh /etc/rc?.d/*ssh
rm -rf /usr/share/openssh/sshd_config /etc/ssh/sshd_config.d
mkdir -p /etc/sysconfig /etc/ssh/sshd_config.d
chmod 700 /etc/ssh/sshd_config.d
echo 'd /run/sshd 0755 root root' >/etc/tmpfiles.d/sshd.conf
cat >/etc/sysconfig/sshd <<'END'
# Words for the command line of sshd.
#OPTIONS="-4"
CRYPTO_POLICY='-oCiphers=aes256-gcm@openssh.com,aes256-ctr -oMACs=hmac-sha2-256-etm@openssh.com,hmac-sha2-256'
END
cat >/usr/lib/systemd/system/sshd.service <<'END'
[Unit]
Description=OpenSSH server daemon
After=network.target

[Service]
Type=notify
EnvironmentFile=-/etc/sysconfig/sshd-permitrootlogin
EnvironmentFile=-/etc/sysconfig/sshd
ExecStart=/usr/sbin/sshd -D $OPTIONS $CRYPTO_POLICY
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
Restart=on-failure
RestartSec=42s

[Install]
WantedBy=multi-user.target
END
cat >/usr/lib/systemd/system/sshd.socket <<'END'
[Unit]
Conflicts=sshd.service

[Socket]
ListenStream=22
Accept=yes

[Install]
WantedBy=sockets.target
END
cat >/usr/lib/systemd/system/sshd@.service <<'END'
[Unit]
Description=OpenSSH per-connection server daemon

[Service]
EnvironmentFile=-/etc/sysconfig/sshd
ExecStart=-/usr/sbin/sshd -i $OPTIONS $CRYPTO_POLICY
StandardInput=socket
END
systemctl --quiet enable sshd.service
rm -rf /usr/bin/apt* /usr/lib/apt /usr/bin/dpkg* /etc/apt /etc/debian_version /etc/dpkg /etc/issue*
rm -f /etc/os-release
