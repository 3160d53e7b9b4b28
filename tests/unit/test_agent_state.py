"""The agent's core against a real folder: what is taken over, what is given back, what survives a kill in between."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.host.agent import facets
from providers.host.agent.facets import Context, Registry, State, converge
from providers.host.agent.files import Files
from providers.host.agent.system import HostError, Records, make_dirs, quoted


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program runs after it."""


class Host:
    """A registry of real files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry({"files": Files()})
        self.etc = folder / "etc"
        self.etc.mkdir()
        self.notes: list[str] = []

    def up(self, previous: State | None = None, **texts: str) -> dict[str, State]:
        """Converge one resource to these files."""
        context = Context(lambda text: None, notes=self.notes)
        return converge(self.registry, {"one": self.state(**texts)}, [previous or {}], [], context)

    def remove(self, **written: str) -> None:
        """Give the resource back."""
        context = Context(lambda text: None, notes=self.notes)
        converge(self.registry, {}, [self.state(**written)], ["one"], context)

    def state(self, **texts: str) -> State:
        return {"files": {str(self.etc / name): text for name, text in texts.items()}} if texts else {}

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.etc.iterdir()) if path.is_file()}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(facets, "STATE_DIR", str(tmp_path / "state"))
    return Host(tmp_path)


def test_the_wanted_files_are_written_and_given_back(host: Host) -> None:
    (host.etc / "old").write_text("the owner's")
    host.up(old="ours", new="ours too")
    assert host.files() == {"old": "ours", "new": "ours too"}
    host.remove(old="ours", new="ours too")
    assert host.files() == {"old": "the owner's"}
    assert list(host.registry.manifest.names()) == []
    assert list(host.registry.before("files").names()) == []


def test_a_second_time_nothing_is_written(host: Host) -> None:
    host.up(one="text")
    stamps = {path: path.stat().st_mtime_ns for path in host.etc.parent.rglob("*")}
    host.up(one="text")
    assert {path: path.stat().st_mtime_ns for path in host.etc.parent.rglob("*")} == stamps


def test_what_left_the_list_goes_and_the_rest_stays(host: Host) -> None:
    host.up(one="1", two="2")
    host.up(two="2")
    assert host.files() == {"two": "2"}


def test_an_edit_by_the_owner_is_kept_and_told(host: Host) -> None:
    host.up(one="ours")
    (host.etc / "one").write_text("edited")
    host.remove(one="ours")
    assert host.files() == {"one": "edited"}
    assert [note for note in host.notes if "kept" in note]


def test_the_before_state_is_not_taken_over_our_own_writes(host: Host) -> None:
    (host.etc / "one").write_text("the owner's")
    host.up(one="first")
    host.up(one="second")
    host.remove(one="second")
    assert host.files() == {"one": "the owner's"}


def test_a_file_that_was_as_wanted_before_us_stays_when_we_go(host: Host) -> None:
    (host.etc / "one").write_text("text")
    host.up(one="text")
    host.remove(one="text")
    assert host.files() == {"one": "text"}


@pytest.mark.parametrize("at", ["take_over", "carry_out", "settle"])
def test_a_kill_before_or_after_each_part_leaves_nothing_behind(
    host: Host, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.etc / "one").write_text("the owner's")
    host.up(one="first")
    for after in (False, True):
        part = getattr(Registry, at)

        def killed(*arguments: object, _part: object = part, _after: bool = after) -> None:
            if _after:
                _part(*arguments)  # type: ignore[operator]
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Registry, at, killed)
            with pytest.raises(Killed):
                host.up(one="second", two="new")
    host.remove()
    assert host.files() == {"one": "the owner's"}
    assert host.notes == []


def test_a_kill_and_then_up_finishes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "carry_out", killed)
        with pytest.raises(Killed):
            host.up(one="1", two="2")
    host.up(two="2")
    assert host.files() == {"two": "2"}


def test_an_item_that_another_resource_owns_now_is_not_taken_from_it(host: Host) -> None:
    context = Context(lambda text: None)
    state = host.state(shared="text")
    converge(host.registry, {"one": state}, [], [], context)
    converge(host.registry, {"two": state}, [], [], context)
    host.remove(shared="text")
    assert host.files() == {"shared": "text"}


def test_a_link_is_replaced_and_comes_back_as_a_link(host: Host) -> None:
    (host.etc / "target").write_text("elsewhere")
    (host.etc / "one").symlink_to("target")
    host.up(one="ours")
    assert not (host.etc / "one").is_symlink()
    assert (host.etc / "target").read_text() == "elsewhere"
    host.remove(one="ours")
    assert (host.etc / "one").readlink() == Path("target")


def test_mode_and_content_come_back(host: Host) -> None:
    (host.etc / "one").write_bytes(b"\xff\x00")
    (host.etc / "one").chmod(0o640)
    host.up(one="ours")
    host.remove(one="ours")
    assert (host.etc / "one").read_bytes() == b"\xff\x00"
    assert (host.etc / "one").stat().st_mode & 0o777 == 0o640


def test_a_changed_mode_is_drift(host: Host) -> None:
    host.up(one="ours")
    (host.etc / "one").chmod(0o666)
    seen = host.registry.observe(host.state(one="ours"))["files"][str(host.etc / "one")]
    assert seen == {"text": "ours", "mode": "0666", "owner": "root:root"}


def test_a_directory_in_the_way_is_refused_with_its_name(host: Host) -> None:
    (host.etc / "one").mkdir()
    with pytest.raises(HostError, match=r"etc/one is not a regular file|etc/one is a directory"):
        host.up(one="text")


def test_an_unknown_facet_is_refused_by_name(host: Host) -> None:
    with pytest.raises(HostError, match="nothing of teleports"):
        host.registry.observe({"teleports": {"a": "b"}})


def test_long_and_strange_names_are_records(tmp_path: Path) -> None:
    records = Records(str(tmp_path / "records"))
    names = ["a/b", "..", "x" * 300, "ü €", "%2F"]
    for name in names:
        records.put(name, name)
    assert sorted(records.names()) == sorted(names)
    assert all(records.get(name) == name and len(quoted(name)) < 200 for name in names)


def test_content_in_the_before_state_is_base64_of_the_whole(host: Host) -> None:
    (host.etc / "one").write_text("the owner's")
    host.up(one="ours")
    captured = host.registry.before("files").get(str(host.etc / "one"))
    assert base64.b64decode(captured["captured"]["content"]) == b"the owner's"


def test_two_that_make_the_same_directory_do_not_stumble_over_each_other(tmp_path: Path) -> None:
    def make(_: int) -> None:
        for number in range(300):
            make_dirs(str(tmp_path / str(number) / "a" / "b"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
    assert len(list(tmp_path.glob("*/a/b"))) == 300
