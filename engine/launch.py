"""Starting provider processes: dynamic providers by the SDK's own module, others by their plugin."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from engine.config import DYNAMIC, Project
from engine.errors import EngineError, Unsupported, clean_message
from engine.provider import Provider
from engine.spawn import spawn

LogLine = Callable[[str, str], None]


async def start_provider(
    package: str, version: str, project: Project, stack: str, engine: str, log: LogLine
) -> Provider:
    """Start the provider of a package; `log` gets (package, line) for all it prints.

    engine: the address of the engine's own service, where plugins send their messages.
    Raises EngineError when it does not start, Unsupported when there is no plugin.
    """
    env = {
        **os.environ,
        "PULUMI_PROJECT": project.name,
        "PULUMI_STACK": stack,
        "PULUMI_ORGANIZATION": "organization",
        "PYTHONUNBUFFERED": "1",
    }
    if package == DYNAMIC:
        # Its port is the only line it prints; its servers take the working directory as the first place of modules.
        argv = [str(project.python), "-u", "-m", "pulumi.dynamic", engine]
        if project.python.is_absolute():
            env["PATH"] = f"{project.python.parent}{os.pathsep}{env.get('PATH', '')}"
            env["VIRTUAL_ENV"] = str(project.python.parent.parent)
    else:
        argv = [str(find_plugin(package, version)), engine]
    process = await spawn(argv, cwd=project.root, env=env)
    assert process.stdout
    assert process.stderr
    line = await process.stdout.readline()
    if not line.strip().isdigit():
        rest = (await process.stderr.read()).decode(errors="replace")
        raise EngineError(f"the provider {package} did not start: {clean_message(rest) or 'it printed nothing'}")
    readers = [asyncio.create_task(_lines(stream, package, log)) for stream in (process.stdout, process.stderr)]
    return Provider(process, int(line), package, readers)


async def _lines(stream: asyncio.StreamReader, package: str, log: LogLine) -> None:
    async for line in stream:
        log(package, line.decode(errors="replace").rstrip("\n"))


def find_plugin(package: str, version: str) -> Path:
    """The executable of a provider: in PULUMI_HOME/plugins, else on PATH. Raises Unsupported when there is none."""
    name = f"pulumi-resource-{package}"
    home = Path(os.environ.get("PULUMI_HOME", Path.home() / ".pulumi")) / "plugins"
    found = sorted(home.glob(f"resource-{package}-v{version or '*'}/{name}"))
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(Path(directory) / name, os.X_OK):
            found.append(Path(directory) / name)
    if not found:
        wanted = f" {version}" if version else ""
        raise Unsupported(f"installing the plugin {package}{wanted} (it is neither in {home} nor on PATH)")
    return found[0]
