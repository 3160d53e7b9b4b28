"""Providers that are plugins: their config, their secrets, their previews, and resources that come to half a life."""

from __future__ import annotations

import json
from typing import Any

from tests.engine.conftest import Toy


def thing(name: str, **props: Any) -> dict[str, Any]:
    options = props.pop("options", {})
    return {"name": name, "kind": "thing", "options": options, **props}


def provider(name: str, **props: Any) -> dict[str, Any]:
    return {"name": name, "kind": "provider", **props}


def test_a_plugin_makes_changes_and_deletes_its_resources(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(thing("a", token={"secret": "planted"}), exports={"address": {"of": "a", "output": "address"}})
        assert "[unknown]" in toy.run("preview").stdout, "it says itself what a preview does not know"
        toy.up()
        assert toy.calls() == ["secret True", "secret True", "create a in here"]
        assert json.loads(toy.run("outputs").stdout) == {"address": "here/a"}
        assert "planted" not in toy.checkpoint.read_text()
        toy.run("preview", "--expect-no-changes")
        toy.has(thing("a", token={"secret": "other"}))
        toy.calls()
        toy.up()
        assert "update a" in toy.calls()
        found.append(toy.resources())
        toy.run("destroy", "--yes", "--skip-preview")
        assert "delete a in here" in toy.calls()
    assert all(one == found[0] for one in found)


def test_a_provider_whose_config_must_be_replaced_replaces_its_resources(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(provider("p", region="east"), thing("a", options={"provider": "p"}))
        toy.up()
        assert toy.calls() == ["create a in east"]
        toy.has(provider("p", region="west"), thing("a", options={"provider": "p"}))
        assert ("replace", "a") in toy.steps()
        toy.up()
        assert sorted(toy.calls()) == ["create a in west", "delete a in east"]
        toy.run("preview", "--expect-no-changes")
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_a_provider_s_own_config_is_checked(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(provider("p", region="nowhere"), thing("a", options={"provider": "p"}))
        done = toy.run("preview", status=1)
        assert "no such region" in done.stdout + done.stderr


def test_a_resource_that_did_not_come_to_life_is_kept_and_updated(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(thing("a"))
        (toy.dir / "half").touch()
        done = toy.up(status=1)
        assert "it does not answer" in done.stdout + done.stderr
        assert toy.resources()["a"]["initErrors"] == ["it does not answer"]
        assert toy.resources()["a"]["id"] == "7"
        (toy.dir / "half").unlink()
        assert toy.steps() == [("update", "a")]
        toy.calls()
        toy.up()
        assert toy.calls() == ["update a"]
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_a_function_of_a_plugin_is_called(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(invoke="hello")
        toy.up()
        assert json.loads(toy.run("outputs").stdout) == {"said": '{"word": "hello"}'}


def test_a_plugin_that_is_not_there_is_named(toy: Toy) -> None:
    toy.has(thing("a"))
    (toy.dir / "bin" / "pulumi-resource-plug").unlink()
    done = toy.run("preview", status=1)
    assert "installing the plugin plug (it is neither in " in done.stdout
