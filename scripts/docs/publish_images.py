"""Publish: put a trained image model's figures into docs/images and the README, so that no number is typed by hand.

python scripts/train_images.py
python scripts/docs/publish_images.py --run runs/images-cgan-projection-1
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readme import README, rewrite_readme, shrink

from agents.cli.machine import processor
from agents.cli.options import Command
from agents.cli.places import RUNS, newest_images
from rollouts.console import duration, say
from rollouts.errors import UserError
from rollouts.runs.files import write_json
from rollouts.runs.layout import Run
from worldmodels.generative.measures.evaluation import evaluate, evaluate_reference
from worldmodels.generative.models.trained import load_trained
from worldmodels.training.checkpoint import pick_device

DOCS = README.parent / "docs" / "images"


@dataclass(frozen=True)
class Arguments:
    """Whose figures."""

    run: Path | None = None
    """Run directory of a class-conditional model. Default: the newest finished one under runs/."""


def body(arguments: Arguments) -> None:
    """Measure the model and real images, draw, rewrite the README's section."""
    trained = load_trained(arguments.run or newest_images(), pick_device("cpu"))
    evaluation = evaluate(trained, RUNS / "classifiers")
    if "label_accuracy" not in evaluation["measures"]:
        raise UserError(f"{trained.run} holds a model without labels; the README shows one that is asked for classes.")
    real = evaluate_reference(trained.samples, RUNS / "classifiers")
    facts = {"steps": trained.config.steps, "machine": processor(), "own": evaluation, "real": real}
    write_json(DOCS / "default.json", facts)
    shrink(Run(trained.run).images.picture("samples"), DOCS / "default.png")
    rewrite_readme("images", section(facts))
    say(f"Written to {DOCS / 'default.json'}, default.png beside it, and {README}")


def section(facts: dict[str, Any]) -> str:
    """The README's paragraph about the model."""
    own, real = facts["own"]["measures"], facts["real"]["measures"]
    distance = "frechet" if "frechet" in own else "kernel"  # of few held-out images there is no Fréchet distance
    name = {"frechet": "Fréchet", "kernel": "kernel"}[distance]
    return "\n".join(
        (
            "![Digits made by the default model, one class per column](docs/images/default.png)",
            "",
            f"A class-conditional GAN after {duration(facts['own']['training_seconds'])} ({facts['machine']}). A "
            f"classifier sees the digit asked for in {own['label_accuracy']:.1%} of {own['samples']:,} samples "
            f"({real['label_accuracy']:.1%} of real ones); {name} distance in its features {own[distance]:.2f} (real "
            f"images: {real[distance]:.2f}). [All objectives side by side](docs/images.md).",
        )
    )


COMMAND = Command(__doc__, Arguments, body, main=("run",))

if __name__ == "__main__":
    COMMAND()
