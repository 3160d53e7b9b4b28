"""Standard input and output relayed to one TCP connection: `relay.py HOST PORT`, an ssh ProxyCommand.

Started once for each SSH connection, so it imports next to nothing."""

import os
import select
import socket
import sys


def main() -> int:
    host, port = sys.argv[1], int(sys.argv[2])
    try:
        connection = socket.create_connection((host.strip("[]"), port), timeout=15)
    except OSError as error:
        print(f"lab: no connection to {host} port {port}: {error.strerror or error}", file=sys.stderr)
        return 1
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    open_ends = [0, connection.fileno()]
    try:
        while connection.fileno() in open_ends:
            for end in select.select(open_ends, [], [])[0]:
                data = os.read(end, 1 << 16) if end == 0 else connection.recv(1 << 16)
                if not data:
                    open_ends.remove(end)
                    if end == 0:
                        connection.shutdown(socket.SHUT_WR)
                elif end == 0:
                    connection.sendall(data)
                else:
                    view = memoryview(data)
                    while view:
                        view = view[os.write(1, view) :]
    except OSError as error:
        print(f"lab: the connection to {host} port {port} broke: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
