"""Runs a script of ``scripts/`` in a process that stands still for ever at one point, so that it can be killed there.

HOLD="MODULE:FUNCTION:PATTERN" MARKER=FILE python victim.py NAME ARGUMENTS...

The first call of the function whose arguments, as text, match the pattern makes the marker file and never returns.
Worker processes import this file too, and so stand still as well. The preset ``tiny`` is the tests' MICRO.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def hold(point: str, marker: Path) -> None:
    """Make the process stand still at ``point``."""
    module, name, pattern = point.split(":")
    owner_name, _, attribute = f"{module}.{name}".rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original = getattr(owner, attribute)

    def standing_still(*args: Any, **kwargs: Any) -> Any:
        if fnmatch(" ".join(map(str, args)), pattern):
            marker.touch()
            time.sleep(3600)
        return original(*args, **kwargs)

    setattr(owner, attribute, standing_still)


if "HOLD" in os.environ:
    hold(os.environ["HOLD"], Path(os.environ["MARKER"]))

if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
    from agents.pipeline.presets import PRESETS
    from tests.faults.helpers import MICRO

    PRESETS["tiny"] = MICRO
    sys.argv = [f"{sys.argv[1]}.py", *sys.argv[2:]]
    exec(compile((ROOT / "scripts" / sys.argv[0]).read_text(), sys.argv[0], "exec"))
