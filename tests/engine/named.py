"""BIND on loopback, as the lab's internet has it, for tests that need no lab."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import dns.zone

from lab import primary
from lab.store import cache_root

REPOSITORY = Path(__file__).resolve().parents[2]
ZONES = ("example.net", "0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2.0.192.in-addr.arpa")
SECRET = primary.secret("planted-secret-7be1")


class Named:
    """A running BIND with zones that take updates with the key `sixstead`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, primary.KEY
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        listen = f"listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};"
        (folder / "named.conf").write_text(primary.config(folder, SECRET, listen, ZONES))
        for zone in ZONES:
            (folder / f"{zone}.zone").write_text(primary.zone_text("ns1.example"))
        root = primary.unpacked(cache_root(REPOSITORY), "trixie", print)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(primary.command(root, folder / "named.conf"), stdout=log, stderr=log)
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def rename_key(self, name: str) -> None:
        """Take updates with the key of another name and the same secret, and with the old one no more."""
        path = self.folder / "named.conf"
        path.write_text(
            path.read_text().replace(f'key "{self.key}"', f'key "{name}"').replace(f"key {self.key};", f"key {name};")
        )
        self.key = name
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 15
        while self.log().count("running") < 2:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def keyring(self) -> dict[object, object]:
        return dns.tsigkeyring.from_text({self.key: SECRET})

    def edit(self, zone: str, *lines: str) -> None:
        """What somebody else does: `add NAME TTL TYPE VALUE`, `delete NAME [TYPE]`; names are relative to the zone."""
        update = dns.update.UpdateMessage(zone, keyring=self.keyring())
        for line in lines:
            verb, *words = line.split(" ", 4)
            update.add(*words) if verb == "add" else update.delete(*words)
        answer = dns.query.tcp(update, "127.0.0.1", 5, self.port)
        assert answer.rcode() == dns.rcode.NOERROR, answer

    def records(self, zone: str = "example.net", markers: bool = False) -> dict[str, str]:
        """What is in the zone, SOA and NS aside: `{"web AAAA": "300 2001:db8::1"}`."""
        transfer = dns.query.xfr("127.0.0.1", zone, port=self.port, keyring=self.keyring(), relativize=False)
        found = {}
        for name, node in dns.zone.from_xfr(transfer, relativize=False).nodes.items():
            label = str(name).removesuffix(".").removesuffix(zone).removesuffix(".") or "@"
            for rrset in node.rdatasets:
                kind = dns.rdatatype.to_text(rrset.rdtype)
                if kind not in ("SOA", "NS") and (markers or not label.startswith("_sixstead")):
                    found[f"{label} {kind}"] = f"{rrset.ttl} {', '.join(sorted(map(str, rrset)))}"
        return found

    def serial(self, zone: str = "example.net") -> int:
        """It rises by one with each update that changes something."""
        query = dns.message.make_query(zone, "SOA")
        answer = dns.query.tcp(query, "127.0.0.1", 5, self.port)
        return int(answer.answer[0][0].serial)

    def serials(self) -> list[int]:
        return [self.serial(zone) for zone in ZONES]
