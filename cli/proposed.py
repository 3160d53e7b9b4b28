"""A stack file that somebody proposes, made safe to preview: it decides what is wanted, never who is spoken to or what is told.

How the server and the hoster are reached, the credentials and all secrets stay those of the stack's own file (the base
branch's); where the proposal has others, the preview says so, or there is none:

- `server.ssh`, `rdns.endpoint`, keys of other namespaces (`hcloud:endpoint`) and everything beside `config:` are the base's;
- so is how a primary of `sixstead:dns` is spoken to, by its name; a primary that the base does not have is not previewed;
- of other stacks' outputs, those of the base's repository alone are read;
- a secret may stand only where the base has the very same one: copied to another place, it would be decrypted and shown;
- a SHA512SUMS file of the machine that previews may be named only if the base names it.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cli.credentials import KEYS
from engine import yamlfile
from engine.backend import Backend
from engine.config import Project
from engine.errors import EngineError
from settings import NAMESPACE, SECTIONS

DNS = f"{NAMESPACE}dns"
LARGEST = 1 << 20
"""Bytes of a stack file."""
CONNECTION = ("ssh", "server", "port", "key")
"""What of a primary says who is spoken to, and with which key. (Its `directory` and `reload` say what is wanted.)"""
OFFLINE = (
    "Made without the stack's state, credentials and server: everything is shown as new.",
    "The stack has no state yet: everything is shown as new.",
)


def use(args: argparse.Namespace, root: Path, directory: Path) -> None:
    """Make `args` preview `args.proposed`, by a file in `directory`. Raises EngineError where that can't be safe."""
    project = Project.load(root)
    if not args.stack:
        raise EngineError("--proposed: say the stack, -s STACK")
    own = project.config_file(args.stack, args.config_file)
    base = document(own) if own.exists() else None
    offline = args.offline or base is None
    change = document(Path(args.proposed))
    stacks = {file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in own.parent.glob("Pulumi.*.yaml")}
    merged, notes = without_credentials(change) if base is None or offline else proposed(base, change, stacks)
    file = directory / f"Pulumi.{own.stem.removeprefix('Pulumi.')}.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in merged.items()))
    args.config_file = str(file)
    file_backend = project.backend_url.startswith("file://")
    stateless = file_backend and not Backend(project.backend_url, project.root).exists(project.name, args.stack)
    if offline or stateless:
        if DNS in merged["config"]:
            raise EngineError(
                f"{DNS} publishes what other stacks' states say, which are not read here: nothing is previewed"
            )
        args.refresh = False
        state = directory / "state"
        state.mkdir()
        os.environ.update(PULUMI_BACKEND_URL=f"file://{state}", PULUMI_CONFIG_PASSPHRASE="")
        for name in ("PULUMI_CONFIG_PASSPHRASE_FILE", "SIXSTEAD_OBSERVER_KEY", "PULUMI_ACCESS_TOKEN"):
            os.environ.pop(name, None)
        notes = [OFFLINE[0] if args.offline else OFFLINE[1], *notes]
    args.notes += notes


def document(path: Path) -> dict[str, Any]:
    """A stack file. Raises EngineError for what is none, or could be more than it seems (aliases, size)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {path.name}: {error.strerror}") from None
    if len(content) > LARGEST:
        raise EngineError(f"{path.name}: a stack file has at most {LARGEST} bytes")
    text = content.decode(errors="replace")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise EngineError(f"{path.name}: a proposed stack file has no YAML aliases (*name)")
        found = yamlfile.parse(text, path.name) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise EngineError(f"{path.name}: not valid YAML: {error}") from None
    config = found.get("config", {}) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(config or {}, dict):
        raise EngineError(f"{path.name}: not a stack file: `config:` and mappings below it")
    named = {str(k) if ":" in str(k) else f"{NAMESPACE}{k}": v for k, v in (config or {}).items()}
    for section in (*SECTIONS, bare(DNS)):
        if isinstance(named.get(NAMESPACE + section), str):
            raise EngineError(f"{path.name}: {NAMESPACE}{section} is a text; write YAML mappings")
    return {**found, "config": named}


def proposed(
    base: Mapping[str, Any], change: Mapping[str, Any], stacks: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The document to preview, and notes on what of the change is not in it. stacks: those that the base branch has files of.

    Raises EngineError for a moved secret, and for what can't be previewed safely.
    """
    before, after = base["config"], change["config"]
    kept = {key: value for key, value in before.items() if not key.startswith(NAMESPACE) or bare(key) in KEYS}
    theirs = {key: value for key, value in after.items() if not key.startswith(NAMESPACE) or bare(key) in KEYS}
    result = {key: copy.deepcopy(value) for key, value in after.items() if key not in theirs}
    notes = []
    if theirs != kept or {k: v for k, v in base.items() if k != "config"} != {
        k: v for k, v in change.items() if k != "config"
    }:
        notes.append(
            "Credentials, encryption and settings of other providers are those of the base branch in this preview."
        )
    if (DNS in before) != (DNS in result):
        raise EngineError(f"{DNS} comes or goes, which makes it another kind of stack: look at this change yourself")
    notes += published_by_base(before, result, stacks) if DNS in before else reached_by_base(before, result)
    rdns = result.get(f"{NAMESPACE}rdns")
    if isinstance(rdns, dict):
        base_rdns = before.get(f"{NAMESPACE}rdns")
        endpoint = base_rdns.get("endpoint") if isinstance(base_rdns, dict) else None
        if rdns.get("endpoint") != endpoint:
            notes.append("**The change alters `rdns.endpoint`.** It was not used.")
        rdns.pop("endpoint", None)
        rdns.update({"endpoint": endpoint} if endpoint is not None else {})
    refuse_moved(before, result)
    return {**base, "config": {**kept, **result}}, notes


def reached_by_base(before: Mapping[str, Any], result: dict[str, Any]) -> list[str]:
    """Make a server's `ssh` the base's; what is to be said of that."""
    server, own = result.get(f"{NAMESPACE}server"), before.get(f"{NAMESPACE}server")
    if not isinstance(server, dict) or not isinstance(own, dict) or not isinstance(own.get("ssh"), dict):
        raise EngineError(f"{NAMESPACE}server.ssh is missing: nothing is previewed")
    altered = server.get("ssh") != own["ssh"]
    server["ssh"] = copy.deepcopy(own["ssh"])
    note = "**The change alters `server.ssh`.** It was not used: the server was reached as the base branch says."
    return [note] if altered else []


def published_by_base(before: Mapping[str, Any], result: dict[str, Any], stacks: Collection[str]) -> list[str]:
    """Make the connections of a `dns` stack's primaries the base's; what is to be said of that.

    Raises EngineError for a primary that the base does not have, and for a server whose records were not published so far
    and whose stack is none of the base's repository: whatever the credentials here can read would be shown.
    """
    for key in result:
        if bare(key) in SECTIONS:
            raise EngineError(f"{key} can't stand beside {DNS}: nothing is previewed")
    dns, own = result[DNS], before[DNS]
    if not isinstance(dns, dict) or not isinstance(own, dict):
        raise EngineError(f"{DNS} is no map: nothing is previewed")
    servers, known = dns.get("servers") or (), {str(name) for name in own.get("servers") or ()} | set(stacks)
    if not isinstance(servers, dict | list | tuple):
        raise EngineError(f"{DNS}.servers is no list and no map: nothing is previewed")
    for name in map(str, servers):
        if name not in known:
            raise EngineError(
                f"{DNS}.servers: the base branch has no stack {name!r}, so its records are not read: look at this change yourself"
            )
    primaries, owns = dns.get("primaries") or {}, own.get("primaries") or {}
    if not isinstance(primaries, dict) or not isinstance(owns, dict):
        raise EngineError(f"{DNS}.primaries is no map: nothing is previewed")
    altered = False
    for name, place in primaries.items():
        old = owns.get(name)
        if not isinstance(place, dict) or not isinstance(old, dict) or place.get("provider") != old.get("provider"):
            raise EngineError(
                f"{DNS}.primaries.{name} is none of the base branch's, or of another provider there, and nobody else is"
                " spoken to in a preview: look at this change yourself"
            )
        kept = {key: copy.deepcopy(old[key]) for key in CONNECTION if key in old}
        altered |= {key: place[key] for key in CONNECTION if key in place} != kept
        for key in CONNECTION:
            place.pop(key, None)
        place.update(kept)
    note = "**The change alters how a primary is reached** (`ssh`, `server`, `port` or `key`). It was not used."
    return [note] if altered else []


def without_credentials(change: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document to preview with no secret at all."""
    result = {
        key: value for key, value in change["config"].items() if key.startswith(NAMESPACE) and bare(key) not in KEYS
    }
    refuse_moved({}, result)
    return {"config": result}, []


def refuse_moved(base: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Raises EngineError for a secret, or a local file, that the base does not have at the same place."""
    secrets = dict(found(base, "secure"))
    for place, value in found(result, "secure"):
        if place not in secrets or secrets[place] != value:
            where = ".".join(map(str, place)).removeprefix(NAMESPACE)
            raise EngineError(
                f"{where} is a secret that the base branch does not have there: look at this change yourself"
            )
    sums = [value for _, value in found(base, "sha512sums")]
    for place, value in found(result, "sha512sums"):
        if value not in sums:
            where = ".".join(map(str, place)).removeprefix(NAMESPACE)
            raise EngineError(f"{where} names a file that the base branch does not name: look at this change yourself")


def found(value: Any, key: str, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value of this key, with its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == key and (key != "secure" or len(value) == 1):
                yield place, inner
            yield from found(inner, key, (*place, str(name)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from found(inner, key, (*place, index))


def bare(key: str) -> str:
    return key.removeprefix(NAMESPACE)
