"""Sends steady streams over TCP and says when the other side has acknowledged more of each: `sender.py STREAMS`.

Run in the lab's internet. STREAMS is a JSON map: a name, and [`listen` or `connect`, address, port]. Who connects is
answered as an HTTP server answers a download without an end. It ends with its standard input. It prints lines,
`SECONDS NAME WHAT` by the machine's monotonic clock; WHAT is `listening`, `acked`, `lost: WHY`, or `sent N` once the
other side closed.
"""

import fcntl
import json
import socket
import struct
import sys
import termios
import threading
import time

EVERY, CHUNK = 0.01, b"." * 1000
"""100 kB/s: an emulated guest keeps up with three of these."""
BEHIND = 32_000
"""So many bytes wait for an acknowledgement at most: after a gap there is no burst."""
stop = threading.Event()


def say(name: str, what: str) -> None:
    """One line."""
    print(f"{time.monotonic():.3f} {name} {what}", flush=True)


def send(name: str, connection: socket.socket) -> None:
    """One stream, to its end."""
    sent = acked = 0
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not stop.wait(EVERY):
        # SIOCOUTQ, tcp(7): what the other side has not acknowledged yet
        waiting = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]
        if sent - waiting > acked:
            acked = sent - waiting
            say(name, "acked")
        if waiting <= BEHIND:
            sent += connection.send(CHUNK)
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(5)
    while connection.recv(4096):
        pass
    say(name, f"sent {sent}")


def connected(address: str, port: int) -> socket.socket:
    """A connection; whoever is about to listen gets a minute for it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((address, port), timeout=10)
        except (ConnectionRefusedError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def stream(name: str, verb: str, address: str, port: int) -> None:
    """Connect, or wait for who does; then send."""
    try:
        if verb == "connect":
            connection = connected(address, port)
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            server = socket.create_server((address, port), family=family)
            say(name, "listening")
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        send(name, connection)
    except OSError as error:
        say(name, f"lost: {error}")


for name, (verb, address, port) in json.loads(sys.argv[1]).items():
    threading.Thread(target=stream, args=(name, verb, address, port), daemon=True).start()
sys.stdin.read()
stop.set()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(15)
