"""What a forge's runner does with the workflows in docs/review, as far as it can be done here: jobs chosen by the event,
expressions filled in, each step's script run by sh in a directory of its own, with the variables that the platform gives.

Secrets are there only where the platform gives them: GitHub to a job whose `environment` admits the branch of the run,
GitLab to a pipeline of a protected branch, Forgejo to workflows of the repository that has them.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = Path(__file__).resolve().parents[2] / "docs" / "review"


@dataclass
class Runner:
    """One forge with one repository `origin`. `secrets` and `variables` are what its owner has set."""

    kind: str
    origin: Path
    folder: Path
    platform: dict[str, str]
    """Variables that every job has: the address of the forge's web service and the like."""
    secrets: dict[str, str]
    variables: dict[str, str]
    said: str = ""
    """Everything that jobs printed."""
    runs: int = 0
    given: list[str] = field(default_factory=list)
    """The names of the secrets that a step had."""

    def environment(self, place: Path) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(place), "RUNNER_TEMP": str(place), **self.platform}

    def pull_request(self, number: int, fork: bool) -> bool:
        """Run what a new or changed pull request sets off; whether all went well."""
        self.runs += 1
        place = self.folder / f"run{self.runs}"
        (place / "work").mkdir(parents=True)
        if self.kind == "gitlab":
            return self.gitlab(place)
        if self.kind == "forgejo":
            workflow = yaml.safe_load((WORKFLOWS / "forgejo.yml").read_text())
            assert workflow[True] == {"schedule": [{"cron": "*/5 * * * *"}]}  # `on:` is True in YAML 1.1
            return self.job(workflow["jobs"]["preview"], place, {}, secrets=True)
        event = {
            "github.event_name": "pull_request_target",
            "github.event.pull_request.number": str(number),
            "github.event.pull_request.base.ref": "main",
            "github.event.pull_request.head.repo.full_name": "mallory/servers" if fork else "owner/servers",
        }
        return self.github(place, event)

    def push(self, branch: str) -> bool:
        """Run what a push to a branch of GitHub sets off, where it runs this file; whether all went well."""
        self.runs += 1
        place = self.folder / f"run{self.runs}"
        (place / "work").mkdir(parents=True)
        return self.github(place, {"github.event_name": "push", "github.ref_name": branch})

    def github(self, place: Path, event: dict[str, str]) -> bool:
        """The one job that an event is for, or none."""
        workflow = yaml.safe_load((WORKFLOWS / "github.yml").read_text())
        # Of a pull request's events, those that run the workflow of the base branch.
        types = ["opened", "synchronize", "reopened", "edited"]
        assert workflow[True] == {"pull_request_target": {"types": types}, "push": {"branches": ["main"]}}
        assert workflow["permissions"] == {}
        event = {
            "github.token": "planted-forge-token",
            "github.event.repository.default_branch": "main",
            "github.repository": "owner/servers",
            **event,
        }
        chosen = [job for job in workflow["jobs"].values() if holds(job["if"], event)]
        assert len(chosen) <= 1
        # The environment is restricted to the default branch, and it is that one's code that runs.
        return all(self.job(job, place, event, secrets=job.get("environment") == "sixstead-review") for job in chosen)

    def job(self, job: dict[str, Any], place: Path, event: dict[str, str], *, secrets: bool) -> bool:
        """GitHub's and Forgejo's."""
        values = {**event, **{f"vars.{name}": value for name, value in self.variables.items()}}
        values |= {f"secrets.{name}": value for name, value in self.secrets.items()} if secrets else {}
        well = True
        for step in job["steps"]:
            if step.get("name") == "Tools" or (not well and "if" not in step):
                continue
            assert "${{" not in step["run"], "what an event says never stands in a script's text"
            given = {}
            for name, text in step.get("env", {}).items():
                expression = re.fullmatch(r"\$\{\{ (\S+) \}\}", text)
                assert expression, text
                # A variable that nobody has set is empty.
                given[name] = values.get(expression[1], "") if text[4:].startswith("vars.") else values[expression[1]]
                self.given += [expression[1]] if expression[1].startswith("secrets.") else []
            well &= self.script(step["run"], place / "work", {**self.environment(place), **given})
        return well

    def gitlab(self, place: Path) -> bool:
        """A scheduled pipeline of the default branch, which is protected."""
        job = yaml.safe_load((WORKFLOWS / "gitlab-ci.yml").read_text())["preview"]
        assert [rule["if"] for rule in job["rules"]] == [
            '$CI_PIPELINE_SOURCE == "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_COMMIT_REF_PROTECTED == "true"'
        ]
        work = place / "work"
        subprocess.run(["git", "clone", "-q", "--branch", "main", str(self.origin), str(work)], check=True)
        self.given += [f"secrets.{name}" for name in self.secrets]
        given = {"CI_DEFAULT_BRANCH": "main", **self.variables, **self.secrets}
        lines = [line for line in job["before_script"] if "apt-get" not in line] + job["script"]
        return self.script("set -e\n" + "\n".join(lines), work, {**self.environment(place), **given})

    def script(self, text: str, work: Path, environment: dict[str, str]) -> bool:
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        self.said += done.stdout + done.stderr
        return done.returncode == 0


def holds(condition: str, event: dict[str, str]) -> bool:
    """A conjunction of `a == b` and `a != b` over what the event says, which is empty where it says nothing, and texts."""
    results = []
    for part in condition.split("&&"):
        left, sign, right = part.split()
        one, two = (name[1:-1] if name.startswith("'") else event.get(name, "") for name in (left, right))
        results.append((one == two) == (sign == "=="))
    return all(results)
