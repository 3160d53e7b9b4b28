"""The header of a qcow2 file: size, backing file and features, read without starting a process or taking a lock.

Format: https://www.qemu.org/docs/master/interop/qcow2.html
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

MAGIC = b"QFI\xfb"
_EXTERNAL_DATA = 1 << 2
_LONGEST_NAME = 1023


class Header(NamedTuple):
    """What a qcow2 file says of itself."""

    size: int
    """The disk's size as a guest sees it, in bytes."""
    backing_file: str
    """The path of the base image as written in the header; empty where there is none."""
    external_data: bool
    """Whether the data lies in another file."""


def read_header(path: str) -> Header | None:
    """The header of a file; None where it is no qcow2 file. Raises FileNotFoundError."""
    with open(path, "rb") as file:
        return parse_header(file.read(4096), file.fileno())


def parse_header(start: bytes, descriptor: int = -1) -> Header | None:
    """The header from a file's first bytes; a backing file name beyond them is read from the descriptor."""
    if len(start) < 72 or not start.startswith(MAGIC):
        return None
    version, name_offset, name_length = struct.unpack(">IQI", start[4:20])
    size = struct.unpack(">Q", start[24:32])[0]
    features = struct.unpack(">Q", start[72:80])[0] if version >= 3 and len(start) >= 80 else 0
    name = b""
    if name_offset and 0 < name_length <= _LONGEST_NAME:
        end = name_offset + name_length
        if end <= len(start):
            name = start[name_offset:end]
        elif end < 2**63:  # a raw disk holds what its guest writes there: pread(2) takes no larger offset
            name = os.pread(descriptor, name_length, name_offset)
    return Header(size, name.decode(errors="surrogateescape"), bool(features & _EXTERNAL_DATA))


def size_text(size: int) -> str:
    """A size as an owner writes it: the largest unit that gives a whole number."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def size_of(text: str) -> int:
    """The bytes of a text that `size_text` made."""
    number, unit = text.split()
    return int(number) * {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}[unit]
