"""Odd values, and good ones with odd values in odd places."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

WORDS = [
    *("", " ", "x", "0", "-1", "00", "1e999", "9" * 50, "null", "~", "yes", "on", "no", "true", "nan", "a" * 300, "x y"),
    *("$(reboot)", "`reboot`", "; reboot", "&& reboot", "| reboot", "> /x", "'", '"', "\\", "-rf", "--", "*", "%n", "#", "$"),
    *("\n", "\r\n", "a\nb", "x\n  up reboot", "\t", "\0", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\ud800", "\udcff", "\ufeff"),
    *("é", "ß", "\u0131", "００", "²", "٣", "\U0001f600", "a\u0301", "..", "../..", "/", "~nobody-such/x", "{", "[", "{}", "[]", "!!x"),
    *("::", "::1", "fe80::1%eth0", "fe80::1%x\ny", "1.2.3.4", "0.0.0.0/0", "::/0", "2001:db8:1::/64", "192.0.2.1/33", "1.2.3.4/9999"),
    *("main", "web", "mail", "d13", "all", "default", "lo", "2GiB", "0GiB", "65536", "80-90", "52:54:00:be:13:4a", "01:00:00:00:00:00"),
]  # fmt: skip
text = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.text("abc019-_.:/%@ \n\"'$;", max_size=20),
)
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2, 1.5, 2.0, 255, 65535, 65536, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e308]),
    st.floats(),
    st.integers(),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)


def nested(depth: int, kind: int) -> Any:
    """A list in a list in a list, or a map in a map."""
    value: Any = "x"
    for _ in range(depth):
        value = [value] if kind == 0 else {"x": value}
    return value


deep = st.builds(nested, st.sampled_from([2, 20, 200, 2000]), st.integers(0, 1))
json_values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(text, scalars, max_size=3),
    st.lists(st.dictionaries(text, scalars, max_size=2), max_size=2),
    deep,
)
"""What JSON can say, and NaN, which Python's reads too."""
yaml_values = st.one_of(
    json_values,
    st.builds(pow, st.just(10), st.just(4500)),  # more digits than Python turns into text (sys.set_int_max_str_digits)
    st.sampled_from([b"x", datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)]),
    st.builds(lambda key: {key: {}}, st.sampled_from([1, None, True, 1.5])),
)
DEEPEST = 15
"""Nothing below is looked for: `nested` goes deeper than Python can follow."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a value, itself first."""
    yield path
    if isinstance(value, dict | list) and len(path) < DEEPEST:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def copied(value: Any) -> Any:
    """A deep copy; in the place of what is too deep for one there is something as deep: itself could come to lie within itself."""
    try:
        return copy.deepcopy(value)
    except RecursionError:
        return nested(2000, 0)


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def changed(
    draw: st.DrawFn, good: Any, values: st.SearchStrategy[Any] = yaml_values, names: st.SearchStrategy[Any] = text, most: int = 3
) -> Any:  # fmt: skip
    """A copy of a good value in which one to `most` things are missing, others, twice, elsewhere or spoilt."""
    result = copied(good)
    for _ in range(draw(st.integers(1, most))):
        paths = [path for path in places(result) if path]
        if not paths:
            return draw(values)
        path = draw(st.sampled_from(paths))
        holder, key = at(result, path[:-1]), path[-1]
        CHANGES[draw(st.integers(0, len(CHANGES) - 1))](
            draw, holder, key, values, names, lambda p=paths, r=result: at(r, draw(st.sampled_from(p)))
        )
    return result


Other = Callable[[], Any]


def _replace(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    holder[key] = draw(values)


def _remove(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    del holder[key]


def _add(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    if isinstance(holder, dict):
        holder[draw(names)] = draw(values)
    else:
        holder.insert(key, draw(values))


def _repeat(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    if isinstance(holder, dict):
        holder[draw(names)] = copied(holder[key])
    else:
        holder.append(copied(holder[key]))


def _spoil(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    value = holder[key]
    if isinstance(value, str):
        where = draw(st.integers(0, len(value)))
        holder[key] = value[:where] + draw(text) + value[where + draw(st.integers(0, 2)) :]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = draw(numbers)
    else:
        holder[key] = [value]


def _move(draw: st.DrawFn, holder: Any, key: Any, values: Any, names: Any, other: Other) -> None:
    holder[key] = copied(other())


CHANGES: list[Callable[..., None]] = [_replace, _remove, _add, _repeat, _spoil, _spoil, _move]
