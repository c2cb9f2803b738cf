"""Measure a trained image model against held-out data, or the data against themselves.

worldmodels evaluate-images --run runs/images-vae-1 --out vae.json
worldmodels evaluate-images --reference digits --out real.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.cli.image_options import newest_run
from agents.cli.options import RUNS, shown, tell_errors
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import write_json
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.measures.evaluation import evaluate, evaluate_reference
from worldmodels.generative.measures.inception import evaluate_inception
from worldmodels.generative.models.trained import load_trained
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """What to measure, and where to write it."""

    run: Path | None = None
    """Run directory. Default: the newest finished one under runs/."""
    reference: str | None = None
    """Instead of a run: data (a name or a path) whose training part is measured as if it had been generated."""
    inception_weights: Path | None = None
    """A file of Inception weights: adds FID, Inception score and KID by torch-fidelity."""
    out: Path | None = None
    """A JSON file. Default: evaluation.json in the run, or NAME-reference.json here."""


def body() -> None:
    """Measure, print, write."""
    arguments = tyro.cli(Arguments, description=shown(__doc__))
    if arguments.reference and (arguments.run or arguments.inception_weights):
        raise UserError("--reference measures data against themselves: leave out --run and --inception-weights.")
    if arguments.reference:
        out = arguments.out or Path(f"{Path(arguments.reference).name}-reference.json")
        found = evaluate_reference(load_samples(arguments.reference), RUNS / "classifiers")
    else:
        run = arguments.run or newest_run()
        out = arguments.out or run / "evaluation.json"
        trained = load_trained(run, pick_device("cpu"))
        found = evaluate(trained, RUNS / "classifiers")
        if arguments.inception_weights is not None:
            found["measures"] |= evaluate_inception(trained, arguments.inception_weights)
    write_json(out, found)
    for name, value in found["measures"].items():
        say(f"{name:>24}: {value:.4g}" if isinstance(value, float) else f"{name:>24}: {value}")
    say(f"Written to {out}")


def run() -> None:
    """Parse the command line, and do it."""
    tell_errors(body)
