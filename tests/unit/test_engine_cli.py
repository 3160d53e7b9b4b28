"""The launcher and the dispatch of verbs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.__main__ import VERBS, main, usage
from cli.arguments import parser
from cli.engine_verbs import choose, project_root
from engine.errors import EngineError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_launcher_says_what_to_do_when_there_is_no_environment(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "sixstead", tmp_path)
    done = subprocess.run([str(tmp_path / "sixstead"), "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"sixstead: {tmp_path}/.venv is missing; run `make setup` in {tmp_path} first\n"


def test_every_verb_has_a_module_and_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name, verb in VERBS.items():
        assert importlib.util.find_spec(verb.module) is not None
        assert f"  {name} " in usage()
    assert main(["--help"]) == 0
    assert main([]) == 2
    assert main(["frobnicate"]) == 2
    assert "no verb 'frobnicate'" in capsys.readouterr().err


def test_the_usage_text_waits_for_no_sdk() -> None:
    code = "import sys; from cli.__main__ import main; main(['--help']); print([m for m in sys.modules if m in ('pulumi', 'grpc')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_which_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SIXSTEAD_ENGINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose(None) == "embedded"
    with pytest.raises(EngineError, match="no pulumi on PATH"):
        choose("pulumi")
    (tmp_path / "pulumi").write_text("#!/bin/sh\n")
    (tmp_path / "pulumi").chmod(0o755)
    assert choose(None) == "pulumi"
    assert choose("embedded") == "embedded"
    monkeypatch.setenv("SIXSTEAD_ENGINE", "embedded")
    assert choose(None) == "embedded"
    assert choose("pulumi") == "pulumi"
    monkeypatch.setenv("SIXSTEAD_ENGINE", "terraform")
    with pytest.raises(EngineError, match="embedded or pulumi"):
        choose(None)


def test_the_project_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_root(below) == tmp_path
    assert project_root(Path("/")) == REPOSITORY


@pytest.mark.parametrize(
    ("argv", "refresh"),
    [(["up"], False), (["up", "-r"], True), (["up", "--refresh=true"], True), (["up", "--refresh=false"], False)],
)
def test_refresh_is_a_flag_or_takes_a_truth(argv: list[str], refresh: bool) -> None:
    assert parser().parse_args([*argv, "-s", "lab"]).refresh is refresh
