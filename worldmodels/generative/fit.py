"""Train any image model in a run directory: ``run/images/`` holds weights, grids, metrics, and the training state."""

from __future__ import annotations

from pathlib import Path

import torch

from rollouts.console import say
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from worldmodels.generative.collapse import Watch
from worldmodels.generative.data.batches import Batches, held_out
from worldmodels.generative.models.base import ImageConfig, Shape, build
from worldmodels.generative.models.trained import about
from worldmodels.generative.objectives.units import Trainer
from worldmodels.generative.sheets import enlargement
from worldmodels.pictures import save_png
from worldmodels.training.checkpoint import load_state, save_tensors
from worldmodels.training.distributed import Ranks
from worldmodels.training.loop import train
from worldmodels.training.precision import Format, settle
from worldmodels.training.randomness import generator_for

SEEN = 128  #: held-out samples that are looked at during training


def fit_images(name: str, config: ImageConfig, run: Path, device: torch.device) -> Path:
    """Train model ``name`` (a key of ``models.registry.MODELS``) and write ``run/images/weights.safetensors``.

    In a group of processes (``training/distributed.py``) each has its part of every batch; the first one writes.

    Returns:
        The path of the weights.

    Raises:
        UserError: options or data are unusable, or a loss is no longer a number.
        CollapseError: the model makes only one picture.
    """
    config.check()
    samples = config.load(existing(run))
    config.check_networks(not samples.are_images)
    shape = Shape.of(samples)
    model = build(config, shape, device)
    ranks = Ranks.here()
    stage = ranks.open(Run(run).images, config, {"data": samples.hash, "model": name})
    weights = stage.weights
    if stage.complete and weights.exists():
        return weights
    shown, augmented = config.shown(samples), (config.flip, config.crop)
    batches = Batches(shown, config.batch_size, config.seed, device, model.low, model.condition_of, *augmented)
    trial = build(config, shape, device).units()

    def one_step(precision: Format) -> None:
        Trainer(trial, batches, config.seed, half=precision == "bfloat16")(0)

    precision = settle(stage, config.precision, device, config.steps, one_step, name)
    trainer = Trainer(
        model.units(),
        batches,
        config.seed,
        (lambda step: 1 - step / config.steps) if config.decay else (lambda step: 1.0),
        half=precision == "bfloat16",
        ranks=ranks,
    )
    what = f"{shape.size}x{shape.size} images" if shape.size else "points"
    what = f"clips of {shape.frames} {what}" if shape.frames else what
    say(f"{name}: {len(samples.train):,} {what} from {config.data}; {config.steps:,} steps of {config.batch_size}.")
    held_out_batch = held_out(samples, SEEN, device, model.condition_of)
    watch = Watch(model, held_out_batch, config.steps)
    parts = {**model.parts(), "updates": trainer, "watch": watch}
    train(
        stage,
        parts,
        trainer,
        config.steps,
        config.log_every,
        config.checkpoint_every,
        watch.report,
        headline=model.headline,
    )
    ranks.wait()
    if not ranks.leads:
        return weights
    state = load_state(stage.state, device)  # also when stopped between the last step and the results
    for key, part in parts.items():
        part.load_state_dict(state[key])
    view = next(iter(model.views().values()))
    save_png(view(held_out_batch._replace(rng=generator_for(0, 0))), stage.picture("samples"), enlargement(shape.size))
    save_tensors(model.network.state_dict(), weights)
    stage.finish(weights=file_hash(weights), architecture=shape._asdict(), data=about(samples))
    say(f"{name}: done. Look at {stage.picture('samples')}")
    return weights


def existing(folder: Path) -> Path:
    """The folder, or the closest one above it that exists."""
    return folder if folder.is_dir() else existing(folder.parent)
