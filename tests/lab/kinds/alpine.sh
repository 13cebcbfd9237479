# Alpine: OpenRC's service sshd, busybox for all tools, ash for all shells, doas for sudo, musl's lack of getconf.
# shellcheck shell=sh
cat >/etc/os-release.new <<'END'
NAME="Alpine layout"
ID=alpine
VERSION_ID=3.20
PRETTY_NAME="Alpine layout 3.20 (emulated)"
END
rm -f /etc/os-release && mv /etc/os-release.new /etc/os-release
echo 'permit nopass ops
permit pwd' >/etc/doas.conf
chmod 600 /etc/doas.conf
usermod -s /bin/sh ops && usermod -s /bin/sh pwd && usermod -s /bin/sh nosudo && usermod -s /bin/sh root

update-rc.d ssh remove
rm -rf /etc/init.d/ssh /etc/default/ssh /etc/runlevels/*/ssh
mkdir -p /etc/conf.d
cat >/etc/conf.d/sshd <<'END'
# Words for the command line of sshd.
#command_args="-4"
END
cat >/etc/init.d/sshd <<'END'
#!/sbin/openrc-run
description="OpenBSD Secure Shell server"
command=/usr/sbin/sshd
command_args=${command_args:-$SSHD_OPTS}
pidfile=/run/sshd.pid

depend() {
    use logger dns
    after entropy
}

checkconfig() {
    mkdir -p /run/sshd && ssh-keygen -A && "$command" -t $command_args
}

start_pre() {
    checkconfig
}

stop_pre() {
    [ "$RC_CMD" != restart ] || checkconfig
}
END
chmod 755 /etc/init.d/sshd
ln -s /etc/init.d/sshd /etc/runlevels/default/sshd
rm -rf /usr/bin/apt* /usr/lib/apt /etc/apt /etc/debian_version /usr/bin/getconf /usr/bin/sudo* /etc/sudoers*
rm -f /usr/sbin/ip /usr/bin/ip /sbin/ip /bin/ip /usr/bin/ss /bin/ss
# The init and what belongs to accounts stays; everything else that busybox knows is busybox from here on.
for applet in $(busybox --list); do
    case $applet in
        init | halt | poweroff | reboot | getty | login | su | passwd | start-stop-daemon | dpkg* | mount | umount) continue ;;
        ip | ss | udhcp* | ssl_client | run-init | switch_root | linuxrc) continue ;;
    esac
    rm -f "/usr/sbin/$applet"
    busybox ln -sf /usr/bin/busybox "/usr/bin/$applet"
done
busybox rm -f /usr/bin/bash /usr/bin/rbash /usr/bin/dash
