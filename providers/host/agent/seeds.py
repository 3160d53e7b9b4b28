"""cloud-init seeds: an ISO image labelled `cidata` for the NoCloud data source, made on the host that the guest runs on.

Item: the image's path; value: file name -> text (`user-data`, `meta-data`, `network-config`), read back from the image
itself. Format: https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .images import leave, make_pool
from .iso9660 import NotIso, read_files
from .system import run, write_durably

LABEL = "cidata"


class Seeds:
    """Seed images: readable for root and QEMU only, as user-data may hold secrets."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The texts in each image."""
        return {path: value for path in wanted if (value := observe_seed(path)) is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Nothing: the directory is ours alone."""
        return dict.fromkeys(items)

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Make the images anew. A running guest keeps the one it was started with until its next start."""
        make_pool()
        for path, texts in wanted.items():
            write_durably(path, make_seed(texts), 0o600)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Remove the images: they can be made again."""
        for path in captured:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
        leave()


def observe_seed(path: str) -> dict[str, str] | None:
    """The texts in one image, None where there is none; a damaged one has a single text that says so."""
    try:
        with open(path, "rb") as file:
            return {name: content.decode(errors="replace") for name, content in sorted(read_files(file).items())}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except NotIso as error:
        return {"damaged": str(error)}


def make_seed(texts: Mapping[str, str]) -> bytes:
    """The image of some texts; they touch no disk on the way."""
    with tempfile.TemporaryDirectory(prefix="sixstead-seed-", dir="/run") as directory:
        files, image = f"{directory}/files", f"{directory}/seed.iso"
        os.mkdir(files)
        for name, text in texts.items():
            with open(f"{files}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        run(["genisoimage", "-quiet", "-output", image, "-volid", LABEL, "-joliet", "-rational-rock", files])
        with open(image, "rb") as file:
            return file.read()
