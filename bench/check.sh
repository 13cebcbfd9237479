# The least a check can be: both effective values, compared.
[ "$(sshd -T | grep -c -x -e 'clientaliveinterval 300' -e 'clientalivecountmax 3')" = 2 ] && echo ok
