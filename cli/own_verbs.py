"""Verbs of ours as processes of their own, with a bound: what they print, and nothing else of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SECONDS = 900
"""How long one verb may take."""
PATIENCE = 60
"""Seconds for it to end when it is told to: a rehearsal takes its lab down."""
HARMLESS = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PULUMI_HOME",
    "SIXSTEAD_ENGINE",
    "SIXSTEAD_LAB_CACHE",
    "PULUMI_SKIP_UPDATE_CHECK",
)
"""Variables of a preview without secrets, and of a rehearsal; they get no other."""
NOT_ITS = (
    "GITHUB_TOKEN",
    "SIXSTEAD_REVIEW_TOKEN",
    "CI_JOB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""Variables that no preview needs."""

Run = Callable[[list[str], Path, bool], tuple[str, int | None]]
"""`said`, or what stands for it."""


def said(
    verb: list[str], root: Path, without_secrets: bool, seconds: float = SECONDS, patience: float = PATIENCE
) -> tuple[str, int | None]:
    """What a verb of ours prints, and its status; None where it took too long. Its standard error is dropped: a job's log is
    read by strangers, and nobody masks secrets in it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", *verb],
        cwd=root,
        env=environment(without_secrets),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(process, patience)
        return "", None
    except BaseException:
        end(process, patience)
        raise
    return out.decode(errors="replace"), process.returncode


def end(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a verb and what it started: SIGTERM, and SIGKILL after `patience` seconds. One that runs as root, by sudo, is told
    by sudo, and not killed: it ends by itself, and nobody waits for it without bound."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            if number == signal.SIGTERM and (sudo := shutil.which("sudo")):
                told = [sudo, "-n", "kill", "-TERM", "--", f"-{process.pid}"]
                subprocess.run(told, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)
            return
    if process.stdout:
        process.stdout.close()


def environment(without_secrets: bool) -> dict[str, str]:
    """What a preview gets of this process's variables."""
    package = str(Path(__file__).resolve().parent.parent)
    if without_secrets:
        found = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    else:
        found = {name: value for name, value in os.environ.items() if name not in NOT_ITS}
    return {**found, "PYTHONPATH": package}
