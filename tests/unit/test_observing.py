"""What an observer's key is told."""

from __future__ import annotations

import io
from typing import Any

import pytest

from providers.host.agent.observing import VEIL, refuse_unknown, skip_program, veiled
from providers.host.agent.system import HostError
from providers.host.bundle import program

SEED = {"user-data": "password: x\n", "meta-data": "id\n"}
SECRET = {"text": "s3cret", "mode": "0600", "owner": "root:root"}
OWNED: dict[str, Any] = {"guest web": {"seeds": {"/s.iso": SEED}, "files": {"/p": "public", "/k": SECRET}}}


def test_public_texts_are_told_and_others_are_left_out_until_they_are_asked_for() -> None:
    answer = veiled(OWNED, OWNED, {})
    assert answer == {side: {"guest web": {"files": {"/p": "public"}}} for side in ("wanted", "observed")}


def test_who_has_a_text_is_told_that_it_is_the_same() -> None:
    answer = veiled(OWNED, OWNED, OWNED)
    assert answer["observed"] == OWNED


def test_who_has_another_text_learns_only_that_it_differs() -> None:
    asked = {
        "guest web": {"seeds": {"/s.iso": {**SEED, "user-data": "guess"}}, "files": {"/k": {**SECRET, "text": "guess"}}}
    }
    answer = veiled(OWNED, OWNED, asked)
    assert answer["observed"]["guest web"]["seeds"]["/s.iso"] == {"user-data": VEIL, "meta-data": "id\n"}
    assert answer["observed"]["guest web"]["files"]["/k"] == {**SECRET, "text": VEIL}
    assert "s3cret" not in str(answer)
    assert "password" not in str(answer)


def test_a_file_that_was_made_unreadable_by_hand_is_not_told() -> None:
    now = {"guest web": {"files": {"/p": SECRET}}}
    answer = veiled({"guest web": {"files": {"/p": "public"}}}, now, {"guest web": {"files": {"/p": "public"}}})
    assert "s3cret" not in str(answer)
    assert answer["observed"]["guest web"]["files"]["/p"] != "public"


def test_what_is_missing_is_missing() -> None:
    assert veiled(OWNED, {}, OWNED)["observed"] == {"guest web": {}}


@pytest.mark.parametrize("asked", [{"files": {"/etc/shadow": ""}}, {"nft": {"inet x": "as in /etc/shadow"}}])
def test_what_the_manifest_does_not_name_is_not_looked_at(asked: Any) -> None:
    with pytest.raises(HostError, match="not in the server's own record"):
        refuse_unknown("guest web", asked, OWNED["guest web"])


def test_the_program_that_a_client_sends_is_read_over() -> None:
    source = io.BytesIO(b"a password\n" + program() + b"frames")
    assert skip_program(source)
    assert source.read() == b"frames"


@pytest.mark.parametrize("sent", [b"", b"touch /x\n", b"SIXSTEAD 9\nabc", b"SIXSTEAD -1\n", b"x" * 200_000])
def test_whoever_sends_no_program_is_not_served(sent: bytes) -> None:
    assert not skip_program(io.BytesIO(sent))
