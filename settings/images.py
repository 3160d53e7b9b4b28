"""Guest images and login keys: `sixstead:images`, `sixstead:keys`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from settings import ssh_keys, values
from settings.model import Checksum, Image, ImageFile, KernelBoot, PublicKey
from settings.problems import shown
from settings.reader import Fields, Node, Wrong, choice, text

IMAGE = "{url: https://..., sha512: ...}"
_FILE = ("url", "path", "sha512", "sha256", "sha512sums")
_DISK = (*_FILE, "format")
_BOOT = ("kernel", "initrd", "cmdline", "disk")


def read_key(node: Node, name: str) -> PublicKey:
    return PublicKey(name, ssh_keys.public_key(node))


@dataclass
class ImageReader:
    """Reads images. `read_file` gives the text of a SHA512SUMS file on the operator's machine, or raises OSError."""

    read_file: Callable[[str], str]
    _sums: dict[str, str] = field(default_factory=dict)

    def read(self, node: Node, name: str) -> Image:
        raw = node.raw if isinstance(node.raw, Mapping) else {}
        if any(key in raw for key in _BOOT):
            also = [key for key in _DISK if key in raw]
            if also:
                raise Wrong(
                    f"is either a disk image ({', '.join(also)}) or a kernel to boot "
                    f"({', '.join(key for key in _BOOT if key in raw)}), not both; "
                    "a kernel's disk image goes under `disk:`"
                )
            return self._kernel_boot(node, name)
        file, disk_format = self._disk(node)
        return Image(name, file, disk_format, None)

    def _kernel_boot(self, node: Node, name: str) -> Image:
        fields = Fields(node, _BOOT, "{kernel: {url: ..., sha512: ...}, initrd: {url: ..., sha512: ...}, cmdline: ...}")
        kernel = fields.required("kernel", self._file, "the kernel to boot, {url: ..., sha512: ...}")
        initrd = fields.optional("initrd", self._file, None)
        cmdline = fields.optional("cmdline", text, "")
        disk = fields.optional("disk", self._disk, None)
        fields.close()
        file, disk_format = disk or (None, "")
        return Image(name, file, disk_format, KernelBoot(kernel, initrd, cmdline))

    def _disk(self, node: Node) -> tuple[ImageFile, str]:
        fields = Fields(node, _DISK, IMAGE)
        file = self._source(fields, node)
        disk_format = fields.optional("format", choice("qcow2", "raw"), "qcow2")
        fields.close()
        return file, disk_format

    def _file(self, node: Node) -> ImageFile:
        fields = Fields(node, _FILE, IMAGE)
        file = self._source(fields, node)
        fields.close()
        return file

    def _source(self, fields: Fields, node: Node) -> ImageFile:
        places = [key for key in ("url", "path") if fields.has(key)]
        sums = [key for key in ("sha512", "sha256", "sha512sums") if fields.has(key)]
        url = fields.optional("url", values.url, None)
        path = fields.optional("path", values.absolute_path, None)
        sha512 = fields.optional("sha512", values.digest("sha512"), "")
        sha256 = fields.optional("sha256", values.digest("sha256"), "")
        listed = ""
        if len(places) != 1:
            had = "both are there" if places else "neither is there"
            fields.refuse(f"needs either `url` (where to fetch it) or `path` (a file on the server): {had}")
        elif fields.has("sha512sums") and (url or path):
            source = path or urlsplit(url or "").path
            listed = fields.optional("sha512sums", lambda n: self._listed(n, source.rpartition("/")[2]), "")
        if len(sums) != 1:
            had = f"there are {' and '.join(sums)}" if sums else "there is none"
            fields.refuse(f"needs exactly one checksum, sha512 (128 hexadecimal digits) or sha256 (64): {had}")
        if sha256:
            return ImageFile(url, path, Checksum("sha256", sha256))
        return ImageFile(url, path, Checksum("sha512", sha512 or listed))

    def _listed(self, node: Node, file_name: str) -> str:
        """The checksum of a file by a list that `sha512sum` made, as distributions publish it beside their images."""
        name = values.path(node)
        if name not in self._sums:
            try:
                self._sums[name] = self.read_file(name)
            except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home directory of nobody
                reason = getattr(error, "strerror", None) or (
                    "there is no such user" if isinstance(error, RuntimeError) else "it is no text"
                )
                raise Wrong(f"{name} can't be read: {reason}") from None
        for line in self._sums[name].splitlines():
            words = line.split(maxsplit=1)
            if len(words) == 2 and words[1].lstrip("*").removeprefix("./") == file_name:
                return values.digest("sha512")(Node(words[0], node.key, node.report))
        raise Wrong(f"{name} does not list {shown(file_name)}")
