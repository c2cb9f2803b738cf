"""The first evening: the whole pipeline with preset ``quick`` on real CarRacing, under runs/quickstart.

worldmodels quickstart
worldmodels quickstart --device cpu
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.cli import pipeline
from agents.cli.options import Command, parse

OPTIONS = {"--preset": "quick", "--run": "runs/quickstart"}


def complete(of: Command[pipeline.Arguments], argv: Sequence[str]) -> pipeline.Arguments:
    """The pipeline's command line, with the preset and the run where none was typed."""
    missing = [pair for pair in OPTIONS.items() if not any(word.split("=")[0] == pair[0] for word in argv)]
    return parse(of, [*(word for pair in missing for word in pair), *argv])


COMMAND = dataclasses.replace(pipeline.COMMAND, description=__doc__, parse=complete)
