"""Commands in a guest: through the tiny guest's own door, or by SSH with the lab's login key."""

from __future__ import annotations

import http.client
import shlex
import subprocess
from collections.abc import Sequence

from lab.errors import LabError
from lab.topology import Guest

DOOR = 1023


def run(
    guest: Guest, argv: Sequence[str], stdin: bytes | None, timeout: float | None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a tiny guest. Call it in the server's network namespace: from there the guest is a neighbour,
    and no firewall rule for the internet has to be opened for tests.

    Raises LabError when the guest doesn't answer, subprocess.TimeoutExpired when the command takes too long."""
    if stdin:
        raise LabError("a guest's command gets no standard input")
    connection = http.client.HTTPConnection(str(guest.address), DOOR, timeout=timeout)
    try:
        connection.request("POST", "/cgi-bin/exec", body=shlex.join(argv).encode())
        answer = connection.getresponse().read()
    except TimeoutError as error:
        raise subprocess.TimeoutExpired(list(argv), timeout or 0) from error
    except OSError as error:
        raise LabError(f"guest {guest.name} ({guest.address}) doesn't answer: {error.strerror or error}") from error
    finally:
        connection.close()
    head, _, rest = answer.partition(b"\n")
    try:
        status, out, err = map(int, head.split())
    except ValueError as error:
        raise LabError(f"guest {guest.name} ({guest.address}) is no tiny guest: it answers {head[:60]!r}") from error
    return subprocess.CompletedProcess(list(argv), status, rest[:out], rest[out : out + err])
