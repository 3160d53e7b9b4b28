"""A preview as one comment in Markdown, for a pull request: what stops or is lost first, then every change, folded.

Pure: both engines feed it (cli/changes.py). What it is given was written by strangers in part, so all of it stands
in code: in a fence that is longer than any run of backticks inside, or escaped within <code>, on one line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cli.markdown import cleaned, code, fenced, longest_first, masked, plain_name, size, tag
from engine.render import difference, shown

LIMIT = 65_536
"""Characters that GitHub takes for a comment; they are counted as UTF-8 here, which is never fewer."""
CUT = 400
"""What is kept free for the notes on what was left out."""
TOO_LONG = "**Cut:** this comment is longer than a comment may be."
OPS = ("delete", "replace", "update", "create", "read")
"""In the order in which they are shown: what takes something away first."""
SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "+-", "read": ">"}
NETWORK = (
    "changes the server's network: packets may be lost for some seconds, and it undoes itself unless it is confirmed"
)


@dataclass(frozen=True)
class Change:
    """One step of a preview. `old` and `new` are inputs with secrets masked, `keys` the names that need a replacement.

    op: Pulumi's own; `refresh` is drift, from what the state says to what is there (`new` None: it is gone).
    """

    urn: str
    op: str
    old: Mapping[str, Any] | None = None
    new: Mapping[str, Any] | None = None
    keys: tuple[str, ...] = ()
    kept: bool = False
    """A delete that leaves the thing itself alone (retainOnDelete)."""

    @property
    def kind(self) -> str:
        """`Guest`, of `pulumi-python:dynamic/sixstead:Guest`."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1].rsplit(":", 1)[-1]

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.split("::", 3)[-1]


def marker(about: str) -> str:
    """The first line of a comment, which readers don't see: by it the comment is found again and updated."""
    return f"<!-- sixstead-preview: {re.sub(r'[^A-Za-z0-9_./-]', '', about)} -->"


def comment(
    stack: str,
    host: str,
    changes: Iterable[Change],
    *,
    unchanged: int = 0,
    refreshed: bool = False,
    errors: Sequence[str] = (),
    notes: Sequence[str] = (),
    secrets: Iterable[str] = (),
    limit: int = LIMIT,
) -> str:
    """The comment on one stack. refreshed: the server was looked at. secrets: texts that must not stand in it, anywhere."""
    masks = longest_first(secrets)
    changes = [replace(c, old=cleaned(c.old, masks), new=cleaned(c.new, masks)) for c in changes]
    errors, notes = [masked(text, masks) for text in errors], [masked(text, masks) for text in notes]
    steps = sorted((c for c in changes if c.op in OPS), key=lambda c: (OPS.index(c.op), c.kind, c.name))
    drift = sorted((c for c in changes if c.op == "refresh"), key=lambda c: (c.kind, c.name))
    counted = Counter(c.op for c in steps)
    told = [f"{counted[op]} to {op}" for op in OPS if counted[op]]
    head = [
        marker(stack),
        f"### Preview of {code(stack)} on {code(host)}: {', '.join(told) or ('failed' if errors else 'no changes')}",
        "",
    ]
    head += [f"{note}  " for note in notes] + ([""] if notes else [])
    if errors:
        head += ["**The preview failed:** this is what is known until then.", "", *fenced("\n".join(errors)), ""]
    warned = list(dict.fromkeys(warning for c in steps for warning in warnings(c)))
    if warned:
        head += ["**Read first**", "", *(f"- {line}" for line in warned), ""]
    elif steps and not errors:
        head += ["Nothing is interrupted, deleted or replaced.", ""]
    blocks = [block(c) for c in drift]
    if blocks:
        what = "What somebody changed on the server by hand; the changes below undo it:"
        head += [f"**Drift**: {len(blocks)}. {what}", "", *(f"- {line_of(c, code)}" for c in drift), ""]
    elif refreshed and not errors:
        head += ["No drift: the server is as the last `up` left it.", ""]
    elif not refreshed:
        head += ["The server was not asked: drift is not shown.", ""]
    foot = [f"{unchanged} unchanged. All of it: `./sixstead preview -s {plain_name(stack)} --diff`", ""]
    return masked(fitted("\n".join(head), [*blocks, *(block(c) for c in steps)], "\n".join(foot), limit), masks)


def warnings(change: Change) -> list[str]:
    """What the reader must know before anything else; DATA LOSS first."""
    what = f"{code(change.kind)} {code(change.name)}"
    before, after = loss(change.old), loss(change.new)
    found = []
    if change.op in ("delete", "replace") and before and not change.kept:
        found.append(f"**DATA LOSS**: {what}: {code(before)}")
    elif change.op == "update" and after and after != before:
        found.append(f"**DATA LOSS** from then on: {what}: {code(after)}")
    if change.op == "delete":
        found.append(f"{what} is **deleted**")
    if change.op == "replace":
        keys = ", ".join(code(key) for key in change.keys)
        found.append(f"{what} is **replaced**" + (f" ({keys} changed)" if keys else ""))
    interrupts = (change.new or {}).get("interrupts")
    if interrupts and change.op in ("update", "replace"):
        found.append(f"{what} **interrupts**: {code(str(interrupts))}")
    if change.kind == "HostNetwork" and change.op in ("create", "update"):
        found.append(f"{what} {NETWORK}")
    return found


def loss(inputs: Mapping[str, Any] | None) -> str:
    """The text by which a resource says what its end takes along."""
    value = (inputs or {}).get("dataLoss")
    return value if isinstance(value, str) else ""


def line_of(change: Change, code: Callable[[str], str]) -> str:
    """A resource and what differs in it, on one line."""
    what = f"{code(change.kind)} {code(change.name)}"
    if change.op == "refresh" and change.new is None:
        return f"{what} is not there any more"
    places = touched(change.old or {}, change.new or {}) if change.op in ("update", "replace", "refresh") else []
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return what + (": " + ", ".join(code(p) for p in places[:4]) + more if places else "")


def touched(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The items whose values differ: `/etc/radvd.conf`, `radvd.service`; for what is no state, the property's name."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after or key.startswith("__"):
            continue
        if key == "state" and isinstance(before, Mapping) and isinstance(after, Mapping):
            for facet in sorted(before.keys() | after.keys()):
                one, two = before.get(facet) or {}, after.get(facet) or {}
                found += [item for item in sorted(one.keys() | two.keys()) if one.get(item) != two.get(item)]
        elif key == "applies" and isinstance(before, Mapping) and isinstance(after, Mapping):
            found += [item for item in sorted(before.keys() | after.keys()) if before.get(item) != after.get(item)]
        elif key not in ("params", "desired"):
            found.append(key)
    return found


def block(change: Change) -> str:
    """A resource's change, folded."""
    word = "drift" if change.op == "refresh" else change.op
    summary = f"<details><summary>{SIGNS.get(change.op, '~')} {word} {line_of(change, tag)}</summary>"
    lines = diff_lines(change)
    body = (
        fenced("\n".join(lines), "diff") if lines else ["What differs is a secret, or what the provider alone knows."]
    )
    return "\n".join([summary, "", *body, "", "</details>", ""])


def diff_lines(change: Change) -> list[str]:
    """Lines of ```diff: the sign first, so that they are coloured."""
    old = {} if change.op == "create" else dict(change.old or {})
    new = {} if change.op == "delete" else dict(change.new or {})
    lines = []
    for sign, line in difference(shown(old), shown(new)):
        text = line
        at = len(line) - len(line.lstrip(" "))
        if sign and line[at : at + 1] == sign:
            text = line[:at] + " " + line[at + 1 :]
        lines.append(f"{'!' if sign == '~' else sign or ' '} {text}".rstrip())
    return lines


def fitted(head: str, blocks: Sequence[str], foot: str, limit: int) -> str:
    """Head, as many blocks as there is room for, and a note on the others. The head alone may be too long, too."""
    room = limit - CUT - size(foot)
    if size(head) > room:
        kept = head.encode()[: room - CUT].decode(errors="ignore").rsplit("\n", 1)[0]
        run = max((len(r) for r in re.findall(r"(?m)^`{3,}", kept)), default=0)
        close = "\n" + "`" * run if len(re.findall(r"(?m)^`{3,}", kept)) % 2 else ""
        return f"{kept}{close}\n\n{TOO_LONG}\n\n{foot}"
    room -= size(head)
    fitting, left = [], 0
    for text in blocks:
        if size(text) + 1 <= room:
            fitting.append(text)
            room -= size(text) + 1
        else:
            left += 1
    note = [f"**Cut:** {left} of {len(blocks)} diffs are too long for a comment.\n"] if left else []
    return "\n".join([head, *fitting, *note, foot])


def cut(text: str, limit: int, note: str = TOO_LONG) -> str:
    """A text of at most `limit` bytes: lines from its beginning, up to one that leaves no fence and no <details> open."""
    if size(text) <= limit:
        return text
    end = f"\n{note}\n"
    lines, fence, folded, whole, room = text.split("\n"), "", 0, 0, limit - size(end)
    for number, line in enumerate(lines, 1):
        room -= size(line) + 1
        if room < 0:
            break
        run = line[: len(line) - len(line.lstrip("`"))]
        if fence:
            fence = "" if line == fence else fence
        elif len(run) >= 3:
            fence = run
        else:
            folded += line.startswith("<details>") - (line == "</details>")
        whole = whole if fence or folded else number
    return "\n".join([*lines[:whole], end])
