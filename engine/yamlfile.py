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
    """SafeLoader with the resolvers of Go's yaml.v3: true/false, null/~, decimal, 0x, 0o and 0b numbers, floats.

    Like Go's, it takes no key twice in a map and nothing that holds itself. Tags that JSON has no word for are refused.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors = {  # noqa: RUF012
        None: yaml.SafeLoader.construct_undefined,
        "tag:yaml.org,2002:map": yaml.SafeLoader.construct_yaml_map,
        "tag:yaml.org,2002:seq": yaml.SafeLoader.construct_yaml_seq,
        "tag:yaml.org,2002:str": yaml.SafeLoader.construct_yaml_str,
        "tag:yaml.org,2002:null": yaml.SafeLoader.construct_yaml_null,
        "tag:yaml.org,2002:bool": yaml.SafeLoader.construct_yaml_bool,
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        "in a map", node.start_mark, f"found the key {key.value!r} twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        # not put off until the whole is there: so a value that holds itself is noticed
        return super().construct_object(node, deep=True)


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
    value = int(text, 8 if re.fullmatch(r"0[0-7]+", text.lstrip("+-")) else 0)
    if not -(2**63) <= value < 2**64:
        raise ValueError("a number is larger than 64 bits hold")
    return value


def _float(loader: Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).replace(".inf", "inf").replace(".nan", "nan").lower())


Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str, name: str) -> Any:
    """The document in `text`; `name` stands in the error. Raises EngineError with the line that is wrong."""
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError) as err:
        raise EngineError(f"{name}: not valid YAML: {err}") from err
    except KeyError as err:
        raise EngineError(f"{name}: not valid YAML: {err} is no boolean") from err
    except RecursionError as err:
        raise EngineError(f"{name}: not valid YAML: it is nested too deep") from err


def read(path: Path) -> Any:
    """The document in a file, None for a missing or empty one."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """The text of a file with its line ends as they are, empty for a missing one."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as err:
        raise EngineError(f"cannot read {path}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise EngineError(f"{path}: not a text in UTF-8") from err


def stack(raw: Any, name: str) -> tuple[dict[str, Any], dict[Any, Any]]:
    """A stack's document and the `config` in it. Raises EngineError where these are no maps."""
    document = {} if raw is None else raw
    if not isinstance(document, dict):
        raise EngineError(f"{name}: not a mapping")
    config = document.get("config")
    config = {} if config is None else config
    if not isinstance(config, dict):
        raise EngineError(f"{name}: `config` is not a mapping")
    return document, config
