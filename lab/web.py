"""A web server of the lab's internet: `web.py FOLDER ADDRESS...`, port 80 on each address, HTTP/1.1 with ranges
left out. Runs on the standard library alone."""

import http.server
import ipaddress
import socket
import socketserver
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.client_address[0]} {format % args}", flush=True)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, folder: str) -> None:
        self.folder = folder
        six = ipaddress.ip_address(address).version == 6
        self.address_family = socket.AF_INET6 if six else socket.AF_INET
        super().__init__((address, 80), Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks DNS for its name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), 80

    def finish_request(self, request: object, client_address: object) -> None:
        Handler(request, client_address, self, directory=self.folder)  # type: ignore[arg-type]


def main() -> None:
    servers = [Server(address, sys.argv[1]) for address in sys.argv[2:]]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
