"""The agent's source as one text that python3 runs on the host: modules in memory, nothing installed."""

from __future__ import annotations

import functools
import pathlib

PACKAGE = "sixstead_agent"

LOADER = """\
import importlib.abc, importlib.util, sys
class _InMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=name == PACKAGE)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, _InMemory())
"""

BOOTSTRAP = (
    "import sys\n"
    "for line in sys.stdin.buffer:\n"
    "    if line.startswith(b'SIXSTEAD '):\n"
    "        source = sys.stdin.buffer.read(int(line.split()[1]))\n"
    "        exec(compile(source, 'sixstead_agent', 'exec'), {'BUNDLE': source.decode()})\n"
    "        break\n"
)
"""What stands in the command line: it reads the agent from the channel. Other lines (a password that sudo did not ask for) are dropped."""

ENTRY = f"\nfrom {PACKAGE}.main import main\nmain(BUNDLE.rsplit('\\n# entry', 1)[0] + '\\n')\n"


@functools.cache
def bundle() -> str:
    """The loader and all modules of the agent; whoever runs it can import `sixstead_agent`."""
    folder = pathlib.Path(__file__).parent / "agent"
    sources = {
        PACKAGE if path.stem == "__init__" else f"{PACKAGE}.{path.stem}": path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*.py"))
    }
    return f"PACKAGE = {PACKAGE!r}\nSOURCES = {sources!r}\n{LOADER}"


def program() -> bytes:
    """What is sent over a connection: the bundle and the call that enters it."""
    text = bundle() + "\n# entry" + ENTRY
    content = text.encode()
    return b"SIXSTEAD %d\n" % len(content) + content
