"""pyinfra: both effective values, compared."""

from pyinfra.operations import server

server.shell(
    name="look",
    commands=["[ $(sshd -T | grep -c -x -e 'clientaliveinterval 300' -e 'clientalivecountmax 3') = 2 ]"],
)
