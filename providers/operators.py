"""Who logs in to the server: the login user's authorized_keys, whole. sshd(8), AUTHORIZED_KEYS FILE FORMAT.

A member of the host network, so that a list that locks the owner out is undone. That the key in use stays is checked
before the first write, by `Host.check_operators`; what only the server knows is checked by agent/logins.py.
"""

from __future__ import annotations

from pulumi.dynamic import CheckResult

from providers.host.agent.facets import State
from providers.host.agent.logins import keys_in, text_of
from providers.host.provider import MemberProvider, Props, plain
from providers.host.resource import HostResource
from settings import Settings

HEADER = "# Written by Sixstead: `preview --refresh --diff` shows edits, `up --refresh` undoes them.\n"


def path_of(user: str) -> str:
    """A user's authorized_keys: below /root or /home, which the agent compares with the server's passwd(5)."""
    return f"{'/root' if user == 'root' else f'/home/{user}'}/.ssh/authorized_keys"


def render(settings: Settings) -> State:
    """The file of the user who logs in, one key a line."""
    user = settings.server.ssh.user
    text = HEADER + "".join(f"{key.text}\n" for key in settings.server.operators)
    return {"files": {path_of(user): {"text": text, "mode": "0600", "owner": f"{user}:{user}"}}}


class OperatorsProvider(MemberProvider):
    """Says which keys would go that were there before, where the server is being looked at anyway."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """`removes`: lines of the present file that are not wanted, before the file is first taken over."""
        checked = super().check(_olds, news)
        session = self.host.session
        if checked.failures or plain(_olds) or session is None or session.broken:
            return checked
        wanted = checked.inputs["state"]
        present = self.host.observe(checked.inputs["key"], wanted).get("files", {})
        left = {key for value in wanted["files"].values() for key in keys_in(text_of(value))}
        going = [line for value in present.values() for key, line in keys_in(text_of(value)).items() if key not in left]
        if going:
            checked.inputs["removes"] = going
        return checked


class Operators(HostResource, module="sixstead", name="Operators"):
    """The description of who logs in."""
