"""What sshd's configuration comes to: sshd(8), -T; sshd_config(5)."""

from __future__ import annotations

from collections.abc import Iterable

from .system import HostError, run

FROM_OUTSIDE = "host=outside.invalid,addr=2001:db8::1"
"""From where the login comes that sshd is asked about: a documentation address (RFC 3849), so that no `Match` for a
neighbour applies."""


def configuration(user: str) -> dict[str, str] | None:
    """The options for a user's login, by keyword in lower case; None where sshd does not say."""
    try:
        done = run(["sshd", "-T", "-C", f"user={user},{FROM_OUTSIDE}"], check=False)
    except HostError:
        return None
    return options(done.out.splitlines()) if done.code == 0 else None


def options(lines: Iterable[str]) -> dict[str, str]:
    """`keyword value` lines."""
    return {key: value for key, _, value in (line.partition(" ") for line in lines) if value}
