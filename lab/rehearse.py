"""`./sixstead rehearse`: a change of a stack, made in a lab of the stack's measure before it is made for real."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import yaml

from lab.errors import LabError
from lab.lab import PROJECT, Lab
from lab.rehearsal_report import Reached, Report, one_line, rehearsal_markdown, rehearsal_text
from lab.rehearsal_runs import Runs
from lab.rehearsed import Rehearsed, for_lab, rehearsed, topology
from lab.stack_file import at_revision, read_stack, revision
from lab.system import become_root
from lab.watch import Target, reachable, targets, watching

BACK_WITHIN = 75
"""Seconds within which what should answer after the change does: the server undoes an unconfirmed one in less."""
WITHIN = 840
"""Seconds for a whole rehearsal, without taking its lab down."""
TOO_LONG = 124
"""Exit status of one that took longer, as timeout(1) has it."""
_UNDONE = re.compile(r"the network change was (undone|not confirmed)")


def parser() -> argparse.ArgumentParser:
    text = "make a change of a stack in a simulated server first, with traffic all the while"
    end = (
        "Ends with 0 for a good rehearsal, 1 where the change would lock the owner out or does not hold, 2 for errors,"
        f" {TOO_LONG} where it took too long."
    )
    made = argparse.ArgumentParser(prog="./sixstead rehearse", description=text, epilog=end)
    made.add_argument("-s", "--stack", required=True, help="the stack")
    made.add_argument("--from", dest="since", default="HEAD", metavar="REV", help="the git revision of before (HEAD)")
    made.add_argument("--markdown", action="store_true", help="as a section of a pull request's comment")
    made.add_argument(
        "--guests", type=int, default=4, metavar="N", help="at most N guests, those that change first (4)"
    )
    made.add_argument(
        "--within", type=float, default=WITHIN, metavar="SECONDS", help=f"end it after that long ({WITHIN})"
    )
    made.add_argument("--keep", action="store_true", help="leave the lab up, to look at")
    made.add_argument("--config-file", metavar="FILE", help="the stack's config, instead of stacks/Pulumi.STACK.yaml")
    made.add_argument("--proposed", metavar="FILE", help="the changed config, instead of the stack's own file")
    made.add_argument("-C", "--cwd", metavar="DIR", help="run as if started in DIR")
    return made


def main(argv: list[str]) -> int:
    """Rehearse. 0 when the change is good, 1 when it is not, 2 after an error, 124 out of time, 130 after Ctrl-C."""
    options = parser().parse_args(argv)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"rehearse: {time.monotonic() - started:5.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        become_root(argv, "lab.rehearse")
        path = stack_file(options)
        after = read_stack(Path(options.cwd or ".").joinpath(options.proposed or path))["config"]
        change = rehearsed(at_revision(path, options.since), after, options.stack, options.guests)
        report = Report(options.stack, revision(path, options.since), left_out=change.left_out)
        if change.before == change.after:
            report = replace(report, same=True)
        else:
            with ended_by_signals(options.within):
                report = Rehearsal(options.stack, change, say, options.keep).run(report)
    except LabError as error:
        print(f"rehearse: {error}", file=sys.stderr)
        return 2
    except TookTooLong:
        print(f"rehearse: it took longer than {options.within:g} s; `--within SECONDS` gives it more", file=sys.stderr)
        return TOO_LONG
    except KeyboardInterrupt:
        print("rehearse: interrupted", file=sys.stderr)
        return 130
    print(rehearsal_markdown(report) if options.markdown else rehearsal_text(report), end="")
    return 0 if report.same or report.good else 1


@dataclass
class Rehearsal:
    """One rehearsal, in a lab of its own that is taken down whatever happens."""

    stack: str
    change: Rehearsed
    say: Any
    keep: bool = False
    lab: Lab = field(init=False)

    def __post_init__(self) -> None:
        self.lab = Lab(f"rehearsal-{os.getpid()}", say=self.say)

    def run(self, report: Report) -> Report:
        """Bring the lab up, make the config of before, then the change. Raises LabError where the former can't be done."""
        with tempfile.TemporaryDirectory(prefix="sixstead-rehearsal-") as folder:
            try:
                return self._run(report, Path(folder))
            finally:
                if self.keep:
                    self.say(f"the lab stays: ./sixstead lab down --name {self.lab.name}")
                else:
                    self._down()

    def _down(self) -> None:
        """Nothing interrupts this: a lab that is half removed is nobody's."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        self.lab.down()

    def _run(self, report: Report, folder: Path) -> Report:
        after = topology(self.change.after)
        measure = folder / "Pulumi.measure.yaml"
        measure.write_text(yaml.safe_dump({"config": self.change.measure}))
        self.lab.up(str(measure))
        made = self.lab.topology
        if made.user != "root":
            rule = f"echo '{made.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/rehearsal"
            self.lab.exec("server", ["sh", "-c", rule])
        runs = Runs(self.lab, self.stack, folder)
        self.say("making the config of before")
        runs.write(for_lab(self.change.before, self.lab.name, self.lab.state, made))
        done = runs.sixstead("up", "--yes", "--skip-preview")
        if done.error:
            raise LabError(f"the lab can't be made as the config at {report.since} says: {done.error}")
        wanted = targets(topology(self.change.before), after, self.change.guests)
        missing = reachable(self.lab, [(target.place, target.before) for target in wanted], BACK_WITHIN)
        if missing:
            raise LabError(f"before the change already, nobody can reach {', '.join(missing)} in the lab")
        runs.write(for_lab(self.change.after, self.lab.name, self.lab.state, made))
        return self._changed(report, runs, wanted)

    def _changed(self, report: Report, runs: Runs, wanted: list[Target]) -> Report:
        """Make the change, and tell what came of it."""
        self.say("previewing the change")
        preview = runs.sixstead("preview")
        if preview.error:
            return replace(report, failed=one_line(preview.error))
        self.say("making the change")
        before = self.lab.counters()["foreign_mac_frames"]
        with watching(self.lab, wanted) as watch:
            done = runs.sixstead("up", "--yes", "--skip-preview")
            self.say("looking who answers")
            then = {target: target.before if done.error else target.after for target in wanted}
            lost = reachable(self.lab, [(t.place, address) for t, address in then.items() if address], BACK_WITHIN)
        counters = self.lab.counters()
        undone = bool(_UNDONE.search(done.error))
        report = replace(
            report,
            reached=tuple(
                Reached(t.name, address or t.before, watch.gap(t), address not in lost if address else None)
                for t, address in then.items()
            ),
            foreign=counters["foreign_mac_frames"] - before,
            foreign_macs=tuple(map(str, counters["foreign_macs"])),
            undone=one_line(done.error) if undone else "",
            failed="" if undone else one_line(done.error),
            announced=preview.steps,
            made=done.steps,
            interruptions=preview.interruptions,
        )
        if done.error:
            return report
        self.say("previewing once more")
        again = runs.sixstead("preview", "--refresh")
        if again.error:
            return replace(report, failed=f"a preview afterwards fails: {one_line(again.error)}")
        return replace(report, again=again.steps)


def stack_file(options: argparse.Namespace) -> Path:
    """The stack's file in the working tree: of the project that the caller stands in, else of this one."""
    here = Path(options.cwd or ".").resolve()
    if options.config_file:
        return here.joinpath(options.config_file).resolve()
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", options.stack):
        raise LabError(f"{options.stack!r} is no stack's name")
    projects = [folder for folder in (here, *here.parents) if (folder / "Pulumi.yaml").exists()]
    path: Path = [*projects, PROJECT][0] / "stacks" / f"Pulumi.{options.stack}.yaml"
    if not path.exists() and not options.proposed:
        raise LabError(f"there is no stack {options.stack!r}: {path} is missing")
    return path


class TookTooLong(KeyboardInterrupt):
    """The time is up. It ends all that Ctrl-C ends, and nothing that waits for an error takes it for one."""


@contextmanager
def ended_by_signals(within: float) -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: CI jobs are cancelled by them. So does the time, in seconds:
    whoever waits for a rehearsal may not be allowed to end it, as it runs as root, or ends it by SIGKILL and its lab stays."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise TookTooLong if number == signal.SIGALRM else KeyboardInterrupt

    ends = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.signal(number, end) for number in ends}
    signal.setitimer(signal.ITIMER_REAL, max(within, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
