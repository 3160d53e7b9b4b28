"""The hoster's web service, Robot, on loopback: logins, limits, lock-out, and the PTR records of `/rdns`.

    with Robot(["192.0.2.10", "2001:db8:1::/64"]) as robot:
        robot.url, robot.ptrs, robot.requests

Its answers and error codes are those of https://robot.hetzner.com/doc/webservice/en.html. Where that is silent, the
answer that is worse for a client was taken: a locked-out address gets 401, whatever its password; a request that the
limit refuses counts as well, so that hammering keeps the limit shut.
"""

from __future__ import annotations

import base64
import collections
import http.server
import ipaddress
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LIMIT = 500
"""Requests in an interval, for each method of `/rdns` and of `/rdns/{ip}`."""

FAILED_LOGINS = 3
LOCKED_OUT = 600.0
"""Seconds for which an address is locked out after so many failed logins."""

_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+", re.IGNORECASE
)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of a `method` (any, without one), instead of or beside the answer.

    `slow`: the answer comes `seconds` late. `truncated`: half of it. `not-json`: a page for people. `hang-up`: none. `error`:
    `status` and `code`, nothing is done. The request is carried out before a slow, truncated or missing answer.
    """

    kind: str
    times: int = 1
    method: str = ""
    seconds: float = 0
    status: int = 503
    code: str = "MAINTENANCE"
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"status": status, "code": code, "message": message, **more}}


class Robot:
    """One account with its addresses. Thread-safe: what is changed by a test is read at the next request."""

    def __init__(self, networks: Sequence[str], user: str = "#ws+lab", password: str = "lab") -> None:  # noqa: S107
        self.networks = [ipaddress.ip_network(network) for network in networks]
        self.user, self.password = user, password
        self.limit, self.interval = LIMIT, 3600.0
        self.ptrs = {
            str(n[0]): default_name(str(n[0])) for n in self.networks if n.version == 4 and n.num_addresses == 1
        }
        self.requests: list[tuple[str, str, int]] = []
        self.faults: list[Fault] = []
        self.locked_until: dict[str, float] = {}
        self._failed: collections.Counter[str] = collections.Counter()
        self._seen: dict[str, collections.deque[float]] = collections.defaultdict(collections.deque)
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Robot:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def counted(self) -> dict[str, int]:
        """Requests by method and route, like `GET /rdns/{ip}`."""
        return dict(collections.Counter(f"{method} {route(path)}" for method, path, _ in self.requests))

    def fault(self, method: str) -> Fault | None:
        """What goes wrong with this request."""
        with self._lock:
            for fault in self.faults:
                if fault.method in ("", method):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault
        return None

    def answer(self, client: str, authorization: str, method: str, path: str, body: str) -> tuple[int, Any]:
        """Status and JSON value of a request. Raises Refused."""
        with self._lock:
            self._log_in(client, authorization)
            self._count(f"{method} {route(path)}")
            if path == "/rdns" and method == "GET":
                if not self.ptrs:
                    raise Refused(404, "NOT_FOUND", "No rdns entries found")
                return 200, [{"rdns": {"ip": ip, "ptr": ptr}} for ip, ptr in self.ptrs.items()]
            if route(path) == "/rdns/{ip}":
                return self._rdns(method, self._own(unquote(path.removeprefix("/rdns/"))), body)
        raise Refused(404, "NOT_FOUND", "Not found")

    def _log_in(self, client: str, authorization: str) -> None:
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if time.monotonic() < self.locked_until.get(client, 0):
            raise Refused(401, "UNAUTHORIZED", "Unauthorized")
        if authorization != f"Basic {expected}":
            self._failed[client] += 1
            if self._failed[client] >= FAILED_LOGINS:
                self.locked_until[client] = time.monotonic() + LOCKED_OUT
            raise Refused(401, "UNAUTHORIZED", "Unauthorized")
        self._failed[client] = 0

    def _count(self, endpoint: str) -> None:
        seen, now = self._seen[endpoint], time.monotonic()
        while seen and seen[0] <= now - self.interval:
            seen.popleft()
        seen.append(now)
        if len(seen) > self.limit:
            more = {"max_request": self.limit, "interval": int(self.interval)}
            raise Refused(403, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded", **more)

    def _own(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise Refused(404, "IP_NOT_FOUND", f"The IP address {text} was not found") from None
        if not any(address in network for network in self.networks):
            raise Refused(404, "IP_NOT_FOUND", f"The IP address {text} was not found")
        return str(address)

    def _rdns(self, method: str, ip: str, body: str) -> tuple[int, Any]:
        had = ip in self.ptrs
        if method == "DELETE":
            if not had:
                raise Refused(404, "RDNS_NOT_FOUND", f"No rdns entry found for {ip}")
            self.ptrs.pop(ip)
            if ":" not in ip:
                self.ptrs[ip] = default_name(ip)
            return 200, None
        if method in ("PUT", "POST"):
            names = parse_qs(body).get("ptr", [])
            if not names:
                raise Refused(400, "INVALID_INPUT", "invalid input", missing=["ptr"], invalid=None)
            if not _NAME.fullmatch(names[0]):
                raise Refused(400, "INVALID_INPUT", "invalid input", missing=None, invalid=["ptr"])
            if method == "PUT" and had:
                raise Refused(409, "RDNS_ALREADY_EXISTS", f"There is already an rdns entry for {ip}")
            self.ptrs[ip] = names[0]
        elif not had:
            raise Refused(404, "RDNS_NOT_FOUND", f"No rdns entry found for {ip}")
        return (200 if had else 201), {"rdns": {"ip": ip, "ptr": self.ptrs[ip]}}


def route(path: str) -> str:
    """The endpoint that a path belongs to."""
    return "/rdns/{ip}" if path.startswith("/rdns/") else path


def default_name(ip: str) -> str:
    """What the hoster calls a server's own IPv4 address when nobody else has named it."""
    return f"static.{'.'.join(reversed(ip.split('.')))}.clients.your-server.de"


def _handler(robot: Robot) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            fault, path = robot.fault(self.command), urlsplit(self.path).path
            headers = {"Content-Type": "application/json"}
            try:
                if fault and fault.kind == "error":
                    headers |= fault.headers
                    raise Refused(fault.status, fault.code, fault.code.replace("_", " ").lower())
                if fault and fault.kind == "not-json":
                    status, answer = fault.status, b"<html><body>Please try again later</body></html>"
                    headers = {"Content-Type": "text/html", **fault.headers}
                else:
                    authorization = self.headers.get("Authorization", "")
                    status, value = robot.answer(self.client_address[0], authorization, self.command, path, body)
                    answer = b"" if value is None else json.dumps(value).encode()
            except Refused as refused:
                status, answer = refused.status, json.dumps(refused.body).encode()
            robot.requests.append((self.command, path, status))
            if fault and fault.kind == "slow":
                time.sleep(fault.seconds)
            if fault and fault.kind == "hang-up":
                return
            self.send_response(status)
            for name, text in (*headers.items(), ("Content-Length", str(len(answer)))):
                self.send_header(name, text)
            self.end_headers()
            for piece in _pieces(answer, fault):
                self.wfile.write(piece)

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: `requests` says it all."""

    return Handler


def _pieces(answer: bytes, fault: Fault | None) -> Iterator[bytes]:
    """The answer as it is sent: cut in half, or byte by byte, where that is the fault."""
    if fault and fault.kind == "truncated":
        yield answer[: len(answer) // 2]
    elif fault and fault.kind == "dripping":
        for byte in answer:
            time.sleep(fault.seconds)
            yield bytes([byte])
    else:
        yield answer
