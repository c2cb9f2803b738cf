"""Train any image model in a run directory: ``run/images/`` holds weights, grids, metrics, and the training state."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json
from rollouts.runs.stage import Stage
from worldmodels.generative.build import Model, Sampler, Shape, build
from worldmodels.generative.configs import MODELS, Config, check, check_networks
from worldmodels.generative.datasets import Batches, Samples, load_samples, to_tensor
from worldmodels.generative.elbo import CollapseReport, collapse_report
from worldmodels.generative.networks import VAE, Autoencoder
from worldmodels.generative.sampling import picture, reconstruction_pairs
from worldmodels.generative.units import Trainer
from worldmodels.pictures import save_png
from worldmodels.training.checkpoint import load_state, load_weights, save_tensors
from worldmodels.training.loop import MetricsLog, train
from worldmodels.training.randomness import generator_for

COLLAPSED = 0.05
"""Samples whose mean distance is below this share of the data's are all alike."""
GRACE_SHARE, GRACE_STEPS = 0.25, 200
"""Share of the steps, and their least number, before which a lack of diversity is not yet called collapse."""


class CollapseError(UserError):
    """All samples are alike, or no latent unit carries anything: training on would not help."""


class Trained(NamedTuple):
    """A finished run's model and the data it was made from."""

    name: str
    config: Config
    sampler: Sampler
    samples: Samples
    run: Path


def fit_images(name: str, config: Config, run: Path, device: torch.device) -> Path:
    """Train model ``name`` (a key of ``configs.MODELS``) and write ``run/images/weights.safetensors``.

    Returns:
        The path of the weights.

    Raises:
        UserError: options or data are unusable, or a loss is no longer a number.
        CollapseError: the model makes only one picture.
    """
    check(config)
    samples = load_samples(config.data, config.size, config.channels, config.seed)
    check_networks(config, not samples.are_images)
    shape = Shape.of(samples)
    model = build(config, shape, device)
    stage = Stage.open(run, "images", config, {"data": samples.hash, "model": name}, growable=("steps",))
    weights = stage.path / "weights.safetensors"
    if stage.complete and weights.exists():
        return weights
    data = to_tensor(samples.train, model.low)
    batches = Batches(data, samples.train_labels, config.batch_size, config.seed, device)
    trainer = Trainer(
        model.objective.units(),
        batches,
        config.seed,
        (lambda step: 1 - step / config.steps) if config.decay else (lambda step: 1.0),
        half=config.precision == "bfloat16",
    )
    what = f"{shape.size}x{shape.size} images" if shape.size else "points"
    say(f"{name}: {len(data):,} {what} from {config.data}; {config.steps:,} steps of {config.batch_size}.")
    watch = Watch(model, samples, config.steps, device)
    parts = {**model.objective.parts(), "updates": trainer, "watch": watch}
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
    state = load_state(stage.path / "state.pt", device)  # also when stopped between the last step and the results
    for key, part in parts.items():
        part.load_state_dict(state[key])
    save_png(watch.grid(), stage.path / "samples.png", scale=2)
    save_tensors(model.sampler.network.state_dict(), weights)
    stage.finish(weights=file_hash(weights), architecture=shape._asdict())
    say(f"{name}: done. Look at {stage.path / 'samples.png'}")
    return weights


def load_trained(run: Path, device: torch.device) -> Trained:
    """A finished run of :func:`fit_images`.

    Raises:
        UserError: it is missing, unfinished or damaged, or its data have changed.
    """
    stage = Stage.require(run, "images", "train-images")
    name = str(stage.manifest["inputs"]["model"])
    if name not in MODELS:
        raise UserError(f"{stage.path} holds a model called {name!r}; known are {', '.join(MODELS)}.")
    config = stage.config(type(MODELS[name]))
    samples = load_samples(config.data, config.size, config.channels, config.seed)
    if samples.hash != stage.manifest["inputs"]["data"]:
        raise UserError(f"{config.data} has changed since {run} was made from it; its samples cannot be compared.")
    model = build(config, Shape(**read_json(stage.path / "manifest.json")["architecture"]), device)
    load_weights(model.sampler.network, stage.path / "weights.safetensors")
    return Trained(name, config, model.sampler, samples, run)


class Watch:
    """Looks at samples while a model trains, without changing it."""

    def __init__(self, model: Model, samples: Samples, steps: int, device: torch.device, count: int = 128) -> None:
        self.sampler, self.steps = model.sampler, steps
        chosen = np.linspace(0, len(samples.test) - 1, min(count, len(samples.test))).astype(int)
        self.real = to_tensor(samples.test[chosen]).to(device)
        self.labels = None
        if samples.test_labels is not None and model.sampler.classes:
            self.labels = torch.from_numpy(samples.test_labels[chosen]).to(device)
        self.count, self.collapses = count, 0

    def state_dict(self) -> dict[str, int]:
        """How often in a row the model had collapsed."""
        return {"collapses": self.collapses}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.collapses = state_dict["collapses"]

    @property
    def generates(self) -> bool:
        """An autoencoder without a prior has nothing to sample from."""
        return not isinstance(self.sampler.network, Autoencoder)

    def grid(self) -> np.ndarray:
        """Samples of the prior, or reconstructions where there is none."""
        if self.generates:
            return picture(self.sampler.sample(100 if self.real.ndim == 4 else 2000, generator_for(0, 0)), 10)
        return reconstruction_pairs(self.sampler, self.real[:20])

    def latents(self) -> CollapseReport | None:
        """Which latent units of a VAE carry information."""
        network = self.sampler.network
        if not isinstance(network, VAE):
            return None
        with torch.no_grad():
            return collapse_report(*network.eval().encode(self.real, self.labels))

    def report(self, step: int, log: MetricsLog) -> None:
        """Grids, diversity and latent units to TensorBoard; stop on collapse."""
        network = self.sampler.network
        training = network.training
        log.board.add_image("samples", self.grid(), step, dataformats="HWC")
        if self.real.ndim == 4 and isinstance(network, VAE):
            pairs = reconstruction_pairs(
                self.sampler, self.real[:20], None if self.labels is None else self.labels[:20]
            )
            log.board.add_image("reconstructions", pairs, step, dataformats="HWC")
        self.check_collapse(step, log)
        network.train(training)

    def check_collapse(self, step: int, log: MetricsLog) -> None:
        """Measure diversity and active units.

        Raises:
            CollapseError: at two checkpoints in a row.
        """
        if not self.generates:
            return
        diversity = mean_distance(self.sampler.sample(self.count, generator_for(0, 1))) / mean_distance(self.real)
        latents = self.latents()
        log.board.add_scalar("diversity", diversity, step)
        if latents is not None:
            log.board.add_scalar("active_units", latents.active_by_kl, step)
            log.board.add_histogram("kl_per_unit", latents.kl_per_unit, step)
        told = None
        if diversity < COLLAPSED:
            told = f"all samples are alike (their spread is {diversity:.1%} of the data's)"
        elif latents is not None and latents.collapsed:
            told = "no latent unit carries information any more"
        self.collapses = self.collapses + 1 if told and step >= max(GRACE_SHARE * self.steps, GRACE_STEPS) else 0
        if self.collapses >= 2:
            raise CollapseError(
                f"The model has collapsed: at step {step} {told}. Try another loss or penalty, a lower learning rate "
                "or KL weight, or another --seed."
            )
        if told and step == self.steps:
            say(f"Careful: {told}.")


@torch.no_grad()
def mean_distance(x: Tensor) -> float:
    """Mean Euclidean distance between two of the samples ``[N, ...]``."""
    return float(nn.functional.pdist(x.flatten(1).cpu().double()).mean())  # Apple's MPS has no float64
