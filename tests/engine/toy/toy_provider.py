"""Files in the folder `host` as resources: a provider with every behaviour that the engine must cope with.

Inputs: `text`, `path` (a change replaces), `bad` (check refuses it), `fail` (create, update, read or delete fails),
`dbr` (replaces delete first), `quiet` (diff says it does not know), `hold` (see `_hold`). All calls are listed in
`calls`. Its outputs are `path`, `text`, `size`; check adds `rendered`.
"""

import os
import time

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

ROOT = os.getcwd()
HOST = os.path.join(ROOT, "host")


def _call(op: str, name: str) -> None:
    with open(os.path.join(ROOT, "calls"), "a") as file:
        file.write(f"{op} {name}\n")


def _hold(props: dict, op: str, when: str) -> None:
    """Tell the pipe `reached` and go no further: who reads it kills everything then."""
    if f"{op}:{when}" in os.environ.get("TOY_HOLD", "").split(",") and props["path"] == os.environ["TOY_HOLD_AT"]:
        with open(os.path.join(ROOT, "reached"), "w") as pipe:
            pipe.write(f"{op}:{when}")
        time.sleep(600)
    if os.environ.get("TOY_PAUSE_AT") == props["path"] and (op, when) == ("create", "before"):
        for mode in ("w", "r"):
            with open(os.path.join(ROOT, "reached"), mode) as pipe:
                pipe.write("here") if mode == "w" else pipe.read()


def _write(props: dict) -> dict:
    os.makedirs(HOST, exist_ok=True)
    with open(os.path.join(HOST, props["path"]), "w") as file:
        file.write(props["rendered"])
    return {"path": props["path"], "text": props["text"], "rendered": props["rendered"], "size": len(props["rendered"])}


class Provider(ResourceProvider):
    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        self.greeting = req.config.get("greeting") or "text"

    def check(self, olds: dict, news: dict) -> CheckResult:
        failures = [CheckFailure("bad", "must not be bad")] if news.get("bad") else []
        return CheckResult({**news, "rendered": f"{self.greeting}\n{news['text']}\n"}, failures)

    def diff(self, id_: str, olds: dict, news: dict) -> DiffResult:
        if news.get("quiet"):
            return DiffResult()
        replaces = ["path"] if olds["path"] != news["path"] else []
        changes = olds.get("rendered") != news["rendered"] or bool(replaces)
        return DiffResult(changes=changes, replaces=replaces, delete_before_replace=bool(news.get("dbr")))

    def create(self, props: dict) -> CreateResult:
        _call("create", props["path"])
        _hold(props, "create", "before")
        if props.get("fail") == "create":
            raise Exception(f"could not create {props['path']}: the disk is full")
        outs = _write(props)
        _hold(props, "create", "after")
        return CreateResult(props["path"], outs)

    def update(self, id_: str, olds: dict, news: dict) -> UpdateResult:
        _call("update", news["path"])
        _hold(news, "update", "before")
        if news.get("fail") == "update":
            raise Exception(f"could not update {news['path']}")
        outs = _write(news)
        _hold(news, "update", "after")
        return UpdateResult(outs)

    def read(self, id_: str, props: dict) -> ReadResult:
        _call("read", id_)
        if os.environ.get("TOY_UNREACHABLE"):
            raise Exception("the host cannot be reached")
        try:
            with open(os.path.join(HOST, id_)) as file:
                text = file.read()
        except FileNotFoundError:
            return ReadResult(None, {})
        kept = {k: v for k, v in props.items() if k != "__provider"}
        return ReadResult(id_, {**kept, "rendered": text, "size": len(text)})

    def delete(self, id_: str, props: dict) -> None:
        _call("delete", id_)
        _hold(props, "delete", "before")
        if os.path.exists(os.path.join(HOST, id_)):
            os.remove(os.path.join(HOST, id_))
        _hold(props, "delete", "after")


class File(Resource, module="toy", name="File"):
    path: pulumi.Output[str]
    text: pulumi.Output[str]
    rendered: pulumi.Output[str]
    size: pulumi.Output[int]

    def __init__(self, name: str, props: dict, opts: pulumi.ResourceOptions) -> None:
        super().__init__(Provider(), name, {"path": name, "rendered": None, "size": None, **props}, opts)


class Box(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("toy:Box", name, {"wide": True}, opts)
        self.register_outputs({"name": name})


class Thing(pulumi.CustomResource):
    """A resource of the plugin in `bin`."""

    address: pulumi.Output[str]

    def __init__(self, name: str, props: dict, opts: pulumi.ResourceOptions) -> None:
        super().__init__("plug:index:Thing", name, props, opts)
