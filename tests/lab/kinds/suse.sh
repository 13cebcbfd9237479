# SLES 16, Leap 16, Tumbleweed, MicroOS: no /etc/ssh/sshd_config; sshd reads the vendor's below /usr/etc instead.
# sshd is Debian's: a library loaded into it opens the vendor's file where -f names none and the main file is absent.
# shellcheck shell=sh
cat >/root/vendor.c <<'END'
void *dlsym(void *, const char *);
int access(const char *, int);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, unsigned long);
char *strrchr(const char *, int);
int open(const char *, int, ...);
long read(int, void *, unsigned long);
int close(int);
typedef struct file FILE;

static int is_told_a_file(void) {
    char words[4096];
    int handle = open("/proc/self/cmdline", 0);
    long size = read(handle, words, sizeof words - 1), at;
    close(handle);
    if (size < 0) return 1;
    words[size] = 0;
    for (at = 0; at < size; at++)
        if (!strncmp(words + at, "-f", 2) && (at == 0 || !words[at - 1])) return 1;
    return 0;
}

FILE *fopen(const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *) = dlsym((void *)-1L, "fopen");
    const char *main = "/etc/ssh/sshd_config", *vendor = "/usr/etc/ssh/sshd_config";
    if (!strcmp(path, main) && access(main, 0) && !is_told_a_file()) path = vendor;
    return real(path, mode);
}
END
mkdir -p /usr/lib/vendor /usr/etc/ssh/sshd_config.d
tcc -shared -nostdlib -o /usr/lib/vendor/config.so /root/vendor.c
rm /root/vendor.c
echo /usr/lib/vendor/config.so >/etc/ld.so.preload

systemctl --quiet disable ssh.service
rm -rf /usr/lib/systemd/system/ssh* /etc/systemd/system/ssh* /etc/init.d/ssh /etc/default/ssh /etc/rc?.d/*ssh
mkdir -p /etc/sysconfig
echo 'SSHD_OPTS=""' >/etc/sysconfig/ssh
cat >/usr/lib/systemd/system/sshd.service <<'END'
[Unit]
Description=OpenSSH Daemon
After=network.target

[Service]
Type=notify
EnvironmentFile=-/etc/sysconfig/ssh
ExecStartPre=/usr/sbin/sshd -t $SSHD_OPTS
ExecStart=/usr/sbin/sshd -D $SSHD_OPTS
ExecReload=/bin/kill -HUP $MAINPID
KillMode=process
Restart=on-failure
RestartPreventExitStatus=255

[Install]
WantedBy=multi-user.target
END
systemctl --quiet enable sshd.service
{
    echo 'Include /etc/ssh/sshd_config.d/*.conf'
    echo 'Include /usr/etc/ssh/sshd_config.d/*.conf'
    grep -v '^Include' /etc/ssh/sshd_config
} >/usr/etc/ssh/sshd_config
chmod 640 /usr/etc/ssh/sshd_config
echo 'Ciphers aes256-gcm@openssh.com,aes256-ctr' >/usr/etc/ssh/sshd_config.d/40-suse-crypto-policies.conf
rm /etc/ssh/sshd_config
rm -f /etc/os-release
cat >/etc/os-release <<'END'
NAME="SUSE layout"
ID=sles
ID_LIKE=suse
VERSION_ID=16.0
PRETTY_NAME="SUSE layout 16 (emulated)"
END
