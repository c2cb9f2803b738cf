"""The first evening: the whole pipeline with preset ``quick`` on real CarRacing, under runs/quickstart.

worldmodels quickstart
"""

from __future__ import annotations

import sys

from agents.cli import pipeline


def run() -> None:
    """The pipeline, with its preset and its run named."""
    sys.argv += ["--preset", "quick", "--run", "runs/quickstart"]
    pipeline.run()
