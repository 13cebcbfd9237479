# What a careful administrator's loop sends to every host: set both values, validate, restart, look.
set -e
file=/etc/ssh/sshd_config
n_wanted() { sshd -T | grep -c -x -e 'clientaliveinterval 300' -e 'clientalivecountmax 3' || true; }
if [ "$(n_wanted)" != 2 ]; then
    cp -p "$file" "$file.new"
    sed -i -e 's/^#\{0,1\}ClientAliveInterval .*/ClientAliveInterval 300/' \
        -e 's/^#\{0,1\}ClientAliveCountMax .*/ClientAliveCountMax 3/' "$file.new"
    sshd -t -f "$file.new"
    cp -p "$file" "$file.bak"
    mv "$file.new" "$file"
    systemctl restart ssh
fi
systemctl is-active --quiet ssh
[ "$(n_wanted)" = 2 ]
echo ok
