"""Kernel parameters, as /proc/sys has them; keys are sysctl(8)'s, a dot inside an interface's name is written as `/`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .system import HostError


def path_of(key: str) -> str:
    """The file of a key: as in sysctl(8), the first separator decides whether `.` or `/` separates."""
    if "/" in key and ("." not in key or key.index("/") < key.index(".")):
        return "/proc/sys/" + key
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


class Sysctls:
    """Values at run time; a file in /etc/sysctl.d, another facet's item, makes them last."""

    keeps_edits = True
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The values, white space folded."""
        values = {}
        for key in wanted:
            with contextlib.suppress(OSError), open(path_of(key), encoding="utf-8") as file:
                values[key] = " ".join(file.read().split())
        return values

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The values; None where the kernel has no such key now."""
        items = list(items)
        values = self.observe(dict.fromkeys(items))
        return {key: values.get(key) for key in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Set the values. Raises HostError where the kernel refuses one."""
        for key, value in wanted.items():
            try:
                with open(path_of(key), "w", encoding="utf-8") as file:
                    file.write(value)
            except OSError as error:
                raise HostError(f"the kernel does not take {key}={value}: {error.strerror}") from None

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Set the old values; keys of an interface that is gone are gone with it."""
        for key, value in captured.items():
            if value is not None:
                with contextlib.suppress(FileNotFoundError), open(path_of(key), "w", encoding="utf-8") as file:
                    file.write(value)
