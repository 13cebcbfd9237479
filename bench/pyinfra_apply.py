"""pyinfra: set both values, validate, restart if anything changed, look."""

from pyinfra.operations import files, server, systemd

FILE = "/etc/ssh/sshd_config"
EFFECTIVE = "[ $(sshd -T | grep -c -x -e 'clientaliveinterval 300' -e 'clientalivecountmax 3') = 2 ]"

edits = [
    files.line(path=FILE, line=f"^#\\?{keyword} .*", replace=f"{keyword} {value}")
    for keyword, value in (("ClientAliveInterval", 300), ("ClientAliveCountMax", 3))
]


def changed() -> bool:
    return any(edit.did_change() for edit in edits)


server.shell(name="validate", commands=["sshd -t"], _if=changed)
systemd.service(name="restart", service="ssh", running=True, restarted=True, _if=changed)
server.shell(name="look", commands=["systemctl is-active --quiet ssh", EFFECTIVE])
