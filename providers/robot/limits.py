"""How long is waited before a request is tried again, and when that is given up. Pure; all times in seconds."""

from __future__ import annotations

import datetime

from providers.robot.answers import Answer

TRIES = 3
"""How often what looks like a broken line or a failure of Robot's is tried."""

LONGEST_PAUSE = 30.0


def pause_after_failure(tries: int) -> float | None:
    """Before the next try, after so many failed ones; None to give up."""
    return None if tries >= TRIES else float(2 ** (tries - 1))


def pause_for(answer: Answer, tries: int, waited: float, left: float) -> float | None:
    """Before asking again, where Robot is in maintenance or its limit is used up; None to give up.

    `tries`: answers like this one so far, `waited`: for how long. `left`: what may still be waited. A limit that can last
    longer than that is not waited for at all: nobody is helped by a run that hangs for minutes and then fails.
    """
    if answer.meaning == "limit" and longest(answer) - waited > left:
        return None
    pause = answer.retry_after
    if pause is None:
        pause = min(2.0 ** (tries - 1), LONGEST_PAUSE, left)
    return pause if 0 < pause <= left else None


def longest(answer: Answer) -> float:
    """How long a limit can last at most. Robot does not say since when it counts; an hour is its usual interval."""
    if answer.retry_after is not None:
        return answer.retry_after
    return 3600.0 if answer.interval is None else answer.interval


def limit_told(answer: Answer, endpoint: str, now: datetime.datetime) -> tuple[str, str]:
    """What is used up, and when to come again."""
    amount = (
        "Robot's limit of requests" if answer.max_request is None else f"Robot's limit of {answer.max_request} requests"
    )
    seconds = longest(answer)
    what = f"{amount} in {seconds:.0f} s to {endpoint} is used up"
    return what, f"run it again at {clock(now, seconds)}: by then at the latest it is open again"


def clock(now: datetime.datetime, seconds: float) -> str:
    """The time of day after so many seconds, rounded up to a minute; with the date, where that is another day."""
    then = now + datetime.timedelta(seconds=seconds)
    if then.second or then.microsecond:
        then = then.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    return then.strftime("%H:%M" if then.date() == now.date() else "%H:%M on %Y-%m-%d")
