"""Guest images on a lab's server, fetched from the lab's internet."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from providers import image
from providers.guest_xml import image_path
from providers.host.errors import ServerError
from settings import Checksum, Image, ImageFile
from tests.host.guest_server import GuestServer

CONTENT = b"not much of an image\n" * 1000
BASE = "/var/lib/libvirt/images/sixstead/base"


@pytest.fixture(scope="module")
def server() -> Iterator[GuestServer]:
    lab = Lab(f"images{os.getpid()}")
    try:
        lab.up()
        lab.reset()
        yield GuestServer(lab)
    finally:
        lab.down()


def an_image(server: GuestServer, name: str, content: bytes, form: str = "raw") -> Image:
    digest = server.publish(name, content)
    return Image("some", ImageFile(f"http://dual.example/{name}", None, Checksum("sha512", digest)), form, None)


def path_of(wanted: Image) -> str:
    assert wanted.disk
    return image_path(wanted.disk)


def qcow2(tmp_path: Path, *options: str) -> bytes:
    path = tmp_path / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), "8M"], check=True)
    return path.read_bytes()


def test_an_image_is_fetched_once_and_can_not_be_written(server: GuestServer) -> None:
    wanted = an_image(server, "plain", CONTENT)
    assert server.observe(image.render(wanted)) == {}
    server.image_up(wanted)
    assert server.observe(image.render(wanted)) == image.render(wanted)
    assert server.shell(f"stat -c '%a %s' {path_of(wanted)}") == f"444 {len(CONTENT)}"
    before = server.shell(f"stat -c '%n %z %i' {BASE}/*")
    server.image_up(wanted)
    assert server.shell(f"stat -c '%n %z %i' {BASE}/*") == before
    server.remove("image some", image.render(wanted))
    assert server.shell("ls /var/lib/libvirt/images 2>&1 || true") in (
        "",
        "ls: cannot access '/var/lib/libvirt/images': No such file or directory",
    )


def test_an_image_may_be_a_file_on_the_server(server: GuestServer) -> None:
    published = an_image(server, "local", CONTENT)
    assert published.disk
    server.lab.exec("server", ["tee", "/root/local"], input=CONTENT)
    wanted = Image("some", ImageFile(None, "/root/local", published.disk.checksum), "raw", None)
    server.image_up(wanted)
    assert server.shell(f"cmp /root/local {path_of(wanted)} && echo same") == "same"
    server.remove("image some", image.render(wanted))
    assert server.shell("test -e /root/local && echo there") == "there"


@pytest.mark.parametrize("broken", ["checksum", "missing", "refused", "format", "leaning"])
def test_a_bad_image_is_one_clear_error_and_nothing_stays(server: GuestServer, broken: str, tmp_path: Path) -> None:
    wanted = an_image(server, "bad", CONTENT)
    words = ""
    if broken == "checksum":
        server.publish("bad", b"something else\n")
        words = r"bad is not the file that the config names: its sha512 is [0-9a-f]{128}, wanted is [0-9a-f]{128}"
    elif broken == "missing":
        (server.lab.state / "www/web-dual/bad").unlink()
        words = "bad: the web server answers 404"
    elif broken == "refused":
        server.lab.service("stop", "web-dual")
        words = "bad can't be downloaded: .*refused"
    elif broken == "format":
        wanted = an_image(server, "bad", CONTENT, "qcow2")
        words = "bad is no qcow2 file, but its format is given as qcow2"
    elif broken == "leaning":
        (tmp_path / "under.raw").write_bytes(bytes(2**20))
        content = qcow2(tmp_path, "-b", str(tmp_path / "under.raw"), "-F", "raw")
        wanted = an_image(server, "bad", content, "qcow2")
        words = r"bad is no whole disk image: it needs .*under\.raw"
    try:
        with pytest.raises(ServerError, match=words) as caught:
            server.image_up(wanted)
    finally:
        server.lab.service("start", "web-dual")
    assert "Traceback" not in str(caught.value)
    assert server.observe(image.render(wanted)) == {}
    assert server.shell(f"ls -A {BASE} 2>/dev/null || true") == ""


def test_a_full_disk_is_told_before_the_download(server: GuestServer) -> None:
    wanted = an_image(server, "large", bytes(4 * 2**20))
    server.shell(f"mkdir -p {BASE} && mount -t tmpfs -o size=2M none {BASE}")
    try:
        with pytest.raises(
            ServerError, match=r"no space is left on the server for http://dual.example/large: it has 4 MiB"
        ):
            server.image_up(wanted)
        assert server.shell(f"ls -A {BASE}") == ""
    finally:
        server.shell(f"umount {BASE}")


def test_an_image_changed_by_hand_is_seen_and_fetched_again(server: GuestServer) -> None:
    wanted = an_image(server, "edited", CONTENT)
    server.image_up(wanted)
    server.shell(f"echo more >> {path_of(wanted)}")
    seen = server.observe(image.render(wanted))
    assert seen == {"images": {path_of(wanted): "changed since it was verified"}}
    server.image_up(wanted)
    assert server.shell(f"stat -c %s {path_of(wanted)}") == str(len(CONTENT))


def test_an_image_only_touched_is_not_fetched_again(server: GuestServer) -> None:
    wanted = an_image(server, "edited", CONTENT)
    server.image_up(wanted)
    inode = server.shell(f"touch {path_of(wanted)}; stat -c %i {path_of(wanted)}")
    assert server.observe(image.render(wanted)) != image.render(wanted)
    server.image_up(wanted)
    assert server.shell(f"stat -c %i {path_of(wanted)}") == inode


def test_an_image_stays_as_long_as_a_disk_is_built_on_it(server: GuestServer, tmp_path: Path) -> None:
    wanted = an_image(server, "base", qcow2(tmp_path), "qcow2")
    server.image_up(wanted)
    path, overlay = path_of(wanted), "/var/lib/libvirt/images/somebody/web.qcow2"
    (tmp_path / "link").mkdir()
    header = subprocess.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", path, str(tmp_path / "o"), "8M"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert header.returncode == 0, header.stderr
    server.shell("mkdir -p /var/lib/libvirt/images/somebody")
    server.lab.exec("server", ["tee", overlay], input=(tmp_path / "o").read_bytes())
    notes = server.remove("image some", image.render(wanted))
    assert notes == [f"base image {path} stays: {overlay} still needs it"]
    server.image_up(wanted)
    server.shell("rm -r /var/lib/libvirt/images/somebody")
    assert server.remove("image some", image.render(wanted)) == []
    assert server.shell(f"ls -d {path} 2>/dev/null || true") == ""


def test_a_download_that_was_killed_leaves_nothing_behind(server: GuestServer) -> None:
    wanted = an_image(server, "killed", CONTENT)
    server.shell(f"mkdir -p {BASE}; echo half > {path_of(wanted)}.part")
    assert server.observe(image.render(wanted)) == {}
    server.image_up(wanted)
    assert re.search(r"\.part$", server.shell(f"ls {BASE}"), re.MULTILINE) is None
