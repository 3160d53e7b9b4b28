"""The toy project, run by the embedded engine and, where it is on PATH, by pulumi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
TOY = Path(__file__).with_name("toy")
PULUMI = shutil.which("pulumi")
ENGINES = ["embedded", "pulumi"] if PULUMI else ["embedded"]
# Made by pulumi for the empty passphrase.
SALT = "v1:C0l7SKVRy/4=:v1:pr6KAkfx7+d+bKG2:45q8lzr/MzTT/KRMhQgRIQ/HFI/diA=="
Resources = list[dict[str, Any]]


def pytest_report_header() -> str:
    return f"engines: {', '.join(ENGINES)}" + (
        "" if PULUMI else " (pulumi is not on PATH: nothing is compared with it)"
    )


class Toy:
    """One copy of the toy project."""

    def __init__(self, directory: Path, engine: str = "embedded") -> None:
        self.dir = directory
        self.engine = engine
        shutil.copytree(TOY, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        # The virtual environment of whoever runs the tests.
        project = {
            "name": "toy",
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
            "stackConfigDir": "stacks",
            "backend": {"url": "file://."},
        }
        (directory / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self.env: dict[str, str] = {}
        self.has()

    def has(self, *resources: dict[str, Any], stack: str = "dev", exports: Any = None, **config: Any) -> None:
        """Write the stack's config: what resources the program makes."""
        values = {
            "toy:resources": list(resources),
            "toy:exports": exports or {},
            **{f"toy:{k}": v for k, v in config.items()},
        }
        text = yaml.safe_dump({"config": values, "encryptionsalt": SALT})
        (self.dir / "stacks").mkdir(exist_ok=True)
        (self.dir / "stacks" / f"Pulumi.{stack}.yaml").write_text(text)

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-m", "cli", *argv, "--engine", self.engine]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(self.dir / "bin"), str(Path(sys.prefix) / "bin"), os.environ["PATH"]]),
            "PYTHONPATH": str(REPOSITORY),
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(self.dir / ".home"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.env,
        }

    def run(self, *argv: str, status: int | None = 0, stack: str = "dev") -> subprocess.CompletedProcess[str]:
        """Run a verb; the whole output stands in the failure when the exit status is another than `status`."""
        where = [] if "-s" in argv else ["-s", stack]
        done = subprocess.run(
            self.command(*argv, *where),
            cwd=self.dir,
            env=self.environment(),
            text=True,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert status is None or done.returncode == status, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *argv: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run("up", "--yes", "--skip-preview", *argv, status=status)

    def steps(self, *argv: str, verb: str = "preview") -> list[tuple[str, str]]:
        """(op, name) of a preview's steps, without those that keep things; names sorted, pairs in a fixed order."""
        document = json.loads(self.run(verb, "--json", *argv).stdout)
        found = [(s["op"], s["urn"].rsplit("::", 1)[1]) for s in document["steps"]]
        return sorted(s for s in found if s[0] not in ("same", "refresh") and not s[1].startswith("default"))

    def document(self, *argv: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("preview", "--json", *argv).stdout)
        return found

    @property
    def checkpoint(self) -> Path:
        return self.dir / ".pulumi" / "stacks" / "toy" / "dev.json"

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.checkpoint.read_text())["checkpoint"]["latest"] or {}
        return found

    def resources(self) -> dict[str, dict[str, Any]]:
        """The checkpoint's resources by name, without what differs from run to run."""
        return {r["urn"].rsplit("::", 1)[1]: normal(r) for r in self.deployment().get("resources", [])}

    def calls(self) -> list[str]:
        """What the provider was asked since the last time."""
        path = self.dir / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def host(self) -> dict[str, str]:
        folder = self.dir / "host"
        return {p.name: p.read_text() for p in sorted(folder.iterdir())} if folder.exists() else {}


def normal(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without times, ids of provider resources, positions and ciphertexts."""
    left = {k: v for k, v in resource.items() if k not in ("created", "modified", "sourcePosition", "stackTrace")}
    if left["type"].startswith("pulumi:providers:"):
        left.pop("id", None)
    if "provider" in left:
        left["provider"] = left["provider"].rsplit("::", 1)[0]
    for key in ("dependencies",):
        left[key] = sorted(left.get(key, []))
    needs = left.get("propertyDependencies") or {}
    left["propertyDependencies"] = {k: sorted(v or []) for k, v in needs.items()}
    return _without_ciphertext(left)  # type: ignore[no-any-return]


def _without_ciphertext(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "[secret]" if k == "ciphertext" else _without_ciphertext(v) for k, v in value.items()}
    return [_without_ciphertext(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "embedded")


@pytest.fixture
def toys(tmp_path: Path) -> list[Toy]:
    """The same project once for each engine that is there."""
    return [Toy(tmp_path / engine, engine) for engine in ENGINES]


@pytest.fixture
def make_toy(tmp_path: Path) -> Callable[[str], Toy]:
    return lambda engine: Toy(tmp_path / "one", engine)
