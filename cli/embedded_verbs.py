"""The verbs of a stack, done by the embedded engine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from cli import config_verbs, operations
from engine import checkpoint as checkpoints
from engine import lock
from engine.backend import Backend
from engine.config import Project
from engine.durable import PRIVATE, write_durably
from engine.errors import EngineError
from engine.operation import Stack
from engine.render import as_json
from engine.values import Value


def stack_name(args: argparse.Namespace, root: Path) -> str:
    """The stack that is meant. Raises EngineError when that is not clear."""
    # What `outputs` is given is an output's name, not a stack's.
    named = getattr(args, "name", None) if args.verb != "outputs" else None
    given = args.stack or named or os.environ.get("PULUMI_STACK")
    if given:
        return str(given).rsplit("/", 1)[-1]
    project = Project.load(root)
    found = Backend(project.backend_url, project.root).stacks(project.name)
    if len(found) == 1:
        return found[0]
    raise EngineError(f"which stack? say -s STACK ({', '.join(found) or 'there is none yet: stack init NAME'})")


def run(args: argparse.Namespace, root: Path) -> int:
    """Do a verb; its exit status."""
    if args.verb == "stack":
        return _STACK[args.subverb](args, root)
    stack = Stack.open(root, stack_name(args, root), args.config_file)
    if args.verb == "config":
        return config_verbs.run(args, stack)
    if args.verb == "outputs":
        return _outputs(args, stack)
    if args.verb == "cancel":
        return _cancel(args, stack)
    return asyncio.run(operations.run(args, stack))


def _outputs(args: argparse.Namespace, stack: Stack) -> int:
    outputs = stack.outputs()
    shown: Value = {k: as_json(v, show_secrets=args.show_secrets) for k, v in sorted(outputs.items())}
    if args.name:
        if not isinstance(shown, dict) or args.name not in shown:
            raise EngineError(f"current stack does not have output property '{args.name}'")
        shown = shown[args.name]
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


def _cancel(args: argparse.Namespace, stack: Stack) -> int:
    found = lock.break_all(stack.backend.lock_dir(stack.project.name, stack.name))
    for holder in found:
        print(f"removed the lock of {holder}")
    if not found:
        print(f"stack {stack.name} is not locked")
    return 0


def _init(args: argparse.Namespace, root: Path) -> int:
    name = args.name or args.stack
    if not name:
        raise EngineError("stack init: say the stack's name")
    stack = Stack.open(root, name.rsplit("/", 1)[-1], args.config_file)
    if stack.backend.exists(stack.project.name, stack.name):
        raise EngineError(f"stack '{stack.name}' already exists")
    operations.create(stack)
    print(f"Created stack '{stack.name}'")
    return 0


def _ls(args: argparse.Namespace, root: Path) -> int:
    project = Project.load(root)
    backend = Backend(project.backend_url, project.root)
    found = backend.stacks(project.name)
    rows = []
    for name in found:
        deployment = checkpoints.deployment_of(backend.load(project.name, name))
        updated = (deployment.get("manifest") or {}).get("time", "") if deployment.get("resources") else ""
        rows.append({"name": name, "resourceCount": len(deployment.get("resources") or []), "lastUpdate": updated})
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'NAME':<20}{'RESOURCES':<12}LAST UPDATE")
    for row in rows:
        print(f"{row['name']:<20}{row['resourceCount']:<12}{row['lastUpdate'] or 'never'}")
    return 0


def _rm(args: argparse.Namespace, root: Path) -> int:
    stack = Stack.open(root, stack_name(args, root), args.config_file)
    with lock.held(stack.backend.lock_dir(stack.project.name, stack.name)):
        left = checkpoints.deployment_of(stack.backend.load(stack.project.name, stack.name)).get("resources") or []
        if left and not args.force:
            raise EngineError(f"'{stack.name}' still has {len(left)} resources; destroy them first, or say --force")
        if not args.yes:
            operations.ask(args, f"forget stack '{stack.name}'?")
        stack.backend.remove(stack.project.name, stack.name)
        if not args.preserve_config and not args.config_file:
            stack.config.path.unlink(missing_ok=True)
    print(f"Stack '{stack.name}' has been removed!")
    return 0


def _export(args: argparse.Namespace, root: Path) -> int:
    stack = Stack.open(root, stack_name(args, root), args.config_file)
    raw = stack.backend.load(stack.project.name, stack.name)
    deployment = checkpoints.deployment_of(raw)
    export = {"version": 3, "deployment": deployment}
    if args.show_secrets:
        export = checkpoints.to_export(stack.load(), stack.config.salt, None)
    text = json.dumps(export, indent=4, ensure_ascii=False)
    if args.file:
        write_durably(Path(args.file), text + "\n", PRIVATE)
    else:
        print(text)
    return 0


def _import(args: argparse.Namespace, root: Path) -> int:
    stack = Stack.open(root, stack_name(args, root), args.config_file)
    try:
        raw = json.loads(Path(args.file).read_text(encoding="utf-8") if args.file else sys.stdin.read())
    except OSError as err:
        raise EngineError(f"stack import: cannot read {args.file}: {err.strerror}") from err
    except (ValueError, RecursionError) as err:
        raise EngineError(f"stack import: not JSON: {err}") from err
    if not isinstance(raw, dict) or "deployment" not in raw:
        raise EngineError("stack import: no deployment in it; it takes what `stack export` prints")
    with lock.held(stack.backend.lock_dir(stack.project.name, stack.name)):
        stack.backend.load(stack.project.name, stack.name)
        stack.config.ensure_salt()
        deployment = checkpoints.deployment_of(
            {
                "version": raw.get("version"),
                "features": raw.get("features"),
                "checkpoint": {"latest": raw["deployment"]},
            }
        )
        codec = checkpoints.codec_of(deployment, stack.config.passphrase, stack.config.crypter)
        loaded = checkpoints.load(deployment, codec)
        for state in loaded.resources:
            if f"urn:pulumi:{stack.name}::{stack.project.name}::" not in state.urn:
                raise EngineError(f"stack import: {state.urn} is of another stack")
        stack.backend.back_up(stack.project.name, stack.name)
        stack.save(loaded)
    print("Import complete.")
    return 0


_STACK = {"init": _init, "ls": _ls, "rm": _rm, "export": _export, "import": _import}
