"""What stands at the top of a comment about a rehearsal."""

from __future__ import annotations

from cli.review import verdict


def test_only_what_went_wrong_is_said_at_the_top() -> None:
    assert verdict("kvm1", 0) == []
    assert verdict("kvm1", 1)[0].startswith("**`kvm1`: the rehearsal went wrong")
    assert "could not be rehearsed" in verdict("kvm1", 2)[0]
