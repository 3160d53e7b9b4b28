"""Processes that end when the engine does, however it ends.

Each child asks the kernel for SIGKILL at its parent's death (prctl PR_SET_PDEATHSIG, which survives exec) and runs in a
process group of its own, so that a Ctrl-C reaches the engine only, which then decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

# Runs before the program itself; the parent may have died between fork and prctl, so its pid is compared.
_GUARD = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);os.execvp(sys.argv[2],sys.argv[2:])"
)


async def spawn(argv: list[str], *, cwd: Path, env: dict[str, str], stdin: bool = False) -> Process:
    """Start a program with its output in pipes; `argv[0]` is looked up on PATH."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        _GUARD,
        str(os.getpid()),
        *argv,
        cwd=cwd,
        env=env,
        stdin=PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
        limit=2**24,
    )


async def end(process: Process, patience: float = 2.0) -> None:
    """End a process and what it started: SIGTERM, and SIGKILL after `patience` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), patience)
