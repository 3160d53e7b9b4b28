"""Which stacks a change touches."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli.touched import touched
from engine.errors import EngineError


class Repository:
    """A git repository with two stacks, and a branch `change` for what is proposed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "-q", "-b", "main", str(path), at=path.parent)
        self.write("Pulumi.yaml", "name: sixstead\nruntime: python\nstackConfigDir: stacks\n")
        for stack in ("one", "two"):
            self.write(f"stacks/Pulumi.{stack}.yaml", "config: {}\n")
        self.commit()
        self.git("checkout", "-q", "-b", "change")

    def git(self, *arguments: str, at: Path | None = None) -> None:
        name = ["-c", "user.name=t", "-c", "user.email=t@example.net"]
        subprocess.run(["git", *name, *arguments], cwd=at or self.path, check=True, capture_output=True)

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_stack_file_touches_its_stack(repository: Repository) -> None:
    repository.write("stacks/Pulumi.one.yaml", "config: {a: 1}\n")
    repository.write("README.md", "words\n")
    repository.commit()
    found = touched(repository.path, "main", "change")
    assert (found.names, found.code) == (["one"], [])
    assert found.stacks == {"one": b"config: {a: 1}\n"}


@pytest.mark.parametrize(
    "name", ["providers/guest.py", "Pulumi.yaml", "stacks/evil", ".github/workflows/x.yml", "setup"]
)
def test_anything_else_touches_all_stacks(repository: Repository, name: str) -> None:
    repository.write(name, "name: sixstead\nruntime: python\nstackConfigDir: stacks\nx: 1\n")
    repository.commit()
    found = touched(repository.path, "main", "change")
    assert (found.names, found.code) == (["one", "two"], [name])


def test_a_stack_file_that_is_a_link_is_code(repository: Repository) -> None:
    (repository.path / "stacks" / "Pulumi.three.yaml").symlink_to("/etc/passwd")
    repository.commit()
    found = touched(repository.path, "main", "change")
    assert found.stacks == {}
    assert found.code == ["stacks/Pulumi.three.yaml"]


def test_new_and_removed_stacks_are_touched(repository: Repository) -> None:
    (repository.path / "stacks" / "Pulumi.two.yaml").unlink()
    repository.write("stacks/Pulumi.three.yaml", "config: {}\n")
    repository.commit()
    found = touched(repository.path, "main", "change")
    assert found.stacks == {"two": None, "three": b"config: {}\n"}
    assert found.code == []


def test_what_the_base_got_meanwhile_is_not_shown_as_undone(repository: Repository) -> None:
    repository.write("stacks/Pulumi.one.yaml", "config: {a: 1}\n")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("stacks/Pulumi.two.yaml", "config: {b: 1}\n")
    repository.commit()
    assert touched(repository.path, "main", "change").names == ["one"]


def test_a_conflict_is_told(repository: Repository) -> None:
    repository.write("stacks/Pulumi.one.yaml", "config: {a: 1}\n")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("stacks/Pulumi.one.yaml", "config: {a: 2}\n")
    repository.commit()
    with pytest.raises(EngineError, match="conflict"):
        touched(repository.path, "main", "change")


@pytest.mark.parametrize("revision", ["--output=/tmp/x", "nothing", "main:setup", "$(id)"])
def test_what_is_no_commit_is_refused(repository: Repository, revision: str) -> None:
    with pytest.raises(EngineError, match="no commit"):
        touched(repository.path, "main", revision)
