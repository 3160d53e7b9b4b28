"""Reading the files in the root directory of an ISO 9660 image with Joliet names (ECMA-119, and Joliet 1.0)."""

from __future__ import annotations

import struct
from typing import BinaryIO

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_SUPPLEMENTARY, _LAST = 2, 255
_DIRECTORY = 0x02
_LARGEST = 4 * 2**20


class NotIso(ValueError):
    """The file is no ISO 9660 image with Joliet names, or it is damaged."""


def read_files(file: BinaryIO) -> dict[str, bytes]:
    """Name -> content of each file in the root directory. Raises NotIso."""
    lba, size = _root(file)
    directory = _extent(file, lba, size)
    found, at = {}, 0
    while at < len(directory):
        length = directory[at]
        if length == 0:  # records don't cross sectors
            at = (at // _SECTOR + 1) * _SECTOR
            continue
        record = directory[at : at + length]
        if len(record) < 34 or len(record) < 33 + record[32]:
            raise NotIso("a directory record is cut short")
        name = record[33 : 33 + record[32]].decode("utf-16-be", errors="replace").split(";")[0]
        if not record[25] & _DIRECTORY:
            found[name] = _extent(file, *_place(record))
        at += length
    return found


def _place(record: bytes) -> tuple[int, int]:
    """Sector and size in bytes of what a directory record stands for."""
    return struct.unpack("<I", record[2:6])[0], struct.unpack("<I", record[10:14])[0]


def _root(file: BinaryIO) -> tuple[int, int]:
    sector = _FIRST_DESCRIPTOR
    while True:
        file.seek(sector * _SECTOR)
        descriptor = file.read(_SECTOR)
        if len(descriptor) < _SECTOR or descriptor[1:6] != b"CD001":
            raise NotIso("there is no volume descriptor")
        if descriptor[0] == _SUPPLEMENTARY and descriptor[88:90] == b"%/":
            return _place(descriptor[156:190])
        if descriptor[0] == _LAST:
            raise NotIso("there are no Joliet names")
        sector += 1


def _extent(file: BinaryIO, lba: int, size: int) -> bytes:
    if size > _LARGEST:
        raise NotIso(f"a file has {size} bytes")
    file.seek(lba * _SECTOR)
    content = file.read(size)
    if len(content) != size:
        raise NotIso("the image is cut short")
    return content
