"""A guest image: its files under /var/lib/libvirt/images/sixstead/base, named by their checksums and never changed.

The server fetches them itself and verifies them on the way. Deleted, a file stays as long as a disk or a guest uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi

from providers.guest_xml import image_path
from providers.host.agent.facets import State
from providers.host.agent.images import PRESENT
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Image, ImageFile


def files(image: Image) -> Iterator[tuple[ImageFile, str]]:
    """Each file of an image with its format; a kernel and an initrd have none."""
    if image.disk:
        yield image.disk, image.format
    if image.boot:
        yield image.boot.kernel, ""
        if image.boot.initrd:
            yield image.boot.initrd, ""


def render(image: Image) -> State:
    """The files that must be there."""
    return {"images": {image_path(file): PRESENT for file, _ in files(image)}}


def params(image: Image) -> dict[str, Any]:
    """Where each file comes from. A file that moved to another URL is still the same file."""
    return {
        "images": {
            image_path(file): {
                "source": file.source,
                "algorithm": file.checksum.algorithm,
                "digest": file.checksum.digest,
                "format": form,
            }
            for file, form in files(image)
        }
    }


class ImageProvider(HostProvider):
    """Only the name differs."""


class GuestImage(HostResource, module="sixstead", name="Image"):
    """The files of one image."""

    def __init__(self, image: Image, opts: pulumi.ResourceOptions | None = None) -> None:
        key = f"image {image.name}"
        super().__init__(ImageProvider(), image.name, render(image), key=key, params=params(image), opts=opts)
