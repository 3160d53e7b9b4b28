"""The shared dynamic provider: check, diff, create, read, update and delete for everything that lives on a host.

A resource's inputs are
- `key`: its name in the host's manifest, `router-advertisement main`; also the resource's id;
- `state`: what is wanted, by facet and item (see agent/__init__.py); `secretState` holds the secret items, and is passed as a secret;
- `params`: how to get there; a change in these alone is no change;
- `interrupts`, `dataLoss`: what the owner should know before it happens, where there is something to know.
Outputs have the same shape, with what was observed in `state`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from .errors import told
from .sessions import Host, State, host_of

Props = dict[str, Any]
T = TypeVar("T")

COMPARED = ("state", "secretState", "dataLoss")


class HostProvider(ResourceProvider):
    """CRUD by the agent's facets. Kinds differ by class, so that previews name them, and by what they override."""

    serialize_as_secret_always = False
    stack = ""
    """`project/stack` whose change it is: a server refuses another's (agent/holder.py). Empty where that is nobody's claim."""
    can_be_gone = True
    """Whether finding nothing of it on the host means that the resource itself is gone."""

    def of_stack(self) -> Self:
        """The same, of the stack that the program runs for. It goes to the engine with the provider, not as an input: so
        no preview shows it, and a `destroy`, which runs no program, has it as well."""
        self.stack = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        return self

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the way to the stack's config: nothing is opened yet."""
        self.config: Callable[[str], Any] = req.config.get
        clean_errors()

    @property
    def host(self) -> Host:
        """The server."""
        return host_of(self.config)

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Refuse what is not of the right shape, before anything is touched; say what the change would interrupt."""
        olds, news = plain(_olds), plain(news)
        failures = [CheckFailure(name, f"must be a map of maps, not {news[name]!r}")
                    for name in ("state", "secretState") if not is_state(news.get(name))]  # fmt: skip
        if not isinstance(news.get("key"), str):
            failures.append(CheckFailure("key", "must be a text"))
        if not failures:
            interrupts = self.interruption(olds, news)
            news.pop("interrupts", None)
            if interrupts:
                news["interrupts"] = interrupts
        return CheckResult(news, failures)

    def interruption(self, olds: Props, news: Props) -> str:
        """In words, what an update from olds to news interrupts; empty where nothing."""
        return ""

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Compare what is wanted with what was last seen; another key is another thing."""
        olds, news = plain(_olds), plain(_news)
        replaces = ["key"] if olds.get("key") != news.get("key") else []
        changed = bool(replaces) or any((olds.get(n) or None) != (news.get(n) or None) for n in COMPARED)
        return DiffResult(changes=changed, replaces=replaces, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Converge; what is there already is adopted."""
        props = plain(props)
        return CreateResult(props["key"], self.converged(props, {}))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Converge; what the old inputs had and the new ones don't have is given back."""
        return UpdateResult(self.converged(plain(_news), wanted_of(plain(_olds))))

    def converged(self, props: Props, previous: State) -> Props:
        """The outputs after bringing the host to the wanted state."""
        key = props["key"]
        arguments = {"entries": {key: wanted_of(props)}, "previous": [previous], "params": self.how(props, previous)}
        answer = self.change("converge", arguments)
        return with_state(props, answer["observed"][key])

    def change(self, operation: str, arguments: Props) -> Props:
        """A request that writes, with whose it is."""
        return self.host.change(operation, {**arguments, "stack": self.stack})

    def how(self, props: Props, previous: State) -> Props:
        """The params of a change: how to get there may depend on where one comes from."""
        return props.get("params") or {}

    def read(self, id_: str, props: Props) -> ReadResult:
        """Observe; gone only where a successful observation finds nothing at all."""
        props = plain(props)
        observed = self.host.observe(props["key"], wanted_of(props))
        if not observed and self.can_be_gone:
            return ReadResult(None, {})
        seen = with_state(props, observed)
        return ReadResult(id_, seen, inputs=dict(seen))

    def delete(self, _id: str, _props: Props) -> None:
        """Give everything back as it was before; a later edit by the owner is kept, and reported."""
        props = plain(_props)
        params = {**(props.get("params") or {}), "dataLoss": props.get("dataLoss") or ""}
        self.change("remove", {"gone": [props["key"]], "previous": [wanted_of(props)], "params": params})


class MemberProvider(HostProvider):
    """A part of the host's network: described, compared and observed on its own, applied by the host network as a whole."""

    can_be_gone = False  # missing on the host, it is the network that has drifted, not the description that is gone

    def converged(self, props: Props, previous: State) -> Props:
        """Nothing is touched here."""
        return dict(props)

    def delete(self, _id: str, _props: Props) -> None:
        """Nothing: what left the list is removed in the host network's transaction."""


def wanted_of(props: Mapping[str, Any]) -> State:
    """Public and secret items as one state."""
    state = {name: dict(items) for name, items in (props.get("state") or {}).items()}
    for name, items in (props.get("secretState") or {}).items():
        state.setdefault(name, {}).update(items)
    return state


def with_state(props: Props, observed: State) -> Props:
    """The properties with the observed values in place of the wanted ones, secret items apart from public ones."""
    secret = props.get("secretState") or {}
    public = {n: {i: v for i, v in items.items() if i not in secret.get(n, {})} for n, items in observed.items()}
    hidden = {n: {i: v for i, v in items.items() if i in secret.get(n, {})} for n, items in observed.items()}
    result = {**props, "state": {n: items for n, items in public.items() if items}}
    if "secretState" in props:
        result["secretState"] = {n: items for n, items in hidden.items() if items}
    return result


def is_state(value: Any) -> bool:
    """Whether a value is a map of maps; absent is fine."""
    return value is None or (isinstance(value, dict) and all(isinstance(items, dict) for items in value.values()))


def plain(props: Mapping[str, Any]) -> Props:
    """Without the SDK's own keys, whole floats as ints (numbers arrive as floats), secret wrappers taken off."""
    return {name: plain_value(value) for name, value in props.items() if not name.startswith("__")}


def plain_value(value: Any) -> Any:
    """One value of `plain`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        if "4dabf18193072939515e22adb298388d" in value:
            return plain_value(value.get("value"))
        return {name: plain_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    return value


def clean_errors() -> None:
    """Make the SDK's provider process hand over an error's own words instead of a traceback, which goes to the log.

    `pulumi.dynamic.__main__` formats each exception with `traceback.format_exc`; it is given a `traceback` of ours,
    in that one process and that one module.
    """
    module = sys.modules.get("__main__")
    if getattr(getattr(module, "__spec__", None), "name", "") == "pulumi.dynamic.__main__":
        module.traceback = SimpleNamespace(format_exc=lambda: told(sys.exc_info()[1] or Exception("unknown")))  # type: ignore[union-attr]


def fingerprint(sections: Mapping[str, State]) -> dict[str, str]:
    """A short hash of each section, for showing which ones a host network applies."""
    import hashlib

    return {
        key: hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:8]
        for key, state in sections.items()
    }
