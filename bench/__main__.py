"""`python -m bench`: prints what an up, an up without a change and a refresh cost, with 2 and with 20 guests."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.cost import measure
from lab.lab import Lab
from tests.scenario.harness import Stack


def main() -> int:
    """One lab, two guests, then twenty."""
    engine = "pulumi" if shutil.which("pulumi") else "embedded"
    lab = Lab(f"bench{os.getpid()}", say=lambda text: print(text, file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        try:
            lab.up()
            stack = Stack(lab, Path(folder), engine)
            stack.init()
            print(f"engine: {engine}")
            print(f"{'guests':>6}  {'run':<24} {'processes':>9} {'connections':>11} {'exchanges':>9} {'seconds':>8}")
            for count in (2, 20):
                for cost in measure(stack, count):
                    print(
                        f"{cost.guests:>6}  {cost.run:<24} {cost.processes:>9} {cost.connections:>11}"
                        f" {cost.exchanges:>9} {cost.seconds:>8.1f}",
                        flush=True,
                    )
        finally:
            lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
