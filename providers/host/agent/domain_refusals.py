"""What is never done to a domain, whatever is wanted: each raises HostError before anything is changed."""

from __future__ import annotations

import os

from .domain_xml import canonical, disks_of, is_ours, read, without_mark
from .system import HostError


def refuse_foreign(name: str, present: str, wanted: str) -> None:
    """A domain that is not ours is taken over only where it is just as wanted; raises HostError."""
    if not is_ours(read(present)) and canonical(present) != without_mark(wanted):
        raise HostError(
            f"a domain named {name} is on this server already, and it was not made by Sixstead",
            f"give the guest another name, or rename the domain (`virsh domrename {name} NEW-NAME`)",
        )


def refuse_another_disk(name: str, present: str, wanted: str) -> None:
    """A guest that an external snapshot moved to another file would lose all that it wrote since; raises HostError."""
    now, then = disks_of(read(present)), disks_of(read(wanted))
    for target, file in now.items():
        if file and then.get(target, file) != file:
            raise HostError(
                f"guest {name} writes to {file} now, not to {then[target]} any more: an external snapshot, perhaps; "
                "nothing was changed",
                f"merge it back (`virsh blockcommit {name} {target} --base {then[target]} --active --pivot --wait`), "
                "then run `up` again",
            )


def refuse_without_kvm(name: str, wanted: str) -> None:
    """Raises HostError where a guest wants KVM and the server has none."""
    if wanted.startswith("<domain type='kvm'>"):
        try:
            os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise HostError(
                f"guest {name} can't start: /dev/kvm can't be used on this server ({error.strerror})",
                "switch virtualization on in the server's firmware, or set `sixstead:server.kvm: false` "
                "(guests are then emulated, which is slow)",
            ) from None
