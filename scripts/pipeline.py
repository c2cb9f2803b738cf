"""The whole pipeline on one run directory: collect, V, M, C, iterate, evaluate, watch. Finished stages are skipped.

python scripts/pipeline.py --preset tiny
python scripts/pipeline.py --preset quick --run runs/quickstart
"""

from __future__ import annotations

from typing import Any

from cli import main

from agents.pipeline import run_pipeline
from worldmodels.checkpoint import pick_device


def body(arguments: Any) -> None:
    """All stages in order."""
    run_pipeline(arguments, arguments.run, arguments.workers, pick_device(arguments.device))


if __name__ == "__main__":
    main(
        __doc__,
        body,
        ("env", "collect", "vae", "mdnrnn", "controller", "iterate", "evaluate", "watch"),
        starts_run=True,
    )
