"""Both ends of a session: what comes over it is a frame, or ends it; a request of the wrong shape does nothing but be refused."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import queue
import socket
import struct
import threading
from typing import Any

import paramiko
from hypothesis import given
from hypothesis import strategies as st

from providers.host.agent.frames import read_frame
from providers.host.agent.main import Agent
from providers.host.agent.requests import OPTIONAL, REQUIRED, arguments_of
from providers.host.agent.system import HostError
from providers.host.connection import Target
from providers.host.errors import ServerError
from providers.host.session import Session
from tests.fuzz import odd, watch

GOOD = [
    {"id": 1, "ok": {"os": "debian-13", "backend": "ifupdown", "uid": 0}},
    {"id": 1, "error": {"what": "no space", "remedy": "free some", "trace": ""}},
    {"id": 1, "progress": "waiting"},
    {"id": 1, "op": "converge", "args": {"entries": {"a": {"files": {"/x": "y"}}}, "previous": [], "gone": [], "params": {}}},
    {"id": 2, "op": "counted", "args": {"tables": ["inet sixstead"]}},
]  # fmt: skip
names = st.one_of(
    st.sampled_from(["id", "ok", "op", "args", "error", "progress", "what", "entries", "wanted", "gone"]), odd.text
)
frames = st.integers(0, len(GOOD) - 1).flatmap(lambda number: odd.changed(GOOD[number], odd.json_values, names))


def text_of(frame: Any) -> bytes:
    try:
        return json.dumps(frame).encode()
    except RecursionError:
        return b'{"id":' + b"[" * 3000


contents = st.one_of(
    odd.text.map(lambda text: text_of({"id": 1, "progress": text})),
    st.binary(max_size=80),
    frames.map(text_of),
    st.just(b'{"a":' * 3000),
    st.just(b'{"a":' + b"1" * 5000 + b"}"),
)
lengths = st.one_of(
    st.none(), st.none(), st.none(), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**26, 2**26 + 1, 2**32 - 1])
)


def stream(parts: list[tuple[bytes, int | None]], cut: int) -> bytes:
    """Frames, some of which lie about their length, less their end."""
    whole = b"".join(struct.pack(">I", len(c) if n is None else n) + c for c, n in parts)
    return whole[: len(whole) - cut]


streams = st.builds(stream, st.lists(st.tuples(contents, lengths), max_size=4), st.integers(0, 6))


@given(st.one_of(streams, st.binary()))
def test_the_agent_reads_frames_or_the_end(content: bytes) -> None:
    source = io.BytesIO(content)
    with watch.looking():
        while (frame := read_frame(source)) is not None:
            assert isinstance(frame, dict)


def answer(frame: dict[str, Any]) -> Any:
    """What an agent answers; that it could run a command, write or connect is out."""
    sink = io.BytesIO()
    agent = Agent(io.BytesIO(), sink, "")
    with watch.looking():
        agent.answer(frame)
    answers = io.BytesIO(sink.getvalue())
    return json.loads(answers.read(struct.unpack(">I", answers.read(4))[0]))


def fits(frame: dict[str, Any]) -> bool:
    try:
        arguments_of(frame)
    except HostError:
        return False
    return True


OPERATIONS = sorted({*REQUIRED, *OPTIONAL, "roll_back"})
requests = st.one_of(
    frames,
    st.fixed_dictionaries(
        {
            "id": odd.scalars,
            "op": st.sampled_from(OPERATIONS),
            "args": st.one_of(odd.json_values, st.dictionaries(names, odd.json_values)),
        }
    ),
)


@given(requests)
def test_a_request_of_the_wrong_shape_is_refused_before_anything_is_done(frame: Any) -> None:
    if not isinstance(frame, dict) or (frame.get("op") in OPERATIONS and fits(frame)):
        return
    with contextlib.suppress(RecursionError):  # an id that is nested deeper than JSON can be
        json.dumps(frame)
        told = answer(frame)
        assert set(told) == {"id", "error"} or frame.get("op") == "alive"
        assert "trace" not in told.get("error", {})


@given(st.dictionaries(odd.text, odd.json_values, max_size=3))
def test_a_greeting_is_answered_whatever_else_it_says(more: dict[str, Any]) -> None:
    told = answer({**more, "id": 1, "op": "alive", "args": {}})
    assert told == {"id": 1, "ok": {}}
    told = answer({"id": 1, "op": "observe", "args": {"wanted": {"x": {"nonsense": {"a": "b"}}}}})
    assert "knows nothing of nonsense" in told["error"]["what"]


def session(stream: bytes) -> tuple[Session, socket.socket]:
    """The operator's end, with a socket in the place of the SSH channel: it has the same recv and sendall."""
    ours, theirs = socket.socketpair()
    made = object.__new__(Session)
    made.where, made.progress = Target("192.0.2.10", 22, "root", ()), lambda text: shown.append(text)
    made.exchanges, made.numbers, made.waiting = 0, itertools.count(1), {}
    made.sending, made.broken, made.heard = threading.Lock(), "", 0.0
    made.channel, made.transport = ours, ours  # type: ignore[assignment]
    theirs.sendall(stream)
    theirs.shutdown(socket.SHUT_WR)
    return made, theirs


shown: list[str] = []


def without_trace(frame: dict[str, Any]) -> dict[str, Any]:
    """A traceback goes to the log, which is a file."""
    error = frame.get("error")
    return {**frame, "error": {k: v for k, v in error.items() if k != "trace"}} if isinstance(error, dict) else frame


@given(streams)
def test_the_operator_gets_answers_or_is_told_why_not(content: bytes) -> None:
    shown.clear()
    made, theirs = session(content)
    with theirs, made.channel:  # type: ignore[attr-defined]
        box: queue.Queue[dict[str, Any] | None] = queue.Queue()
        made.waiting[1] = box
        with watch.looking():
            made.read()
        assert made.broken
        assert made.broken.isprintable()
        last = None
        while not box.empty():
            last = box.get()
            if last is not None:
                with contextlib.suppress(ServerError), watch.looking():
                    made.result(without_trace(last))
        assert last is None, "whoever waits is told that nothing comes any more"
        assert all(line.isprintable() for text in shown for line in text.replace("\t", " ").split("\n"))
        if made.broken != "the connection was closed":  # then it asks for the channel's last words
            assert made.lost().what


@given(frames)
def test_an_answer_is_a_result_or_an_error_that_can_be_printed(frame: Any) -> None:
    if not isinstance(frame, dict):
        return
    made, theirs = session(b"")
    with theirs, made.channel:  # type: ignore[attr-defined]
        try:
            with watch.looking():
                made.result(without_trace(frame))
        except ServerError as error:
            found = str(error)
        else:
            return
    assert all(line.isprintable() for line in found.replace("\t", " ").split("\n"))
    found.encode()


def test_paramikos_channel_has_what_the_socket_stands_for() -> None:
    assert callable(paramiko.Channel.recv)
    assert callable(paramiko.Channel.sendall)
