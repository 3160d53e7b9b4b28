"""`/rdns`: the PTR records of an account's addresses. One list serves all reads of a run; a write is one request."""

from __future__ import annotations

import ipaddress
from typing import Any

from providers.robot.answers import Answer, Garbled
from providers.robot.client import Refused, Robot, RobotError

ALL, ONE = "/rdns", "/rdns/{ip}"


class PtrRecords:
    """The PTR records of an account; thread-safe. Addresses and names are in their usual form (see `normal`)."""

    def __init__(self, robot: Robot) -> None:
        self.robot = robot
        self._known: dict[str, str] | None = None

    def listed(self, ip: str) -> str | None:
        """What the account's list says of an address; the list is asked for once."""
        with self.robot.lock:
            if self._known is None:
                try:
                    self._known = self.robot.request(ip, "GET", ALL, read_list)
                except Refused as error:
                    if error.answer.status != 404:
                        raise
                    self._known = {}  # 404 NOT_FOUND: there is none at all
            return self._known.get(ip)

    def read(self, ip: str) -> str | None:
        """The PTR record of an address, or None. What the list doesn't have is asked for by itself.

        Raises RobotError, also for an address that the account doesn't have: then nothing is known of it.
        """
        with self.robot.lock:
            return self.listed(ip) or self._asked(ip)

    def write(self, ip: str, ptr: str) -> None:
        """Make the record say `ptr`; one that does is left as it is. Raises RobotError."""
        with self.robot.lock:
            present = self.listed(ip)
            if present is None:
                try:
                    self._put(ip, ptr, "PUT")
                    return
                except Refused as error:
                    if error.answer.status != 409:
                        raise self._explained(error, ip, ptr) from None
                present = self._asked(ip)
            if present != ptr:
                try:
                    self._put(ip, ptr, "POST")
                except Refused as error:
                    raise self._explained(error, ip, ptr) from None

    def remove(self, ip: str, ptr: str) -> str:
        """Give the address back what the hoster has for it. What says something else than `ptr` is kept, and returned."""
        with self.robot.lock:
            present = self.listed(ip)
            if present is not None and present != ptr:
                return present
            try:
                if present is not None:
                    self.robot.request(ip, "DELETE", ONE, lambda _: None, ip=ip)
            except Refused as error:
                if error.answer.status != 404:
                    raise
            self._learn(ip, None)
            return ""

    def _asked(self, ip: str) -> str | None:
        try:
            found = self.robot.request(ip, "GET", ONE, lambda answer: read_one(answer, ip), ip=ip)
        except Refused as error:
            if error.answer.code != "RDNS_NOT_FOUND":
                raise self._explained(error, ip, "") from None
            found = None
        self._learn(ip, found)
        return found

    def _put(self, ip: str, ptr: str, method: str) -> None:
        stored = self.robot.request(ip, method, ONE, lambda answer: read_one(answer, ip), ip=ip, form={"ptr": ptr})
        self.robot.written += 1
        self._learn(ip, stored)
        if stored != ptr:
            raise RobotError(ip, f"Robot was told the PTR {ptr}, and keeps {stored}", "give it a `ptr:` that it takes")

    def _learn(self, ip: str, ptr: str | None) -> None:
        if self._known is not None:
            self._known.pop(ip, None)
            if ptr is not None:
                self._known[ip] = ptr

    def _explained(self, error: Refused, ip: str, ptr: str) -> RobotError:
        """The refusal in the owner's terms."""
        if error.answer.code == "IP_NOT_FOUND":
            remedy = "check the address, and that robotUser belongs to the account that has the server"
            return RobotError(ip, "the account of robotUser at Robot has no such address", remedy)
        if error.answer.code == "INVALID_INPUT":
            return RobotError(
                ip, f"Robot does not take the PTR {ptr} ({error.answer.message})", "give it another `ptr:`"
            )
        return error


def read_list(answer: Answer) -> dict[str, str]:
    """Names by address. Raises Garbled."""
    if not isinstance(answer.value, list):
        raise Garbled("the answer is no list of PTR records")
    return dict(read_entry(item) for item in answer.value)


def read_one(answer: Answer, ip: str) -> str:
    """The name of an address. Raises Garbled."""
    found, ptr = read_entry(answer.value)
    if found != ip:
        raise Garbled(f"the answer is of {found}, and {ip} was asked for")
    return ptr


def read_entry(value: Any) -> tuple[str, str]:
    """Address and name of `{"rdns": {"ip": ..., "ptr": ...}}`. Raises Garbled."""
    entry = value.get("rdns") if isinstance(value, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("ptr"), str):
        raise Garbled("the answer is no PTR record")
    try:
        return str(ipaddress.ip_address(entry.get("ip"))), normal(entry["ptr"])  # type: ignore[arg-type]
    except ValueError:
        raise Garbled("the answer is no PTR record") from None


def normal(name: str) -> str:
    """A domain name as it is compared: in lower case, without the root's dot (RFC 4343, RFC 1034)."""
    return name.lower().rstrip(".")
