"""`./sixstead restore`: the way back to a server that cannot be reached any more, through its hoster's rescue system."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.live import read
from engine.errors import EngineError
from providers.host.agent.script import SCRIPT
from providers.host.sessions import decoded

RESCUE = {
    "hetzner": (
        "In Robot (https://robot.hetzner.com): Servers, the server, tab Rescue: Linux with your SSH key, activate;",
        "then tab Reset: `Execute an automatic hardware reset`. It is for one boot: the next one is from the disk again.",
    ),
    "ovh": (
        "In the OVHcloud Control Panel: Bare Metal Cloud, Dedicated servers, the server, Boot: Edit, rescue mode;",
        "then Restart. The login comes by e-mail. At the end set Boot back to the hard disk.",
    ),
    "generic": ("In the hoster's panel: activate the rescue system, and reset the server.",),
}
"""How a hoster's rescue system is booted, in the hoster's own names."""


def run(args: argparse.Namespace, root: Path, stack_name: Callable[[], str]) -> int:
    """Without --root print the steps for a stack's server; with it, in the rescue system itself, run the script there."""
    if args.root:
        return run_script(Path(args.root), args.before)
    stack = stack_name()
    config = {name: decoded(value) for name, value in read(root, stack, args.config_file).items()}
    print(steps(stack, config))
    return 0


def run_script(mounted: Path, before: bool) -> int:
    """Run the server's own script on its mounted root; its exit status. Raises EngineError where there is none."""
    script = mounted / SCRIPT.lstrip("/")
    if not script.is_file():
        raise EngineError(
            f"{script} is missing: mount the server's root at {mounted} (and its /var where that is another disk);"
            " `./sixstead restore -s STACK` tells how"
        )
    options = ["--before"] if before else []
    return subprocess.run([sys.executable, str(script), "--root", str(mounted), *options], check=False).returncode


def steps(stack: str, config: Mapping[str, Any]) -> str:
    """All that is to be done, with this stack's server. Its config is not checked: in need it may be wrong elsewhere."""
    server, uplink = (found if isinstance(found := config.get(name), dict) else {} for name in ("server", "uplink"))
    ipv4, ssh = (found if isinstance(found, dict) else {} for found in (uplink.get("ipv4"), server.get("ssh")))
    address = str(ipv4.get("address") or ssh.get("host") or "ADDRESS").partition("/")[0]
    first, *more = RESCUE.get(str(server.get("hoster")), RESCUE["generic"])
    return "\n".join([
        f"The way back to {server.get('name') or stack} ({address}), when it cannot be reached any more:",
        "",
        f"1. {first}",
        *(f"   {line}" for line in more),
        "2. Log in. The rescue system has a host key of its own: compare it with what the panel shows.",
        f"     ssh -o UserKnownHostsFile=~/.ssh/known_hosts_rescue root@{address}",
        "3. Mount the server's root at /mnt:",
        "     mdadm --assemble --scan     # software RAID; the root is often /dev/md2",
        "     vgchange -ay                # LVM",
        "     lsblk -f                    # which one is it?",
        "     mount /dev/ROOT /mnt        # then /mnt/var, where that is a disk of its own; btrfs: -o subvol=...",
        "4. Undo a network change that nobody confirmed, if there is one; otherwise this tells what --before would do:",
        f"     python3 /mnt{SCRIPT} --root /mnt",
        "   With --before the network is as it was before Sixstead's, whatever was edited since:",
        f"     python3 /mnt{SCRIPT} --root /mnt --before",
        f"   No python3 there? chroot /mnt python3 {SCRIPT} --root /",
        "5. Boot from the disk:",
        "     umount -R /mnt && reboot",
        "6. Here again, when the server answers:",
        f"     ./sixstead up -s {stack} --refresh",
        "",
        f"With a console of the hoster's (KVM, serial), `{SCRIPT}` does the same on the running server.",
    ])  # fmt: skip
