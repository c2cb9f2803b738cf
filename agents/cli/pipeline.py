"""The whole pipeline on one run directory: collect, V, M, C, iterate, evaluate, watch. Finished stages are skipped.

worldmodels pipeline --preset tiny
worldmodels pipeline --preset quick --run runs/quickstart
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from agents.pipeline.run import run_pipeline
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """All stages in order."""
    run_pipeline(arguments, arguments.run, arguments.workers, pick_device(arguments.device))


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("env", "collect", "vae", "mdnrnn", "controller", "iterate", "evaluate", "watch"),
        starts_run=True,
    )
