"""Collect: record episodes of an environment with an exploration policy.

python scripts/collect.py --run runs/car --preset quick
python scripts/collect.py --run runs/pong --env.id ALE/Pong-v5 --collect.episodes 50
"""

from __future__ import annotations

from typing import Any

from cli import main

from rollouts.collect import collect


def body(arguments: Any) -> None:
    """Record what is missing."""
    collect(arguments.collect, arguments.env, arguments.run, arguments.workers)


if __name__ == "__main__":
    main(__doc__, body, ("env", "collect"), starts_run=True)
