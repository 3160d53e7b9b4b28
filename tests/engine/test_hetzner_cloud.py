"""Names at Hetzner Cloud: the real plugin of pulumi_hcloud, by each engine, against the service's API on loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cloud import Cloud
from tests.engine.conftest import ENGINES, REPOSITORY, SALT, Toy

pytestmark = pytest.mark.skipif(
    not shutil.which("pulumi-resource-hcloud"), reason="the plugin pulumi-resource-hcloud is not on PATH"
)
PROGRAM = """
from components.stack import is_dns, read_dns_settings, read_settings

if is_dns():
    from components.dns import Published
    Published("dns", read_dns_settings()).export()
else:  # a server stack's outputs and PTR records, without its server
    from components.outputs import export
    from components.reverse_dns import ReverseDnsRecords
    ReverseDnsRecords("reverse-dns", read_settings(), after=[])
    export(read_settings())
"""
SERVER4, SERVER6, WEB, MAIL = "192.0.2.10", "2001:db8:1::2", "2001:db8:1::80", "2001:db8:1::25"
NUMBER = 4711


class Project(Toy):
    """A server stack `kvm1` without its server, and a stack `dev` that publishes its names."""

    def __init__(self, directory: Path, engine: str, cloud: Cloud) -> None:
        self.cloud = cloud
        super().__init__(directory, engine)
        for old in directory.glob("*.py"):
            old.unlink()
        (directory / "__main__.py").write_text(PROGRAM)
        project = yaml.safe_load((directory / "Pulumi.yaml").read_text())
        (directory / "Pulumi.yaml").write_text(yaml.safe_dump({**project, "name": "sixstead"}))

    def has(self, *_: Any, stack: str = "dev", exports: Any = None, **changes: Any) -> None:
        """Keys of `sixstead:dns` replace the usual ones."""
        dns = {
            "servers": ["kvm1"],
            "zones": {"example.net": {"cname": {"www": "web"}}, "2001:db8:1::/64": {}},
            "primaries": {"hetzner": {"provider": "hcloud"}},
            **changes,
        }
        self.write("dev", {"sixstead:dns": dns})

    def server(self, *guests: str, **changes: Any) -> None:
        """The server stack's config: a guest at ::80 for `web`, at ::25 for `mail`."""
        base = yaml.safe_load((REPOSITORY / "tests/unit/settings_cases/base.yaml").read_text())
        places = {"web": "::80", "mail": "::25"}
        base["guests"] = {name: {"image": "d13", "memory": "1GiB", "address": places[name]} for name in guests}
        base["rdns"] = {"provider": "cloud", "server_id": NUMBER, "domain": "example.net", **changes}
        self.write("kvm1", {f"sixstead:{key}": value for key, value in base.items() if value is not None})

    def write(self, stack: str, config: dict[str, Any], token: str = "") -> None:
        """A stack's config, with the API's address and its token, which is a secret."""
        path = self.dir / "stacks" / f"Pulumi.{stack}.yaml"
        path.parent.mkdir(exist_ok=True)
        config["hcloud:endpoint"] = self.cloud.url
        path.write_text(yaml.safe_dump({"config": config, "encryptionsalt": SALT}))
        command = self.command("config", "set", "--secret", "hcloud:token", "-s", stack)
        given = token or self.cloud.token
        subprocess.run(
            command, cwd=self.dir, env=self.environment(), input=given, text=True, capture_output=True, check=True
        )

    def state(self) -> list[str]:
        """The texts of all that the engine keeps of the stacks."""
        files = [path for path in (self.dir / ".pulumi").rglob("*") if path.is_file()]
        assert any(path.name == "dev.json" for path in files)
        return [path.read_text(errors="replace") for path in files]

    def raised(self, stack: str, *options: str, status: int = 0) -> str:
        done = self.run("up", "--yes", "--skip-preview", *options, stack=stack, status=status)
        return done.stdout + done.stderr


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    zones = ["example.net", "0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]
    with Cloud(zones, servers={NUMBER: [f"{SERVER4}/32", "2001:db8:1::/64"]}) as cloud:
        yield cloud


@pytest.fixture(params=ENGINES)
def project(request: pytest.FixtureRequest, tmp_path: Path, cloud: Cloud) -> Project:
    return Project(tmp_path / "project", request.param, cloud)


def test_names_and_reverse_names_follow_the_stacks_and_go_with_them(project: Project, cloud: Cloud) -> None:
    cloud.put("example.net", "theirs", "TXT", '"ours"')
    project.server("web", "mail")
    project.raised("kvm1")
    named = {SERVER4: "kvm1.example.net", SERVER6: "kvm1.example.net", WEB: "web.example.net"}
    assert cloud.ptrs == {**named, MAIL: "mail.example.net"}
    project.has()
    cloud.changes()
    assert "web.example.net AAAA" in project.run("preview", "--diff").stdout
    assert cloud.changes() == []
    project.raised("dev")
    forward = {name: text for name, text in cloud.names.items() if "arpa" not in name}
    assert forward == {
        "kvm1.example.net A": f"300 {SERVER4}",
        "kvm1.example.net AAAA": f"300 {SERVER6}",
        "kvm1-rescue.example.net A": f"300 {SERVER4}",
        "kvm1-rescue.example.net AAAA": f"300 {SERVER6}",
        "web.example.net AAAA": f"300 {WEB}",
        "mail.example.net AAAA": f"300 {MAIL}",
        "www.example.net CNAME": "300 web.example.net.",
        "theirs.example.net TXT": '600 "ours"',
    }
    reverse = sorted(text for name, text in cloud.names.items() if "arpa" in name)
    assert reverse == ["300 kvm1.example.net.", "300 mail.example.net.", "300 web.example.net."]

    cloud.changes()
    for stack in ("kvm1", "dev"):
        project.raised(stack, "--expect-no-changes")
        project.raised(stack, "--refresh", "--expect-no-changes")
    assert cloud.changes() == []

    project.server("web")
    project.raised("kvm1")
    project.raised("dev")
    assert MAIL not in cloud.ptrs
    assert not any("mail" in line for line in (*cloud.names, *cloud.names.values()))

    for stack in ("dev", "kvm1"):
        project.run("destroy", "--yes", "--skip-preview", stack=stack)
    assert cloud.names == {"theirs.example.net TXT": '600 "ours"'}
    assert cloud.ptrs == {}
    assert not any(cloud.token in text for text in project.state())


def test_what_was_changed_there_by_hand_is_shown_and_mended(project: Project, cloud: Cloud) -> None:
    project.server("web")
    project.raised("kvm1")
    project.has()
    project.raised("dev")
    cloud.put("example.net", "web", "AAAA", "2001:db8:ffff::66")
    cloud.ptrs[WEB] = "elsewhere.example.org"
    assert "2001:db8:ffff::66" in project.run("preview", "--refresh", "--diff", stack="dev").stdout
    assert "elsewhere.example.org" in project.run("preview", "--refresh", "--diff", stack="kvm1").stdout
    project.raised("dev", "--refresh")
    project.raised("kvm1", "--refresh")
    assert cloud.names["web.example.net AAAA"] == f"300 {WEB}"
    assert cloud.ptrs[WEB] == "web.example.net"


def test_a_ptr_record_that_was_changed_by_hand_is_reset_all_the_same(project: Project, cloud: Cloud) -> None:
    project.server("web", "mail")
    project.raised("kvm1")
    cloud.ptrs[WEB] = cloud.ptrs[MAIL] = "elsewhere.example.org"
    project.server("web")
    project.raised("kvm1")
    assert MAIL not in cloud.ptrs
    assert cloud.ptrs[WEB] == "elsewhere.example.org"
    project.run("destroy", "--yes", "--skip-preview", stack="kvm1")
    assert cloud.ptrs == {}


def test_a_name_has_no_owner_but_each_record_set_has(project: Project, cloud: Cloud) -> None:
    cloud.put("example.net", "web", "A", "192.0.2.77")
    project.server("web")
    project.raised("kvm1")
    project.has()
    project.raised("dev")
    web = {name: text for name, text in cloud.names.items() if name.startswith("web")}
    assert web == {"web.example.net A": "600 192.0.2.77", "web.example.net AAAA": f"300 {WEB}"}
    project.run("destroy", "--yes", "--skip-preview")
    assert cloud.names == {"web.example.net A": "600 192.0.2.77"}


def test_a_primary_that_is_called_otherwise_changes_nothing(project: Project, cloud: Cloud) -> None:
    cloud.zones.clear()
    project.server("web")
    project.raised("kvm1")
    for name in ("hetzner", "elsewhere"):
        project.has(primaries={name: {"provider": "hcloud", "create_zones": True}})
        if name == "hetzner":
            project.raised("dev")
            cloud.changes()
    project.raised("dev", "--expect-no-changes")
    assert cloud.changes() == []
    assert cloud.names["web.example.net AAAA"] == f"300 {WEB}"


def test_a_record_set_that_somebody_else_made_is_refused_and_left(project: Project, cloud: Cloud) -> None:
    cloud.put("example.net", "web", "AAAA", "2001:db8:ffff::77")
    project.server("web")
    project.raised("kvm1")
    project.has()
    said = project.raised("dev", status=1)
    assert "web/AAAA" in said
    assert "already exists" in said
    assert "Traceback" not in said
    assert 'File "' not in said
    assert cloud.names["web.example.net AAAA"] == "600 2001:db8:ffff::77"


def test_zones_are_made_where_that_is_asked_for_and_stay_with_what_others_put_there(
    project: Project, cloud: Cloud
) -> None:
    cloud.zones.clear()
    project.server("web")
    project.raised("kvm1")
    project.has(primaries={"hetzner": {"provider": "hcloud", "create_zones": True}}, settled=True)
    project.raised("dev")
    assert cloud.names["web.example.net AAAA"] == f"3600 {WEB}"
    project.has(primaries={"hetzner": {"provider": "hcloud", "create_zones": True}})
    project.raised("dev")
    assert cloud.names["web.example.net AAAA"] == f"300 {WEB}"
    cloud.put("example.net", "mail", "A", "192.0.2.77")
    project.has()
    project.raised("dev")
    assert cloud.names["web.example.net AAAA"] == f"300 {WEB}"
    project.run("destroy", "--yes", "--skip-preview")
    assert cloud.names == {"mail.example.net A": "600 192.0.2.77"}


def test_a_refused_token_is_one_error_and_found_nowhere(project: Project, cloud: Cloud) -> None:
    project.server("web")
    project.raised("kvm1")
    wrong = "planted-wrong-token-7e1f" + "0" * 40
    project.has()
    config = yaml.safe_load((project.dir / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
    project.write("dev", {"sixstead:dns": config["sixstead:dns"]}, token=wrong)
    cloud.requests = []
    done = project.run("up", "--yes", "--skip-preview", status=None)
    assert done.returncode != 0
    assert "unable to authenticate" in done.stdout + done.stderr
    assert {status for _, _, status in cloud.requests} == {401}
    assert not any(wrong in text for text in (done.stdout, done.stderr, *project.state()))
