"""A process that has control's modules loaded, and starts control again and again as a copy of itself.

A start takes tens of milliseconds and not seconds, so it can be killed hundreds of times. What runs is control's own
`main`, with the places of `kill_points` around its functions. Ends when control ends in any way but SIGKILL.
Arguments: the file that arms a place, then control's own.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from sidecar.app import control
from tests.chaos.kill_points import Places


def main() -> int:
    Places(Path(sys.argv[1])).put()
    sys.argv = [control.__name__, *sys.argv[2:]]
    while True:
        child = os.fork()
        if child == 0:
            os._exit(control.main())
        # Who started this counts the lives. A line of its own, also after one that a kill has cut.
        print(f"\nborn {child}", flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
