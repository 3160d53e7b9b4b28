"""YAML as Pulumi reads it (YAML 1.2's core words), which is not as PyYAML does.

PyYAML's own loader makes a number of a MAC address that has digits only (base 60), and True of `on` and `yes`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from engine.errors import EngineError


class Loader(yaml.SafeLoader):
    """SafeLoader with the resolvers of Go's yaml.v3: true/false, null/~, decimal, 0x, 0o and 0b numbers, floats."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(
        r"^(?:[-+]?(?:0|[1-9][0-9_]*)|[-+]?0[xX][0-9a-fA-F_]+|[-+]?0[oO][0-7_]+|[-+]?0[bB][01_]+|[-+]?0[0-7_]+)$"
    ),
    list("-+0123456789"),
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    digits = text.lstrip("+-")
    if re.fullmatch(r"0[0-7]+", digits):
        return int(text, 8)
    return int(text, 0)


def _float(loader: Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan").lower())


Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str, name: str) -> Any:
    """The document in `text`; `name` stands in the error. Raises EngineError with the line that is wrong."""
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as err:
        raise EngineError(f"{name}: not valid YAML: {err}") from err


def read(path: Path) -> Any:
    """The document in a file, None for a missing or empty one."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise EngineError(f"cannot read {path}: {err.strerror}") from err
    return parse(text, str(path))
