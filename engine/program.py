"""Runs in a process of its own: a Pulumi program, as the SDK's own language host runs it.

Its settings come as JSON on standard input, so that secrets stand neither on a command line nor in an environment.
Messages go to the engine's service; exit status 0 says the program ran to its end, 32 that it told why it did not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor


def _run(main: str) -> None:
    runpy.run_path(main, run_name="__main__")


def main() -> int:
    given = json.load(sys.stdin)
    sys.stdin.close()
    import pulumi
    import pulumi.runtime
    from pulumi.runtime import Settings

    pulumi.runtime.set_all_config(given["config"], given["secret_keys"])
    pulumi.runtime.configure(
        Settings(
            monitor=given["monitor"],
            engine=given["monitor"],
            project=given["project"],
            stack=given["stack"],
            parallel=given["parallel"],
            dry_run=given["preview"],
            organization="organization",
            root_directory=given["root"],
        )
    )
    os.chdir(given["main"])
    sys.path.insert(0, given["main"])
    sys.argv = [given["main"]]
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pool = ThreadPoolExecutor(max_workers=max(1, given["parallel"]) * 4)
    loop.set_default_executor(pool)
    # A failed program leaves tasks unfinished on purpose; asyncio's complaints about them help nobody.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run(given["main"])))
    except pulumi.RunError as err:
        pulumi.log.error(str(err))
        return 32
    except Exception:
        pulumi.log.error(traceback.format_exc())
        return 32
    finally:
        pool.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
