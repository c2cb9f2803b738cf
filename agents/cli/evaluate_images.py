"""Measure a trained image model against held-out data, or the data against themselves.

worldmodels evaluate-images --run runs/images-vae-1 --out vae.json
worldmodels evaluate-images --reference digits --out real.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.cli.options import Command
from agents.cli.places import RUNS, newest_images
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import write_json
from rollouts.runs.layout import Run
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.image_files import Fit
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
    size: int = 0
    """Side to which the pictures of --reference are resized; 0 leaves them."""
    channels: int = 0
    """Channels of --reference: 1, 3, or 0 for what the data have."""
    fit: Fit = "crop"
    """What becomes of pictures of --reference that are no squares: crop, pad or stretch."""
    skip_broken: bool = False
    """Leave out pictures of --reference that cannot be read."""
    count: int | None = None
    """How many samples are measured, at most as many as are held out. Default: 1,000 images, 2,500 points; for FID as
    many as there are data."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    inception_weights: Path | None = None
    """A file of Inception weights: adds FID, Inception score and KID by torch-fidelity."""
    out: Path | None = None
    """A JSON file. Default: evaluation.json in the run, or NAME-reference.json here."""


def body(arguments: Arguments) -> None:
    """Measure, print, write."""
    if arguments.count is not None and arguments.count < 1:
        raise UserError(f"--count must be positive, got {arguments.count}.")
    device = pick_device(arguments.device)
    if arguments.reference and (arguments.run or arguments.inception_weights):
        raise UserError("--reference measures data against themselves: leave out --run and --inception-weights.")
    if arguments.reference:
        out = arguments.out or Path(f"{Path(arguments.reference).name}-reference.json")
        options = (arguments.size, arguments.channels, 0, arguments.fit, arguments.skip_broken)
        samples = load_samples(arguments.reference, *options)
        report = evaluate_reference(samples, RUNS / "classifiers", arguments.count, device)
    else:
        run = arguments.run or newest_images()
        out = arguments.out or Run(run).evaluation
        trained = load_trained(run, device)
        report = evaluate(trained, RUNS / "classifiers", arguments.count)
        if arguments.inception_weights is not None:
            report["measures"] |= evaluate_inception(trained, arguments.inception_weights, arguments.count)
    write_json(out, report)
    floor = report["measures"].get("floor", {})
    for name, value in report["measures"].items():
        if name == "floor":
            continue
        beside = f"   (real images: {floor[name]:.4g})" if name in floor else ""
        say(f"{name:>28}: {value:.4g}{beside}" if isinstance(value, float) else f"{name:>28}: {value}")
    say(f"Written to {out}")


COMMAND = Command(__doc__, Arguments, body, main=("run", "reference", "inception_weights", "out"))
