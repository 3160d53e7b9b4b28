"""A zone's primary server: questions, and updates with prerequisites (RFC 2136), signed with TSIG (RFC 8945), over TCP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update

from providers.dns.keys import Key
from providers.dns.ownership import KINDS, Change, Line, Seen, is_reverse, marker_name, marker_of
from providers.dns.records import text_of
from providers.dns.zone_text import rdata
from providers.host.errors import ServerError, count

TIMEOUT = 10.0
"""Seconds for a connection, and for each answer."""

AT_ONCE = 100
"""Names in one update: some 20 KiB of the 64 that a message may have."""

CHANGED = ("YXDOMAIN", "YXRRSET", "NXRRSET", "NXDOMAIN")
"""Answers that say that a prerequisite does not hold."""


class PrimaryError(ServerError):
    """The server can't be reached or does not take the key: nothing else is tried with it in this process."""


class Prerequisite(Exception):
    """What was to be found there was not: nothing was changed."""


class Primary:
    """One server and one key; thread-safe. A failure that every zone would have is told once."""

    def __init__(self, server: str, port: int, key: Key) -> None:
        self.where = f"{server} port {port}" if port != 53 else server
        self._server, self._port = server, port
        self._key = dns.tsig.Key(dns.name.from_text(key.name), key.secret, dns.name.from_text(key.algorithm))
        self._key_name = key.name
        self._lock = threading.RLock()
        self._failed: dict[str, str] = {}

    def look(self, zone: str, names: Iterable[str]) -> dict[str, Seen]:
        """What the server says of names in a zone. Raises ServerError."""
        with self._lock, self._connected(zone) as connection:
            return {name: self._seen(connection, zone, name) for name in names}

    def change(self, zone: str, changes: Mapping[str, Change]) -> None:
        """Make the changes, each hundred names as one step. Raises ServerError where they can't be made.

        Where there are several steps, all prerequisites are asked for before the first one, so that a name of somebody
        else's lets none of them be made. A step that was made when the connection broke stays, and is found by the next run.
        """
        steps = [{name: changes[name] for name in names} for names in batches(sorted(changes))]
        questions = [{name: Change(c.prerequisites, ()) for name, c in step.items()} for step in steps]
        with self._lock:
            for step in [*(questions if len(steps) > 1 else []), *steps]:
                with self._connected(zone) as connection:
                    try:
                        self._send(connection, zone, step.values())
                    except Prerequisite as error:
                        raise self._clash(zone, step, str(error)) from None

    def _seen(self, connection: socket.socket, zone: str, name: str) -> Seen:
        marker = marker_of(self._asked(connection, zone, marker_name(name), "TXT").get("TXT", "").split(", "))
        records: dict[str, str] = {}
        for kind in KINDS[is_reverse(zone)]:
            if kind != "CNAME":  # the server adds it to the answer to any other question
                records |= self._asked(connection, zone, name, kind)
        return Seen(dict(sorted(records.items())), marker)

    def _asked(self, connection: socket.socket, zone: str, name: str, kind: str) -> dict[str, str]:
        """The texts of the record sets at a name, by type, in the answer to a question."""
        question = dns.message.make_query(absolute(name), kind)
        question.flags &= ~dns.flags.RD
        answer = self._exchange(connection, zone, question)
        code = dns.rcode.to_text(answer.rcode())
        if code not in ("NOERROR", "NXDOMAIN"):
            raise self._refusal(zone, code, "a question")
        if not answer.flags & dns.flags.AA:
            raise ServerError(zone, f"{self.where} does not serve this zone", "give the zone's primary server")
        found: dict[str, str] = {}
        for rrset in answer.answer:
            if rrset.name == absolute(name) and rrset.rdclass == dns.rdataclass.IN:
                kept = dns.rdatatype.to_text(rrset.rdtype)
                found[kept] = said(kept, rrset.ttl, [value.to_text() for value in rrset])
        return found

    def _send(self, connection: socket.socket, zone: str, changes: Iterable[Change]) -> None:
        update = dns.update.UpdateMessage(absolute(zone))
        lines = list(changes)
        for change in lines:
            for line in change.prerequisites:
                require(update, line)
        for change in lines:
            for line in change.updates:
                do(update, line)
        count("update" if update.update else "question", self.where)
        code = dns.rcode.to_text(self._exchange(connection, zone, update).rcode())
        if code in CHANGED:
            raise Prerequisite(code)
        if code != "NOERROR":
            raise self._refusal(zone, code, "an update")

    def _clash(self, zone: str, changes: Mapping[str, Change], code: str) -> ServerError:
        """Which names were not as they had to be: each prerequisite is asked for alone, in an update that changes nothing."""
        wrong = []
        with self._connected(zone) as connection:
            for name, change in changes.items():
                try:
                    self._send(connection, zone, [Change(change.prerequisites, ())])
                except Prerequisite:
                    records = self._seen(connection, zone, name).records
                    there = "; ".join(f"{kind} {text.partition(' ')[2]}" for kind, text in records.items())
                    wrong.append(f"{name} ({there or 'other records'})")
        if not wrong:
            return ServerError(zone, f"its records changed on {self.where} meanwhile ({code})", "run it again")
        return ServerError(
            zone,
            f"{', '.join(wrong)} is somebody else's on {self.where}; nothing was changed",
            f"rename it, remove what is there, or hand it over with a TXT record at {marker_name(name_of(wrong[0]))}: "
            "see docs/config.md, sixstead:dns",
        )

    def _connected(self, zone: str) -> socket.socket:
        failed = self._failed.get("")
        if failed:
            raise ServerError(zone, f"not tried: {failed}")
        try:
            return socket.create_connection((self._server, self._port), TIMEOUT)
        except OSError as error:
            what = f"{self.where} can't be reached: {error.strerror or error}"
            raise self._given_up(zone, what, "check `server` and `port` of sixstead:dns.primaries") from None

    def _exchange(self, connection: socket.socket, zone: str, message: dns.message.Message) -> dns.message.Message:
        """The answer, whose signature is checked. Raises ServerError."""
        message.use_tsig(self._key)
        remedy = f"compare the key {self._key_name} there with the secret `sixstead:tsigKey`"
        try:
            answer = dns.query.tcp(message, self._server, TIMEOUT, self._port, sock=connection)
        except dns.tsig.PeerBadKey:
            raise self._given_up(zone, f"{self.where} does not know the key {self._key_name}", remedy) from None
        except dns.tsig.PeerBadTime:
            what = f"the clocks of {self.where} and of this machine differ by more than five minutes"
            raise self._given_up(zone, what, "set them right: signatures carry the time") from None
        except (dns.tsig.PeerBadSignature, dns.tsig.BadSignature):
            raise self._given_up(
                zone, f"{self.where} refuses the key {self._key_name}: its secret is another", remedy
            ) from None
        except (dns.exception.Timeout, EOFError, OSError):
            what = f"{self.where} did not answer within {TIMEOUT:.0f} s, or ended the connection"
            raise self._given_up(zone, what, "run it again: what was done by then is found to be so") from None
        except dns.exception.DNSException as error:
            what = f"{self.where} gave an answer that is none ({type(error).__name__})"
            raise ServerError(zone, what, "look at that server's log") from None
        if not answer.had_tsig:
            code = dns.rcode.to_text(answer.rcode())
            raise self._given_up(zone, f"{self.where} gave an answer without a signature ({code})", remedy)
        return answer

    def _given_up(self, zone: str, what: str, remedy: str) -> PrimaryError:
        self._failed[""] = what
        return PrimaryError(zone, what, remedy)

    def _refusal(self, zone: str, code: str, what: str) -> ServerError:
        serves = "give the server that serves this zone as its primary" if what == "a question" else ""
        remedies = {
            "REFUSED": serves or f"allow it there for the key {self._key_name} (BIND: allow-update; Knot: acl)",
            "NOTAUTH": "give the zone's primary server, and the zone's own name",
            "NOTZONE": "give the zone's own name",
        }
        remedy = remedies.get(code, "look at that server's log")
        return ServerError(zone, f"{self.where} answers {what} with {code}; nothing was changed", remedy)


def absolute(name: str) -> dns.name.Name:
    """A name as dnspython has it."""
    return dns.name.from_text(name)


def name_of(told: str) -> str:
    """The name at the beginning of what is told of it."""
    return told.split(" ")[0]


def said(kind: str, ttl: int, values: Iterable[str]) -> str:
    """A record set's text, as records.py writes it; a marker's is what it says."""
    if kind == "TXT":
        return ", ".join(sorted(value.strip('"') for value in values))
    return text_of(ttl, (value.rstrip(".").lower() for value in values))


def batches(names: Iterable[str]) -> Iterable[tuple[str, ...]]:
    """Names in groups that fit into a message."""
    rest = list(names)
    return [tuple(rest[start : start + AT_ONCE]) for start in range(0, len(rest), AT_ONCE)]


def require(update: dns.update.UpdateMessage, line: Line) -> None:
    """Add a prerequisite."""
    if line[0] == "unused":
        update.absent(absolute(line[1]))
    elif line[0] == "absent":
        update.absent(absolute(line[1]), line[2])
    else:
        update.present(absolute(line[1]), value_of(line[2], line[3]))


def do(update: dns.update.UpdateMessage, line: Line) -> None:
    """Add a change."""
    if line[0] == "add":
        update.add(absolute(line[1]), int(line[2]), value_of(line[3], line[4]))
    elif len(line) == 3:
        update.delete(absolute(line[1]), line[2])
    else:
        update.delete(absolute(line[1]), value_of(line[2], line[3]))


def value_of(kind: str, value: str) -> dns.rdata.Rdata:
    """A record's value as dnspython has it."""
    text = f'"{value}"' if kind == "TXT" else rdata(kind, value)
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text)
