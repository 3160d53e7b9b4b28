"""refresh, destroy and the refresh half of preview and up, with today's config."""

from __future__ import annotations

from tests.engine.conftest import Toy
from tests.engine.test_planning import file, of


def test_drift_is_shown_and_mended(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(file("a"), file("b"))
        toy.up()
        (toy.dir / "host" / "a").write_text("text\nedited\n")
        shown = toy.run("preview", "--refresh", "--diff").stdout
        assert "+ edited" in shown.replace("+edited", "+ edited"), "what has changed on the host is shown as such"
        assert (toy.dir / "host" / "a").read_text() == "text\nedited\n"
        assert toy.steps("--refresh") == [("update", "a")]
        toy.calls()
        toy.up("--refresh")
        assert sorted(toy.calls()) == ["read a", "read b", "update a"]
        assert toy.host()["a"] == "text\nx\n"
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_what_is_gone_is_made_again(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(file("a"), file("b", options={"depends_on": ["a"]}))
        toy.up()
        (toy.dir / "host" / "a").unlink()
        assert toy.steps("--refresh") == [("create", "a")]
        toy.up("--refresh")
        assert set(toy.host()) == {"a", "b"}
        toy.run("preview", "--refresh", "--expect-no-changes")
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_refresh_writes_what_it_read_and_forgets_what_is_gone(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(file("a"), file("b"), file("c", of("b")))
        toy.up()
        (toy.dir / "host" / "a").write_text("text\nedited\n")
        (toy.dir / "host" / "b").unlink()
        toy.run("refresh", "--yes", "--expect-no-changes", "--preview-only", status=7)
        toy.calls()
        toy.run("refresh", "--yes", "--skip-preview")
        assert sorted(toy.calls()) == ["read a", "read b", "read c"]
        assert toy.resources()["a"]["outputs"]["rendered"] == "text\nedited\n"
        assert "b" not in toy.resources()
        assert toy.steps() == [("create", "b"), ("update", "a")]
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_a_refresh_without_drift_changes_nothing(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a", {"secret": "s"}), {"name": "box", "kind": "box"}, file("b", options={"parent": "box"}))
        toy.up()
        before = toy.resources()
        toy.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        assert toy.resources() == before


def test_a_host_that_cannot_be_reached_does_not_empty_the_state(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"), file("b"))
        toy.up()
        before = toy.resources()
        toy.env["TOY_UNREACHABLE"] = "1"
        for verb in (["refresh"], ["up", "--refresh"]):
            done = toy.run(*verb, "--yes", "--skip-preview", status=1)
            assert "the host cannot be reached" in done.stdout + done.stderr
        assert toy.resources() == before


def test_refresh_and_destroy_use_the_config_of_today(toys: list[Toy]) -> None:
    """The provider's own config changes what it renders; what stands in the state is not used."""
    for toy in toys:
        toy.has(file("a"), greeting="old")
        toy.up()
        toy.has(file("a"), greeting="new")
        assert toy.steps("--refresh") == [("update", "a")]
        toy.up("--refresh")
        assert toy.host()["a"] == "new\nx\n"
        toy.has(greeting="newest")
        toy.run("destroy", "--yes", "--skip-preview")
        assert toy.host() == {}


def test_destroy_leaves_nothing_but_what_is_protected_or_retained(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(
            file("a"),
            file("b", options={"protect": True}),
            file("c", of("b")),
            file("d", options={"retain_on_delete": True}),
        )
        toy.up()
        done = toy.run("destroy", "--yes", "--skip-preview", status=1)
        assert "protected" in done.stdout + done.stderr
        assert set(toy.host()) == {"b", "d"}
        assert {n for n, r in toy.resources().items() if r["type"].endswith("toy:File")} == {"b"}
        found.append(toy.resources())
        toy.has(file("b"))
        toy.up()
        toy.run("destroy", "--yes", "--skip-preview")
        assert toy.resources() == {}
    assert all(one == found[0] for one in found)


def test_destroy_of_a_target_refuses_to_take_its_dependents_unasked(toys: list[Toy]) -> None:
    urn = "urn:pulumi:dev::toy::pulumi-python:dynamic/toy:File::a"
    for toy in toys:
        toy.has(file("a"), file("b", of("a")), file("c"))
        toy.up()
        done = toy.run("destroy", "--yes", "--skip-preview", "--target", urn, status=1)
        assert "not specified in --target list" in done.stdout + done.stderr
        assert set(toy.host()) == {"a", "b", "c"}
        toy.run("destroy", "--yes", "--skip-preview", "--target", urn, "--target-dependents")
        assert set(toy.host()) == {"c"}
        toy.run("stack", "export")


def test_destroy_with_refresh_forgets_what_is_gone(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"), file("b"))
        toy.up()
        (toy.dir / "host" / "a").unlink()
        toy.calls()
        toy.run("destroy", "--yes", "--skip-preview", "--refresh")
        assert "delete a" not in toy.calls()
        assert toy.resources() == {}
