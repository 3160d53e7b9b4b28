"""Reading decoded YAML or JSON into typed values, collecting every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from settings.problems import Problem, child_key, shown, suggestion

T = TypeVar("T")
D = TypeVar("D")


class Wrong(Exception):
    """A value is refused; the message says what would be right. The reader adds the key."""


class Reported(Exception):
    """A value is refused and its problems are already in the report."""


@dataclass(frozen=True)
class Node:
    """A raw value, the key it stands under, and the report that its problems go to."""

    raw: object
    key: str
    report: list[Problem]

    def child(self, name: object, raw: object) -> Node:
        return Node(raw, child_key(self.key, name), self.report)

    def refuse(self, message: str, *below: str) -> None:
        """Report a problem of this value, or of the named entry below it."""
        key = self.key
        for name in below:
            key = child_key(key, name)
        self.report.append(Problem(key, message))


Reader = Callable[[Node], T]


def kind(raw: object) -> str:
    """What a value is, in YAML's words."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return f"the boolean {str(raw).lower()}"
    if isinstance(raw, int | float):
        return f"the number {shown(raw)}"
    if isinstance(raw, str):
        return f"the text {shown(raw)}"
    if isinstance(raw, Mapping):
        return "a map"
    if isinstance(raw, list | tuple):
        return "a list"
    return f"a value of YAML type {type(raw).__name__} ({shown(raw)})"


def attempt(node: Node, read: Reader[T]) -> T | None:
    """The value, or None once its problems are in the report."""
    try:
        return read(node)
    except Wrong as wrong:
        node.refuse(str(wrong))
    except Reported:
        pass
    return None


def entries(node: Node, example: str) -> Mapping[object, object]:
    if not isinstance(node.raw, Mapping):
        raise Wrong(f"must be a map, like `{example}`, not {kind(node.raw)}")
    return node.raw


class Fields:
    """The entries of a map with fixed keys. Unknown keys are refused with the nearest known one.

    After a problem, `required` and `optional` give a stand-in that nobody sees: `close`, called before
    the entries are put together, raises Reported.
    """

    def __init__(self, node: Node, known: tuple[str, ...], example: str) -> None:
        self._node = node
        self._raw = entries(node, example)
        self.failed: set[str] = set()
        for name in self._raw:
            if name not in known:
                self.refuse(f"there is no such key; {suggestion(str(name), known)}", str(name))

    def has(self, name: str) -> bool:
        """Whether the entry was typed; an empty one (`key:`) counts as left out."""
        return self._raw.get(name) is not None

    def typed(self) -> set[str]:
        """The names of all entries that were typed."""
        return {str(name) for name in self._raw if self._raw[name] is not None}

    def required(self, name: str, read: Reader[T], what: str) -> T:
        if not self.has(name):
            self.refuse(f"is missing: {what}", name)
            return cast(T, None)
        return self._read(name, read, self._raw[name])

    def optional(self, name: str, read: Reader[T], default: D) -> T | D:
        return self._read(name, read, self._raw[name]) if self.has(name) else default

    def default(self, name: str, read: Reader[T], raw: object) -> T:
        """An entry that was left out, read as if `raw` had been typed."""
        return self._read(name, read, raw)

    def section(self, name: str, read: Reader[T]) -> T:
        """A map of which every entry has a default: left out, it is read as an empty one."""
        raw = self._raw.get(name)
        return self._read(name, read, {} if raw is None else raw)

    def switch(self, name: str, read: Reader[T], default: bool) -> T | None:
        """`true` (all defaults), `false` (None), or a map, read by `read`."""
        raw = self._raw.get(name)
        raw = default if raw is None else raw
        if raw is False:
            return None
        if raw is not True and not isinstance(raw, Mapping):
            self.refuse(f"must be true, false or a map, not {kind(raw)}", name)
            return None
        return self._read(name, read, {} if raw is True else raw)

    def refuse(self, message: str, *below: str) -> None:
        self._node.refuse(message, *below)
        self.failed.add(below[0] if below else "")

    def close(self) -> None:
        if self.failed:
            raise Reported

    def _read(self, name: str, read: Reader[T], raw: object) -> T:
        before = len(self._node.report)
        value = attempt(self._node.child(name, raw), read)
        if value is None or len(self._node.report) > before:
            self.failed.add(name)
        return cast(T, value)


@dataclass
class Table(Generic[T]):
    """A map of named things: those that could be read, and the names of those that couldn't."""

    what: str
    key: str
    good: dict[str, T] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    broken: bool = False  # the whole map couldn't be read: any reference into it may be right

    def __iter__(self) -> Iterator[tuple[str, T]]:
        """Keys, dotted, and things."""
        return ((child_key(self.key, name), thing) for name, thing in self.good.items())

    def reference(self, node: Node) -> T:
        """Read the name of one of these things."""
        name = text(node)
        if name in self.good:
            return self.good[name]
        if self.broken or name in self.bad:
            raise Reported
        raise Wrong(f"there is no {self.what} {shown(name)}; {suggestion(name, self.good.keys() | self.bad)}")


def table(
    node: Node, what: str, check_name: Callable[[str], str], read: Callable[[Node, str], T], example: str
) -> Table[T]:
    """Read a map keyed by name; `check_name` raises Wrong for a name that can't be used."""
    found: Table[T] = Table(what, node.key)
    raw = attempt(node, lambda n: entries(n, example))
    if raw is None:
        found.broken = True
        return found
    for name, value in raw.items():
        entry = node.child(name if isinstance(name, bool) else str(name), value)
        if not isinstance(name, str):
            entry.refuse(f"the name of a {what} must be text, not {kind(name)}: put it in quotes")
            found.bad.add(str(name))
            continue
        before = len(node.report)
        try:
            check_name(name)
        except Wrong as wrong:
            entry.refuse(str(wrong))
        thing = attempt(entry, lambda n, name=name: read(n, name))  # type: ignore[misc]
        if thing is None or len(node.report) > before:
            found.bad.add(name)
        else:
            found.good[name] = thing
    return found


def list_of(read: Reader[T], example: str) -> Reader[tuple[T, ...]]:
    """A list of values, each with its own problems."""

    def read_list(node: Node) -> tuple[T, ...]:
        if not isinstance(node.raw, list | tuple):
            raise Wrong(f"must be a list, like `{example}`, not {kind(node.raw)}")
        before = len(node.report)
        values = [attempt(node.child(index, raw), read) for index, raw in enumerate(node.raw)]
        if len(node.report) > before or any(value is None for value in values):
            raise Reported
        return tuple(value for value in values if value is not None)

    return read_list


def text(node: Node) -> str:
    """One line of printable text."""
    if not isinstance(node.raw, str):
        quoting = ": put it in quotes" if _is_scalar(node.raw) else ""
        raise Wrong(f"must be text, not {kind(node.raw)}{quoting}")
    if not node.raw or node.raw != node.raw.strip() or not node.raw.isprintable():
        raise Wrong("must be one line of text without control characters or spaces around it")
    return node.raw


def _is_scalar(raw: object) -> bool:
    return isinstance(raw, bool | int | float) or type(raw).__name__ == "date"


def boolean(node: Node) -> bool:
    if not isinstance(node.raw, bool):
        raise Wrong(f"must be true or false, not {kind(node.raw)}")
    return node.raw


def integer(low: int, high: int, unit: str = "") -> Reader[int]:
    """A whole number from `low` to `high`; Pulumi hands numbers over as floats, so 2.0 is 2."""
    what = f"a whole number from {low} to {high}{unit}"

    def read_integer(node: Node) -> int:
        raw = node.raw
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise Wrong(f"must be {what}, not {kind(raw)}")
        if not low <= raw <= high or raw != int(raw):  # nan compares false
            raise Wrong(f"must be {what}, not {shown(raw)}")
        return int(raw)

    return read_integer


def choice(*known: str, later: tuple[str, ...] = ()) -> Reader[str]:
    """One of the known words; those in `later` are named as not yet supported."""

    def read_choice(node: Node) -> str:
        raw = node.raw
        wanted = " or ".join(known) if len(known) < 3 else ", ".join(known[:-1]) + " or " + known[-1]
        if isinstance(raw, str) and raw in later:
            raise Wrong(f"{raw} is not yet supported; it must be {wanted}")
        if not isinstance(raw, str) or raw not in known:
            near = suggestion(raw, known) if isinstance(raw, str) else ""
            hint = f"; {near}" if near.startswith("did") else ""
            raise Wrong(f"must be {wanted}, not {kind(raw)}{hint}")
        return raw

    return read_choice
