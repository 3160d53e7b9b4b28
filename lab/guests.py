"""Commands in a guest: through the tiny guest's own door, or by SSH with the lab's login key."""

from __future__ import annotations

import http.client
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.topology import Guest

DOOR = 1023
# The login that Debian's cloud-init makes.
_CLOUD_USER = "debian"


def run(
    guest: Guest, argv: Sequence[str], stdin: bytes | None, timeout: float | None, key: Path
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a guest: in a tiny one as root, in one with cloud-init (whose `keys` must have the lab's) as
    `debian`, a sudoer. Call it in the server's network namespace: from there the guest is a neighbour, and no
    firewall rule for the internet has to be opened for tests.

    Raises LabError when the guest doesn't answer, subprocess.TimeoutExpired when the command takes too long."""
    connection = http.client.HTTPConnection(str(guest.address), DOOR, timeout=timeout)
    try:
        connection.request("POST", "/cgi-bin/exec", body=shlex.join(argv).encode())
        answer = connection.getresponse().read()
    except TimeoutError as error:
        raise subprocess.TimeoutExpired(list(argv), timeout or 0) from error
    except ConnectionRefusedError:
        return _ssh(guest, argv, stdin, timeout, key)
    except OSError as error:
        raise LabError(f"guest {guest.name} ({guest.address}) doesn't answer: {error.strerror or error}") from error
    finally:
        connection.close()
    if stdin:
        raise LabError("a command in a tiny guest gets no standard input")
    head, _, rest = answer.partition(b"\n")
    try:
        status, out, err = map(int, head.split())
    except ValueError as error:
        raise LabError(f"guest {guest.name} ({guest.address}) is no tiny guest: it answers {head[:60]!r}") from error
    return subprocess.CompletedProcess(list(argv), status, rest[:out], rest[out : out + err])


def _ssh(
    guest: Guest, argv: Sequence[str], stdin: bytes | None, timeout: float | None, key: Path
) -> subprocess.CompletedProcess[bytes]:
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    command = ["ssh", "-F", "none", "-i", str(key), *(f"-o{option}" for option in options)]
    command += [f"{_CLOUD_USER}@{guest.address}", shlex.join(argv)]
    done = subprocess.run(command, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
    if done.returncode == 255:
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"guest {guest.name} ({guest.address}) lets nobody in: {said}")
    return done
