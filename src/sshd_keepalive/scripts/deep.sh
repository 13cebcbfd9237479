# What else ends sessions on this host: the shells' TMOUT, logind, the kernel. Writes nothing, starts nothing.
# shellcheck shell=sh

# Files that shells read at every login; one that cannot be read says nothing.
tmout() {
    for file in /etc/profile /etc/profile.d/* /etc/bash.bashrc /etc/bashrc /etc/zshenv /etc/zsh/* /etc/environment \
        /etc/security/pam_env.conf "$HOME/.profile" "$HOME/.bash_profile" "$HOME/.bashrc"; do
        if [ -f "$file" ]; then grep -Hn '^[^#]*TMOUT=[0-9]' "$file" /dev/null; fi
    done
}

# logind's own word is what is in effect; its files are what a restart would bring.
logind() {
    limited busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
        StopIdleSessionUSec </dev/null
}

logind_files() {
    for file in /usr/lib/systemd/logind.conf /etc/systemd/logind.conf /usr/lib/systemd/logind.conf.d/*.conf \
        /run/systemd/logind.conf.d/*.conf /etc/systemd/logind.conf.d/*.conf; do
        if [ -f "$file" ]; then grep -Hn '^[[:space:]]*StopIdleSessionSec=' "$file" /dev/null; fi
    done
}

deep() {
    say tmout "$(tmout)"
    say logind "$(logind)"
    say files "$(logind_files)"
    cd /proc/sys/net/ipv4 && say kernel "$(cat tcp_keepalive_time tcp_keepalive_intvl tcp_keepalive_probes | tr '\n' ' ')"
}

deep 2>/dev/null
