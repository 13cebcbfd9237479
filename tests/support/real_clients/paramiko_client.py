"""usage: paramiko_client.py ADDRESS PORT USER KEY answers|silent. A quiet session; says `here`, then its own error.

Silent: the transport reads on, and drops what asks for an answer.
"""

import sys

import paramiko
from paramiko import common

address, port, user, key, mode = sys.argv[1:]
if mode == "silent":
    paramiko.Transport._channel_handler_table[common.MSG_CHANNEL_REQUEST] = lambda channel, message: None
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(address, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
_, stdout, _ = client.exec_command("echo here; exec sleep 3001")
print(stdout.readline(), end="", flush=True)
stdout.read()
client.exec_command("true")
