"""What any image model offers, and the options that all of them share.

A family of models is one file in this folder: its options (a frozen dataclass, child of :class:`ImageConfig`) beside
the model that they build (a child of :class:`ImageModel`). ``registry.py`` names every model in one line. Nobody asks
for a model's type: what it can do, it declares.

The contract, with the shapes:

========================  =========================================================================================
``network``               the module that ``weights.safetensors`` holds: what is needed to draw, encode, translate
``units()``               update units for the trainer, in order (``objectives/units.py``)
``parts()``               what a checkpoint must hold: networks, optimisers, averages, buffers
``draw(count, rng,        ``count`` samples: images ``[count, C, S, S]`` in [0, 1], or points ``[count, D]``. For a
condition)``              model of classes the condition is labels ``[count]``, by default going round all of them;
                          for a model of pictures it is pictures ``[count, C', S, S]`` in [0, 1]
``draws``                 False where there is no distribution to draw from (an autoencoder); ``draw`` says why
``encode(x, condition)``  or None: samples to latents ``[N, latent_size]``, the posterior's mean where there is one
``decode(z, condition)``  or None: latents ``[N, latent_size]`` to samples, as ``draw`` gives them; can be
                          differentiated (a caller who need not says ``torch.no_grad``)
``views()``               name -> view, a function of held-out data (a ``Batch`` in [0, 1]) that gives a picture. The
                          first is kept as ``samples.png``; all go to TensorBoard, and to ``--show NAME``
``frames``                0, or the length of the clips ``[count, T, C, S, S]`` that a video model draws; then
                          ``futures(context, rng, labels)`` are clips that continue ``context [N, k, C, S, S]``
``films()``               name -> function of held-out data that gives the frames of an animation
``measures(batch)``       what only this model can say of held-out data (bounds, errors), beside the common measures
``nats(x, labels)``       or None: exact negative log likelihoods of pictures ``[N, C, S, S]``, ``[N]``
``latents(batch)``        or None: which latent units carry information; no unit at all stops the training
``read(caption)``         or None: the condition ``[T]`` that a caption stands for, where captions are the condition;
                          then ``captions(count, rng)`` are random ones like those of its data
``condition_of(x, rng)``  or None: makes the condition of pictures ``x [N, C, S, S]`` in [0, 1] (grey, masked, small)
                          where the data have none of their own. ``condition_channels`` are its C'
``read_input(path, fit)`` or None: a file of the user's as one condition ``[1, C', S, S]`` in [0, 1]
``back(pictures, rng)``    or None: the way back, pictures ``[N, C, S, S]`` to conditions (CycleGAN)
========================  =========================================================================================

Everything speaks of [0, 1] except training: a batch that reaches a unit's loss has ``x``, ``condition`` and ``other``
in [low, 1]. ``batch.labels`` are the classes, ``batch.condition`` what belongs to each sample (the picture to be
translated, the frames before it), ``batch.other`` samples of another set that belong to none (CycleGAN's other side).

To add a model: copy ``autoencoders.py``, or see ``tests/generative/test_extension.py`` for a whole one in 20 lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_at_least, require_below_one, require_positive, require_seed
from worldmodels.generative.data.batches import ConditionOf
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.image_files import Fit
from worldmodels.generative.data.samples import LoadOptions, Samples
from worldmodels.generative.models.shape import Shape
from worldmodels.generative.objectives.elbo import CollapseReport
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.sheets import picture, rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful
from worldmodels.training.precision import Precision

View = Callable[[Batch], Frames]
FilmView = Callable[[Batch], list[Frames]]
Encode = Callable[[Tensor, Tensor | None], Tensor]
C = TypeVar("C", bound="ImageConfig")
CHUNK = 500  #: samples that are decoded at once
PHOTO_STEPS = 6000  #: half an hour on two cores
COLUMNS = 20  #: classes up to which a grid has a column for each


class ImageModel:
    """See the head of this file. A child has these values where it sets no others."""

    network: nn.Module
    headline: tuple[str, ...] = ()  #: the terms to show beside a progress bar
    low: float = 0.0  #: lower end of the range in which the losses want their images
    classes: int = 0  #: more than 0: conditional on labels
    latent_size: int = 0
    draws: bool = True
    watched: int = 128  #: samples drawn at every checkpoint to notice collapse; fewer where drawing is slow
    encode: Encode | None = None
    decode: Encode | None = None
    read: Callable[[str], Tensor] | None = None
    nats: Callable[[Tensor, Tensor | None], Tensor] | None = None
    condition_of: ConditionOf | None = None
    condition_channels: int = 0  #: more than 0: conditional on pictures
    frames: int = 0  #: more than 0: its samples are clips
    context_frames: int = 0  #: first frames that a clip is continued from
    read_input: Callable[[Path, Fit], Tensor] | None = None
    back: Callable[[Tensor, torch.Generator], Tensor] | None = None
    normal_latents: bool = True  #: latents are drawn from N(0, 1)

    def captions(self, count: int, rng: torch.Generator) -> list[str]:
        raise NotImplementedError

    def units(self) -> list[Unit]:
        raise NotImplementedError

    def parts(self) -> dict[str, Stateful]:
        raise NotImplementedError

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def latent(self, count: int, rng: torch.Generator) -> Tensor:
        """Latents ``[count, latent_size]`` from the prior, on the CPU."""
        return torch.randn(count, self.latent_size, generator=rng)

    def views(self) -> dict[str, View]:
        """Samples; where there are conditions, these stand above them, and the data below."""
        return {"samples": self._samples}

    def futures(self, context: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def films(self) -> dict[str, FilmView]:
        return {}

    def measures(self, batch: Batch) -> dict[str, Any]:
        return {}

    def latents(self, batch: Batch) -> CollapseReport | None:
        return None

    def condition(self, batch: Batch) -> Tensor | None:
        """The labels or conditions that ``draw``, ``encode`` and ``decode`` need for these data, or None."""
        if self.classes:
            return batch.labels
        return batch.condition if self.condition_channels else None

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _samples(self, batch: Batch) -> Frames:
        if self.condition_channels:
            conditions = self.condition(batch)
            assert conditions is not None
            x, condition = batch.x[:20], conditions[:20]
            return rows_below([condition, self.draw(len(x), batch.rng, condition), x])
        if batch.x.ndim != 4:
            return picture(self.draw(2000, batch.rng), 10)
        columns = self.classes if 2 <= self.classes <= COLUMNS else 10  # labels go round: a column is a class
        return picture(self.draw(10 * columns, batch.rng), columns)


class LatentModel(ImageModel):
    """A model that decodes latents from its prior; children say how, in ``decode``."""

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        return decode_all(self, self.latent(count, rng), condition)


@torch.no_grad()
def decode_all(model: ImageModel, z: Tensor, condition: Tensor | None = None) -> Tensor:
    """Decode any number of latents, a chunk at a time; labels go round all classes unless they are given."""
    assert model.decode is not None
    if model.classes and condition is None:
        condition = torch.arange(len(z)) % model.classes
    parts = z.to(model.device).split(CHUNK)
    conditions = [None] * len(parts) if condition is None else condition.to(model.device).split(CHUNK)
    return torch.cat([model.decode(part, label) for part, label in zip(parts, conditions, strict=True)])


@dataclass(frozen=True)
class ImageConfig:
    """What all image models share."""

    data: str = "digits"
    """digits, digits-8x8, stacked-digits, two-photos, captioned-shapes, ring, grid, swiss-roll, lines; or a folder of
    pictures, a run or folder with episodes, an IDX file, .npy, .npz."""
    size: int = 0
    """Side to which images are resized; 0 leaves them."""
    channels: int = 0
    """1 or 3; 0 takes what the data have."""
    fit: Fit = "crop"
    """What becomes of pictures that are no squares: crop cuts out the middle, pad adds a border in the mean colour of
    the picture's edge, stretch changes the proportions."""
    flip: bool = False
    """Show half of the pictures mirrored: twice as many, where left and right do not matter."""
    crop: float = 0.0
    """Cut away up to this share of a picture's sides at random, and enlarge the rest: 0.1, say, for few photos."""
    skip_broken: bool = False
    """Leave out pictures that cannot be read, instead of naming them and stopping."""
    memory_gb: float = 4.0
    """Memory for pictures, as bytes; more than fit into it are kept in a temporary file beside the run."""
    steps: int = 3000
    """Training steps (generator updates). May be raised later to train on."""
    batch_size: int = 64
    """Samples per update."""
    latent_size: int = 64
    """Length of the latent vector."""
    width: int = 32
    """Filters next to the image; deeper layers have more. For points, units of a hidden layer."""
    learning_rate: float = 2e-4
    """Step size (of the generator, where there are two)."""
    decay: bool = False
    """Let the learning rates fall linearly to 0."""
    seed: int = 0
    """Decides initial weights, batches, noise, and what is held out."""
    log_every: int = 20
    """Steps between lines in the log."""
    precision: Precision = "auto"
    """What networks multiply in; auto takes bfloat16 where this device is faster in it, and keeps that."""
    checkpoint_every: int = 200
    """Steps between checkpoints, sample grids and checks for collapse."""

    def shown(self, samples: Samples) -> Samples:
        """The part of the data that training may look at: all, unless a model hides some (labels, say)."""
        return samples

    def build(self, shape: Shape, device: torch.device) -> ImageModel:
        """The model, with new weights.

        Raises:
            ValueError: the options do not fit the shape.
        """
        raise NotImplementedError

    def load(self, folder: Path | None = None) -> Samples:
        """The data.

        Args:
            folder: where pictures may be kept that do not fit into memory.

        Raises:
            UserError: there is nothing usable.
        """
        return load_samples(
            self.data, self.size, self.channels, self.seed, self.fit, self.skip_broken, self.memory_gb, folder
        )

    def load_options(self, folder: Path | None) -> LoadOptions:
        """How pictures are read from files."""
        options = LoadOptions(self.size, self.channels, self.fit, self.seed, self.skip_broken, self.memory_gb * 1e9)
        return replace(options, folder=folder) if folder else options

    @property
    def takes_labels(self) -> bool:
        """Whether the model is conditional on classes, and so needs data that have some."""
        return False

    def for_points(self: C) -> C:
        """These options for points in a plane instead of images."""
        return replace(self, width=64, batch_size=128, latent_size=2, steps=5000, learning_rate=1e-3, decay=True)

    def for_photos(self: C) -> C:
        """These options for a few hundred photos."""
        return replace(self, size=64, flip=True, crop=0.1, batch_size=32, steps=PHOTO_STEPS)

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: the option is named.
        """
        require_positive(self, ("steps", "batch_size", "latent_size", "width", "learning_rate"))
        require_positive(self, ("log_every", "checkpoint_every", "memory_gb"))
        require_at_least(0, self, ("size",))
        require_seed(self.seed, "seed")
        require_below_one(self, ("crop",))
        if self.channels not in (0, 1, 3):
            raise UserError(f"--channels must be 1, 3 or 0 (as the data), got {self.channels}.")
        if self.batch_size < 2:
            raise UserError("--batch-size must be at least 2: normalisation needs something to average over.")

    def check_networks(self, points: bool) -> None:
        """Refuse options that the chosen networks would ignore, or cannot have together.

        Raises:
            UserError: the option is named.
        """
        if points and (self.flip or self.crop):
            raise UserError("Points are not mirrored or cut: leave out --flip and --crop.")


def build(config: ImageConfig, shape: Shape, device: torch.device) -> ImageModel:
    """A model with weights from ``config.seed``.

    Raises:
        UserError: the options do not fit the data.
    """
    torch.manual_seed(config.seed)
    try:
        return config.build(shape, device)
    except ValueError as error:
        raise UserError(f"These options do not fit the data: {error}.") from error


def labelled_classes(shape: Shape) -> int:
    """How many classes a conditional model has.

    Raises:
        ValueError: the data have none.
    """
    if shape.classes < 2:
        raise ValueError("a conditional model needs data with labels of at least two classes")
    return shape.classes


def adam(
    module: nn.Module, rate: float, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Adam, fused where that is possible: six times as fast for small networks, whose steps its own outlasts."""
    fused = next(module.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas, weight_decay=weight_decay, fused=fused)
