"""usage: libssh2_client.py ADDRESS PORT USER KEY answers|silent. A quiet session; says `here`, then its own error.

Silent: the program does not call the library until a line comes on standard input.
"""

import socket
import sys

from ssh2.session import Session

address, port, user, key, mode = sys.argv[1:]
connection = socket.create_connection((address, int(port)))
session = Session()
session.handshake(connection)
session.userauth_publickey_fromfile(user, key)
channel = session.open_session()
channel.execute("echo here; exec sleep 3001")
_, data = channel.read()
print(data.decode(), end="", flush=True)
if mode == "silent":
    sys.stdin.readline()
channel.wait_eof()
channel.write("more")
