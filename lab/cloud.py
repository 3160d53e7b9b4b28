"""Hetzner Cloud's API on loopback, as far as names need it: DNS zones, their record sets, and servers' PTR records.

    with Cloud(zones=["example.net"], servers={7: ["192.0.2.10", "2001:db8:1::/64"]}) as cloud:
        cloud.url, cloud.token, cloud.names, cloud.ptrs, cloud.requests

Its answers and error codes are those of https://docs.hetzner.cloud/reference/cloud. As there, a change is an action that
still runs when the answer comes, and is done when it is asked for.
"""

from __future__ import annotations

import http.server
import ipaddress
import itertools
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import dns.exception
import dns.rdata
import dns.rdataclass

CREATED = "2026-01-01T00:00:00+00:00"
_LABELS = re.compile(r"@|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*|\*")

Json = dict[str, Any]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "details": {}}}


class Cloud:
    """One project with its zones and servers. Thread-safe: what a test changes is seen by the next request."""

    def __init__(self, zones: Sequence[str] = (), servers: Mapping[int, Sequence[str]] | None = None) -> None:
        self.token = "lab-cloud-token-" + "0" * 48
        self.zones: dict[str, Json] = {}
        self.servers = {
            number: [ipaddress.ip_network(network) for network in networks]
            for number, networks in (servers or {}).items()
        }
        self.ptrs: dict[str, str] = {}
        self.requests: list[tuple[str, str, int]] = []
        self._numbers = itertools.count(1)
        self._actions: dict[int, Json] = {}
        self._lock = threading.Lock()
        for name in zones:
            self._make_zone({"name": name, "mode": "primary"})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Cloud:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def names(self) -> dict[str, str]:
        """All record sets, like `{"web.example.net AAAA": "300 2001:db8:1::80"}`."""
        with self._lock:
            return {
                f"{name} {kind}": f"{rrset['ttl'] or zone['ttl']} {', '.join(sorted(r['value'] for r in rrset['records']))}"
                for zone in self.zones.values()
                for rrset in zone["rrsets"].values()
                for name, kind in [(f"{rrset['name']}.{zone['name']}".removeprefix("@."), rrset["type"])]
            }

    def put(self, zone: str, name: str, kind: str, *values: str) -> None:
        """What somebody else makes, or changes, in the web console."""
        with self._lock:
            body = {"name": name, "type": kind, "ttl": 600, "records": [{"value": value} for value in values]}
            self.zones[zone]["rrsets"].pop(f"{name}/{kind}", None)
            self._make_rrset(self.zones[zone], body)

    def changes(self) -> list[str]:
        """Requests since the last call that were more than questions."""
        seen, self.requests = self.requests, []
        return [f"{method} {path}" for method, path, _ in seen if method != "GET"]

    def answer(self, authorization: str, method: str, path: str, query: str, body: Json) -> tuple[int, Json]:
        """Status and JSON value of a request. Raises Refused."""
        if authorization != f"Bearer {self.token}":
            raise Refused(401, "unauthorized", "unable to authenticate")
        parts = [unquote(part) for part in path.removeprefix("/v1/").split("/")]
        with self._lock:
            match parts[0]:
                case "actions":
                    return 200, self._asked_actions(parts[1:], parse_qs(query))
                case "servers" if len(parts) > 1:
                    return self._on_server(method, parts[1:], body)
                case "zones":
                    return self._on_zones(method, parts[1:], body)
        raise Refused(404, "not_found", f"{method} {path} is not served here")

    def _action(self, command: str) -> Json:
        number = next(self._numbers)
        self._actions[number] = {
            "id": number,
            "command": command,
            "status": "running",
            "progress": 0,
            "started": CREATED,
            "finished": None,
            "resources": [],
            "error": None,
        }
        return dict(self._actions[number])

    def _asked_actions(self, parts: list[str], query: dict[str, list[str]]) -> Json:
        done = {"status": "success", "progress": 100, "finished": CREATED}
        numbers = [int(number) for number in parts or query.get("id", [])]
        found = [{**self._actions[number], **done} for number in numbers if number in self._actions]
        if parts and not found:
            raise Refused(404, "not_found", "action not found")
        return {"action": found[0]} if parts else {"actions": found, "meta": _one_page(len(found))}

    def _on_server(self, method: str, parts: list[str], body: Json) -> tuple[int, Json]:
        number = int(parts[0]) if parts[0].isdigit() else 0
        if number not in self.servers:
            raise Refused(404, "not_found", f"server with ID '{parts[0]}' not found")
        if parts[1:] == ["actions", "change_dns_ptr"] and method == "POST":
            address = ipaddress.ip_address(body["ip"])
            if not any(address in network for network in self.servers[number]):
                raise Refused(404, "not_found", f"IP {address} is none of the server's")
            if body.get("dns_ptr"):
                self.ptrs[str(address)] = body["dns_ptr"]
            else:
                self.ptrs.pop(str(address), None)
            return 201, {"action": self._action("change_dns_ptr")}
        if method == "GET" and not parts[1:]:
            return 200, {"server": self._described(number)}
        raise Refused(404, "not_found", "not found")

    def _described(self, number: int) -> Json:
        four = next((str(n[0]) for n in self.servers[number] if n.version == 4), "")
        six = next((str(n) for n in self.servers[number] if n.version == 6), "")
        named = [{"ip": ip, "dns_ptr": ptr} for ip, ptr in self.ptrs.items() if ":" in ip]
        default = f"static.{'.'.join(reversed(four.split('.')))}.clients.your-server.de"
        net = {
            "ipv4": {"id": 1, "ip": four, "blocked": False, "dns_ptr": self.ptrs.get(four, default)},
            "ipv6": {"id": 2, "ip": six, "blocked": False, "dns_ptr": named},
        }
        return {"id": number, "name": f"server-{number}", "status": "running", "created": CREATED, "public_net": net}

    def _on_zones(self, method: str, parts: list[str], body: Json) -> tuple[int, Json]:
        if not parts:
            if method == "POST":
                return 201, {"zone": self._shown(self._make_zone(body)), "action": self._action("create_zone")}
            shown = [self._shown(zone) for zone in self.zones.values()]
            return 200, {"zones": shown, "meta": _one_page(len(shown))}
        zone = next((z for z in self.zones.values() if parts[0] in (z["name"], str(z["id"]))), None)
        if zone is None:
            raise Refused(404, "not_found", f"zone '{parts[0]}' not found")
        match method, parts[1:]:
            case "GET" | "PUT", []:
                zone["labels"] = body.get("labels", zone["labels"])
                return 200, {"zone": self._shown(zone)}
            case "DELETE", []:
                del self.zones[zone["name"]]
                return 201, {"action": self._action("delete_zone")}
            case "POST", ["actions", "change_ttl"]:
                zone["ttl"] = body["ttl"]
                return 201, {"action": self._action("change_ttl")}
            case _, ["rrsets", *rest]:
                return self._on_rrsets(method, zone, rest, body)
        raise Refused(404, "not_found", "not found")

    def _on_rrsets(self, method: str, zone: Json, parts: list[str], body: Json) -> tuple[int, Json]:
        if not parts:
            if method == "POST":
                return 201, {"rrset": self._make_rrset(zone, body), "action": self._action("create_rrset")}
            return 200, {"rrsets": list(zone["rrsets"].values()), "meta": _one_page(len(zone["rrsets"]))}
        rrset = zone["rrsets"].get("/".join(parts[:2]))
        if rrset is None:
            raise Refused(404, "not_found", f"rrset '{'/'.join(parts[:2])}' not found")
        match method, parts[2:]:
            case "GET" | "PUT", []:
                rrset["labels"] = body.get("labels", rrset["labels"])
                return 200, {"rrset": rrset}
            case "DELETE", []:
                del zone["rrsets"][rrset["id"]]
                return 201, {"action": self._action("delete_rrset")}
            case "POST", ["actions", "change_ttl"]:
                rrset["ttl"] = body["ttl"]
                return 201, {"action": self._action("change_ttl")}
            case "POST", ["actions", "set_records"]:
                rrset["records"] = _records(zone, rrset["type"], body["records"])
                return 201, {"action": self._action("set_records")}
        raise Refused(404, "not_found", "not found")

    def _make_zone(self, body: Json) -> Json:
        if body["name"] in self.zones:
            raise Refused(409, "uniqueness_error", f"zone name '{body['name']}' is not unique")
        made = {"id": next(self._numbers), "name": body["name"], "mode": body["mode"], "ttl": body.get("ttl") or 3600}
        self.zones[body["name"]] = {**made, "labels": body.get("labels") or {}, "rrsets": {}}
        return self.zones[body["name"]]

    def _make_rrset(self, zone: Json, body: Json) -> Json:
        name, kind = body["name"], body["type"]
        if not _LABELS.fullmatch(name) or name.endswith(f".{zone['name']}"):
            raise Refused(422, "invalid_input", f"invalid rrset name '{name}'")
        kinds = {rrset["type"] for rrset in zone["rrsets"].values() if rrset["name"] == name}
        if kind in kinds:
            raise Refused(409, "uniqueness_error", f"rrset '{name}/{kind}' already exists")
        if kinds and "CNAME" in {kind, *kinds}:
            raise Refused(422, "invalid_input", f"a CNAME stands alone: '{name}'")
        made = {"id": f"{name}/{kind}", "name": name, "type": kind, "ttl": body.get("ttl"), "zone": zone["id"]}
        made |= {"records": _records(zone, kind, body["records"]), "labels": body.get("labels") or {}}
        zone["rrsets"][f"{name}/{kind}"] = {**made, "protection": {"change": False}}
        return dict(zone["rrsets"][f"{name}/{kind}"])

    def _shown(self, zone: Json) -> Json:
        servers = {"assigned": ["hydrogen.ns.hetzner.com."], "delegated": [], "delegation_status": "valid"}
        shown = {key: value for key, value in zone.items() if key != "rrsets"}
        shown |= {"created": CREATED, "primary_nameservers": [], "protection": {"delete": False}, "status": "ok"}
        shown |= {"registrar": "other", "record_count": len(zone["rrsets"])}
        return {**shown, "authoritative_nameservers": {**servers, "delegation_last_check": CREATED}}


def _records(zone: Json, kind: str, records: list[Json]) -> list[Json]:
    """Records as the service keeps them. Raises Refused for values that are no rdata."""
    for record in records:
        try:
            dns.rdata.from_text(dns.rdataclass.IN, kind, record["value"])
        except dns.exception.DNSException as error:
            raise Refused(422, "invalid_input", f"invalid {kind} record '{record['value']}': {error}") from None
        if kind == "TXT" and not record["value"].startswith('"'):
            raise Refused(422, "invalid_input", "the text of a TXT record stands in double quotes")
    return [{"value": record["value"], "comment": record.get("comment", "")} for record in records]


def _one_page(count: int) -> Json:
    page = {"page": 1, "per_page": 50, "previous_page": None, "next_page": None, "last_page": 1}
    return {"pagination": {**page, "total_entries": count}}


def _handler(cloud: Cloud) -> Callable[..., http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path)
            try:
                authorization = self.headers.get("Authorization", "")
                status, value = cloud.answer(
                    authorization, self.command, path.path, path.query, json.loads(body or b"{}") or {}
                )
            except Refused as refused:
                status, value = refused.status, refused.body
            cloud.requests.append((self.command, path.path, status))
            answer = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: `requests` says it all."""

    return Handler
