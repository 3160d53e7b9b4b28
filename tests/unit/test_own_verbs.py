"""A verb of ours that takes too long is told to end, then ended, and never waited for without bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.own_verbs import said
from tests.unit.test_touched import Repository

PROJECT = Path(__file__).resolve().parents[2]
WELL = "import signal, sys, time\nprint('begun', flush=True)\n"
CLEANS_UP = f"{WELL}signal.signal(15, lambda *_: (open('cleaned', 'w').close(), sys.exit(3)))\ntime.sleep(60)\n"
DEAF = f"{WELL}import os\nopen('pid', 'w').write(str(os.getpid()))\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)\n"
WITH_CHILD = f"{WELL}import subprocess\nsubprocess.run(['sleep', '60'])\n"


def verb(folder: Path, program: str) -> Path:
    """A folder in which `python -m cli` is this program."""
    (folder / "cli").mkdir()
    (folder / "cli" / "__init__.py").touch()
    (folder / "cli" / "__main__.py").write_text(program)
    return folder


def test_what_is_printed_is_given_with_its_status(tmp_path: Path) -> None:
    root = verb(tmp_path, "import sys\nprint(sys.argv[1:])\nprint('dropped', file=sys.stderr)\nsys.exit(1)\n")
    assert said(["preview", "x"], root, True) == ("['preview', 'x']\n", 1)


@pytest.mark.parametrize("program", [CLEANS_UP, DEAF, WITH_CHILD])
def test_what_takes_too_long_is_ended(tmp_path: Path, program: str) -> None:
    started = time.monotonic()
    assert said(["rehearse"], verb(tmp_path, program), True, seconds=4, patience=2) == ("", None)
    assert time.monotonic() - started < 20
    assert (tmp_path / "cleaned").exists() == (program == CLEANS_UP), "SIGTERM comes before SIGKILL"
    if program == DEAF:
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_may_not_be_signalled_is_left_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_group: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refused)
    monkeypatch.setenv("PATH", "/nonexistent")
    started = time.monotonic()
    try:
        assert said(["rehearse"], verb(tmp_path, DEAF), True, seconds=2, patience=0.2) == ("", None)
        assert time.monotonic() - started < 15
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_cancelled_review_ends_what_it_has_begun(tmp_path: Path) -> None:
    """As a job's runner cancels it: SIGTERM to `review` alone, which has its verbs in groups of their own."""
    repository = Repository(tmp_path / "servers")
    repository.write("stacks/Pulumi.one.yaml", "config: {a: 1}\n")
    repository.commit()
    root = verb(repository.path, CLEANS_UP.replace("'begun'", "'begun', file=open('begun', 'w')"))
    command = [sys.executable, "-m", "cli", "review", "-C", str(root), "--since", "main", "--head", "change"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not (root / "begun").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.5)
        process.terminate()
        assert process.wait(20) == 130
        assert (root / "cleaned").exists()
    finally:
        process.kill()
