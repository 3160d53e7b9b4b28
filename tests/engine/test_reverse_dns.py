"""A stack's PTR records, from its config to the lab's Robot, by the embedded engine and, where it is on PATH, pulumi."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.robot import Fault, Robot, default_name
from tests.engine.conftest import ENGINES, REPOSITORY, SALT, Toy

USER, PASSWORD = "#ws+planted-user-41c0", "planted-robot-password-5d2e"
IPV4, SERVER6 = "192.0.2.10", "2001:db8:1::2"
PROGRAM = """
from components.reverse_dns import ReverseDnsRecords
from components.stack import read_settings

ReverseDnsRecords("reverse-dns", read_settings(), after=[])
"""


class Names(Toy):
    """A stack with nothing but its PTR records: what they need of the program, of its config and of its own secrets."""

    def __init__(self, directory: Path, engine: str, robot: Robot) -> None:
        self.robot = robot
        super().__init__(directory, engine)
        for old in directory.glob("*.py"):
            old.unlink()
        (directory / "__main__.py").write_text(PROGRAM)
        project = yaml.safe_load((directory / "Pulumi.yaml").read_text())
        (directory / "Pulumi.yaml").write_text(yaml.safe_dump({**project, "name": "sixstead"}))
        self.secrets: dict[str, Any] = {}
        for key, value in (("robotUser", USER), ("robotPassword", PASSWORD)):
            self.secret(key, value)

    def has(self, *guests: Any, stack: str = "dev", exports: Any = None, **config: Any) -> None:
        """Guests by name are the first argument; `config` replaces sections."""
        base = yaml.safe_load((REPOSITORY / "tests/unit/settings_cases/base.yaml").read_text())
        named = guests[0] if guests else {}
        base["guests"] = {name: {"image": "d13", "memory": "1GiB", **more} for name, more in named.items()}
        base["rdns"] = {"domain": "example.net", "endpoint": self.robot.url, "wait": 5}
        values = {f"sixstead:{k}": v for k, v in {**base, **config}.items() if v is not None}
        document = {"config": values | getattr(self, "secrets", {}), "encryptionsalt": SALT}
        (self.dir / "stacks").mkdir(exist_ok=True)
        (self.dir / "stacks" / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))

    def secret(self, key: str, value: str) -> None:
        """`config set --secret`, the value by standard input."""
        command = self.command("config", "set", "--secret", f"sixstead:{key}", "-s", "dev")
        done = subprocess.run(
            command, cwd=self.dir, env=self.environment(), input=value, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        config = yaml.safe_load((self.dir / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
        self.secrets[f"sixstead:{key}"] = config[f"sixstead:{key}"]

    def requests(self) -> dict[str, int]:
        """What Robot was asked since the last time."""
        found = self.robot.counted()
        self.robot.requests.clear()
        return found


@pytest.fixture
def robot() -> Iterator[Robot]:
    with Robot([f"{IPV4}/32", "2001:db8:1::/64"], user=USER, password=PASSWORD) as robot:
        yield robot


@pytest.fixture(params=ENGINES)
def names(request: pytest.FixtureRequest, tmp_path: Path, robot: Robot) -> Names:
    return Names(tmp_path / "stack", request.param, robot)


def test_a_preview_names_each_record_and_asks_nothing(names: Names) -> None:
    names.has({"web": {"address": "::80"}, "mail": {"address": "::25", "ptr": "mx.example.org"}})
    text = names.run("preview", "--diff").stdout
    for record in (f"{IPV4}", "kvm1.example.net", "2001:db8:1::80", "web.example.net", "mx.example.org"):
        assert record in text
    assert names.requests() == {}


def test_the_whole_program_makes_one_record_for_each_address_after_all_else(names: Names) -> None:
    names.has({"web": {"address": "::80"}, "mail": {"ptr": False}})
    (names.dir / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
    steps = names.document()["steps"]
    made = {
        s["newState"]["inputs"]["ip"]: s["newState"] for s in steps if s["urn"].split("::")[2].endswith("ReverseDns")
    }
    assert {ip: state["inputs"]["ptr"] for ip, state in made.items()} == {
        IPV4: "kvm1.example.net",
        SERVER6: "kvm1.example.net",
        "2001:db8:1::80": "web.example.net",
    }
    order = [step["urn"].rsplit("::", 1)[1] for step in steps]
    assert order.index("guests-ready") < min(order.index(name) for name in order if name.startswith("ptr-"))
    names.has({"web": {"address": "::80"}}, rdns=None)
    assert not any("everse" in step["urn"] for step in names.document()["steps"])


def test_a_stacks_life(names: Names) -> None:
    names.has({"web": {"address": "::80"}, "mail": {"address": "::25", "ptr": "mx.example.org"}})
    names.robot.ptrs["2001:db8:1::80"] = "somebody.example"
    names.up()
    wanted = {
        IPV4: "kvm1.example.net",
        SERVER6: "kvm1.example.net",
        "2001:db8:1::80": "web.example.net",
        "2001:db8:1::25": "mx.example.org",
    }
    assert names.robot.ptrs == wanted
    assert names.requests() == {"GET /rdns": 1, "POST /rdns/{ip}": 2, "PUT /rdns/{ip}": 2}

    names.run("preview", "--refresh", "--expect-no-changes")
    assert names.requests() == {"GET /rdns": 1}

    names.robot.ptrs["2001:db8:1::80"] = "drift.example"
    del names.robot.ptrs["2001:db8:1::25"]
    shown = names.run("preview", "--refresh", "--diff").stdout
    assert "drift.example" in shown
    assert names.steps("--refresh") == [("create", "ptr-2001-db8-1--25"), ("update", "ptr-2001-db8-1--80")]
    names.up("--refresh")
    assert names.robot.ptrs == wanted

    names.has({"www": {"address": "::80"}})
    names.up()
    assert names.robot.ptrs == {
        IPV4: "kvm1.example.net",
        SERVER6: "kvm1.example.net",
        "2001:db8:1::80": "www.example.net",
    }
    names.robot.ptrs[SERVER6] = "edited.example"
    done = names.run("destroy", "--yes", "--skip-preview")
    assert "edited.example" in done.stdout + done.stderr
    assert names.robot.ptrs == {IPV4: default_name(IPV4), SERVER6: "edited.example"}


def test_the_section_can_leave_the_config_and_its_records_go_where_they_were_made(names: Names) -> None:
    names.has({"web": {"address": "::80"}})
    names.up()
    names.has({"web": {"address": "::80"}}, rdns=None)
    names.up()
    assert names.robot.ptrs == {IPV4: default_name(IPV4)}


def test_the_login_is_found_nowhere_but_encrypted(names: Names) -> None:
    names.has({"web": {"address": "::80"}})
    outputs = [names.run("preview", "--diff"), names.up(), names.run("preview", "--refresh", "--diff")]
    names.robot.faults.append(Fault("error", 1, "GET", status=403, code=f"NO_{PASSWORD}"))
    outputs.append(names.run("preview", "--refresh", status=None))
    names.robot.password = "changed"  # noqa: S105
    outputs += [names.run("destroy", "--yes", "--skip-preview", status=None), names.run("stack", "export")]
    assert "refused the login" in outputs[-2].stdout + outputs[-2].stderr
    texts = [done.stdout + done.stderr for done in outputs]
    texts += [path.read_text(errors="replace") for path in names.dir.rglob("*") if path.is_file()]
    assert len(texts) > 8
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert not any(secret in text for secret in (USER, PASSWORD, login) for text in texts)
    assert any(PASSWORD in text for text in [*texts, names.run("config", "get", "sixstead:robotPassword").stdout])


def test_a_refused_login_is_tried_once_for_a_stack_of_many_records(names: Names) -> None:
    names.has({f"g{n}": {"address": f"::1:{n}"} for n in range(1, 20)})
    names.robot.password = "changed"  # noqa: S105
    done = names.up(status=None)
    assert done.returncode != 0
    assert "Robot refused the login" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("what to do") == 1, "for the others it is said in a line"
    assert [status for _, _, status in names.robot.requests] == [401]


def test_what_a_limit_left_is_done_by_the_next_run(names: Names) -> None:
    names.has({f"g{n}": {"address": f"::1:{n}"} for n in range(1, 10)})
    names.robot.limit = 4
    done = names.up(status=None)
    assert done.returncode != 0
    assert "Robot's limit of 4 requests in 3600 s" in done.stdout + done.stderr
    names.robot.limit = 500
    names.requests()
    names.up()
    assert len(names.robot.ptrs) == 11
    assert names.requests() == {"GET /rdns": 1, "PUT /rdns/{ip}": 6}


def test_two_hundred_addresses_fit_the_hourly_limits(names: Names) -> None:
    names.has({f"g{n}": {"address": f"::1:{n}"} for n in range(1, 199)})
    names.up()
    assert len(names.robot.ptrs) == 200
    assert names.requests() == {"GET /rdns": 1, "POST /rdns/{ip}": 1, "PUT /rdns/{ip}": 199}
    names.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert names.requests() == {"GET /rdns": 1}
    names.run("destroy", "--yes", "--skip-preview")
    assert names.requests() == {"GET /rdns": 1, "DELETE /rdns/{ip}": 200}


@pytest.mark.parametrize("secret", ["robotUser", "robotPassword"])
def test_a_login_is_not_stored_in_plain(make_toy: Callable[[str], Toy], secret: str) -> None:
    done = make_toy("embedded").run("config", "set", f"sixstead:{secret}", PASSWORD, status=None)
    assert done.returncode != 0
    assert "--secret" in done.stdout + done.stderr
