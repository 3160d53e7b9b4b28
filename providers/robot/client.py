"""The requests of a process to Robot: one after the other, over one login, with one budget of waiting for all of them."""

from __future__ import annotations

import base64
import datetime
import http.client
import ipaddress
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from providers.host.errors import ServerError, count
from providers.host.sessions import tell
from providers.robot import limits
from providers.robot.answers import Answer, Garbled, one_line, read_answer

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds for one answer, to its last byte."""

LARGEST = 8 * 2**20
"""Bytes of an answer."""


EVERYTHING = "*"
"""Stands for all endpoints."""


class RobotError(ServerError):
    """What Robot refused or could not do; `server` is the address that it concerns."""


class Refused(RobotError):
    """Robot understood, and said no: `answer` says why."""

    def __init__(self, server: str, answer: Answer, what: str, remedy: str = "") -> None:
        super().__init__(server, what, remedy)
        self.answer = answer


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the login along to wherever it is redirected."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Never."""


class Robot:
    """An account at Robot; thread-safe.

    `wait`: seconds that all requests together may wait for maintenance and limits. After a refused login no request
    is made any more, as three of them lock this machine out; nor after Robot could not be reached, nor after the
    waiting is used up. A limit that is used up closes the one endpoint that it is of.
    """

    def __init__(self, endpoint: str, user: str, password: str, wait: float, timeout: float = TIMEOUT) -> None:
        self.endpoint, self.wait, self.timeout = endpoint, wait, timeout
        self.lock = threading.RLock()
        self.written = 0
        self.waited = 0.0
        self._closed: dict[str, str] = {}
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._login, self._secrets = f"Basic {login}", [secret for secret in (login, password, user) if secret]
        host = urllib.parse.urlsplit(endpoint).hostname or ""
        self._open = urllib.request.build_opener(NoRedirect(), *no_proxies(host)).open

    def request(
        self,
        subject: str,
        method: str,
        route: str,
        read: Callable[[Answer], T],
        *,
        ip: str = "",
        form: Mapping[str, str] | None = None,
    ) -> T:
        """Ask until there is an answer, and give it as `read` understands it, which raises Garbled where it can't.

        `route` may have `{ip}`. Raises Refused for what another try can't change, RobotError for all else; both tell
        of `subject`.
        """
        endpoint, path = f"{method} {route}", route.replace("{ip}", urllib.parse.quote(ip, safe=":"))
        with self.lock:
            self._check_open(subject, endpoint)
            failures, waits, before = 0, 0, self.waited
            while True:
                try:
                    answer = self._send(method, path, form)
                    if answer.meaning == "done":
                        return read(answer)
                except Garbled as error:
                    failures += 1
                    self._after_failure(subject, failures, f"no answer of Robot's to {endpoint}: {error}", lasting=True)
                    continue
                if answer.meaning == "login":
                    self._close(subject, EVERYTHING, "Robot refused the login", *LOGIN)
                if answer.meaning == "failed":
                    failures += 1
                    self._after_failure(subject, failures, self._said(endpoint, answer), lasting=False)
                elif answer.meaning == "refused":
                    raise Refused(subject, answer, self._said(endpoint, answer))
                else:
                    waits += 1
                    self._await(subject, endpoint, answer, waits, self.waited - before)

    def _check_open(self, subject: str, endpoint: str) -> None:
        """Raises RobotError where it was given up before: in a line, as the first one that it met told it in full."""
        why = self._closed.get(endpoint) or self._closed.get(EVERYTHING)
        if why:
            raise RobotError(subject, f"left to do: not tried, as {why}")

    def _close(self, subject: str, endpoint: str, short: str, what: str, remedy: str) -> NoReturn:
        """Ask this endpoint no more in this run."""
        self._closed[endpoint] = f"{short} (see {subject})"
        raise RobotError(subject, what, remedy)

    def _after_failure(self, subject: str, failures: int, what: str, *, lasting: bool) -> None:
        """Pause, or raise RobotError once it was tried often enough; `lasting`: it is given up for the whole run."""
        pause = limits.pause_after_failure(failures)
        if pause is not None:
            time.sleep(pause)
            return
        what, remedy = f"{what} ({failures} tries)", self._with_rest(LATER)
        if lasting:
            self._close(subject, EVERYTHING, "Robot did not answer", what, remedy)
        raise RobotError(subject, what, remedy)

    def _await(self, subject: str, endpoint: str, answer: Answer, waits: int, waited: float) -> None:
        """Wait for the end of maintenance, or of a limit's interval. Raises RobotError where that would be too long."""
        pause = limits.pause_for(answer, waits, waited, self.wait - self.waited)
        what, remedy = "Robot is in maintenance", LATER
        if answer.meaning == "limit":
            what, remedy = limits.limit_told(answer, endpoint, datetime.datetime.now().astimezone())
        if pause is not None:
            tell(f"{subject}: {what}; trying again in {pause:.0f} s")
            self.waited += pause
            time.sleep(pause)
            return
        whole = f"{what}; {self.waited:.0f} s were waited in this run" if self.waited else what
        if answer.meaning == "limit":
            self._close(subject, endpoint, "a limit of Robot's is used up", whole, self._with_rest(remedy))
        self._close(subject, EVERYTHING, "Robot is in maintenance", whole, self._with_rest(remedy))

    def _with_rest(self, remedy: str) -> str:
        """What was done and stays, so that nobody fears to have to begin again."""
        if not self.written:
            return remedy
        done = "1 PTR record was" if self.written == 1 else f"{self.written} PTR records were"
        return f"{remedy}. {done} written in this run and stay so; what is left is done by the next one"

    def _said(self, endpoint: str, answer: Answer) -> str:
        said = f"Robot refused {endpoint}: {answer.status} {answer.code}: {answer.message}"
        for secret in self._secrets:
            said = said.replace(secret, "[secret]")
        return said.rstrip(": ")

    def _send(self, method: str, path: str, form: Mapping[str, str] | None) -> Answer:
        """One request. Raises Garbled where no whole answer came in time."""
        count("robot", method)
        data = None if form is None else urllib.parse.urlencode(form).encode()
        headers = {"Authorization": self._login, "Accept": "application/json"}
        request = urllib.request.Request(self.endpoint + path, data, headers, method=method)  # noqa: S310 - checked by settings
        deadline = time.monotonic() + self.timeout
        try:
            with self._open(request, timeout=self.timeout) as response:
                return read_answer(response.status, dict(response.headers), self._body(response, deadline))
        except urllib.error.HTTPError as error:
            with error:
                return read_answer(error.code, dict(error.headers), self._body(error, deadline))
        except TimeoutError:
            raise Garbled(f"nothing came within {self.timeout:.0f} s") from None
        except urllib.error.URLError as error:
            raise Garbled(self._why(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Garbled(self._why(error)) from None

    def _why(self, reason: object) -> str:
        if isinstance(reason, TimeoutError):
            return f"nothing came within {self.timeout:.0f} s"
        host = urllib.parse.urlsplit(self.endpoint).netloc
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"the certificate of {host} can't be trusted ({one_line(reason.verify_message)}); nothing was sent"
        return f"{host}: {one_line(reason) or type(reason).__name__}"

    def _body(self, response: http.client.HTTPResponse | urllib.error.HTTPError, deadline: float) -> bytes:
        body = b""
        while piece := response.read1(65536):
            body += piece
            if time.monotonic() > deadline:
                raise Garbled(f"the answer was not whole within {self.timeout:.0f} s")
            if len(body) > LARGEST:
                raise Garbled("the answer is larger than any of Robot's")
        return body


LATER = "run it again later; https://status.hetzner.com says more"

LOGIN = (
    "Robot refused the login: robotUser or robotPassword is wrong, or this machine's address is locked out (for 10 minutes, after"
    " three wrong logins). It was not tried again",
    "in Robot, under Settings, Web service and app settings, see the user's name (`#ws+...`) and set a new password; then"
    " `./sixstead config set --secret robotUser` and robotPassword",
)


def no_proxies(host: str) -> list[urllib.request.BaseHandler]:
    """For a service on this machine: past whatever proxy the environment names."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return [urllib.request.ProxyHandler({})] if local else []
