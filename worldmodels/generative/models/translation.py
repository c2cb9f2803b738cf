"""pix2pix, and its uses on any one folder of pictures: colouring, filling holes, enlarging, drawings to photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_at_least, require_positive
from worldmodels.generative.data.batches import spread
from worldmodels.generative.data.inputs import read_drawing, read_grey, read_holes, read_input, read_small
from worldmodels.generative.data.making import InputKind, InputName, input_kind
from worldmodels.generative.data.pairs import Sides, halves, two_folders
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.data.two_photos import TWO_PHOTOS
from worldmodels.generative.measures.similarity import similarity
from worldmodels.generative.models.base import ImageModel, Shape, View
from worldmodels.generative.models.gan import GAMES, PENALTIES, LossName, PenaltyName
from worldmodels.generative.models.translators import TranslatorConfig, noisy, require_condition
from worldmodels.generative.networks.patchgan import patchgan
from worldmodels.generative.networks.translator import Translator, beginning
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.perceptual import load_perceptual
from worldmodels.generative.objectives.translation import ErrorName, Pix2Pix
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful

PairsName = Literal["folders", Sides, InputName]
CHUNK = 100  #: pictures that are translated at once
SHOWN = 20


@dataclass(frozen=True)
class Pix2PixConfig(TranslatorConfig):
    """A translator that learns from pairs."""

    pairs: PairsName = "folders"
    """Where inputs come from. folders: --inputs, with the names of --data; left-right, right-left: from one half of
    every file to the other; or made of the pictures of --data: grey, masked (holes), shrunk, edges (a line drawing),
    road (CarRacing's, white on black)."""
    inputs: str = ""
    """Folder of the pictures to start from, for --pairs folders."""
    hole: float = 0.5
    """Largest side of a hole, as a share of the picture's, for --pairs masked."""
    shrink: int = 4
    """How many times smaller inputs are, for --pairs shrunk."""
    loss: LossName = "non-saturating"
    """The game."""
    error: ErrorName = "l1"
    """Distance to the picture: l1 is sharper, squared is what PSNR measures."""
    error_weight: float = 100.0
    """Times that distance (lambda)."""
    adversarial: bool = True
    """Play against a critic; without one it is a regression: closer, and more blurred."""
    penalty: PenaltyName = "none"
    """On the critic's gradient: between real and fake (WGAN-GP), or around real (DRAGAN)."""
    penalty_weight: float = 10.0
    """Times the penalty."""
    spectral_norm: bool = False
    """Divide every weight of the critic by its largest singular value."""
    critic_steps: int = 1
    """Critic updates per step."""
    perceptual_weights: str = ""
    """A safetensors file of VGG-16's features: adds a distance as a classifier sees it."""
    perceptual_weight: float = 1.0
    """Times that distance."""

    @property
    def own_inputs(self) -> InputKind | None:
        """How inputs are computed from the pictures themselves; None where they come from files."""
        if self.pairs in ("folders", "left-right", "right-left"):
            return None
        return input_kind(cast(InputName, self.pairs), self.hole, self.shrink)

    def load(self, folder: Path | None = None) -> Samples:
        options = self.load_options(folder)
        if self.pairs == "folders":
            return two_folders(Path(self.data), Path(self.inputs), options)
        if self.own_inputs is None:
            if not Path(self.data).is_dir():
                raise UserError(f"There is no folder {self.data}; --pairs {self.pairs} cuts its pictures in two.")
            return halves(Path(self.data), cast(Sides, self.pairs), options)
        return super().load(folder)

    def build(self, shape: Shape, device: torch.device) -> Pix2PixModel:
        kind = self.own_inputs
        if self.pairs in ("grey", "road") and shape.channels != 3:
            raise ValueError(f"--pairs {self.pairs} needs pictures with colours, and these are grey")
        if self.pairs == "shrunk" and shape.size % self.shrink:
            raise ValueError(f"{shape.size}x{shape.size} pictures cannot be shrunk {self.shrink} times; change --size")
        planes = kind.planes(shape.channels) if kind else shape.condition
        if not planes:
            raise ValueError("pictures to start from are needed, and these come without any")
        body = self.body(shape.size, planes, shape.channels)
        network = Translator(body, shape.channels, bool(kind and kind.begins), bool(kind and kind.holes)).to(device)
        critic = self._critic(shape.size, planes + shape.channels, device) if self.adversarial else None
        game = Pix2Pix(
            network,
            critic,
            GAMES[self.loss],
            self.optimiser(self.learning_rate),
            self.optimiser(self.critic_learning_rate),
            self.error_weight,
            self.error,
            self.critic_steps,
            PENALTIES[self.penalty],
            self.penalty_weight,
            self.average_decay,
            partial(load_perceptual, Path(self.perceptual_weights), device) if self.perceptual_weights else None,
            self.perceptual_weight,
        )
        return Pix2PixModel(game, kind, shape, planes, self)

    def _critic(self, size: int, channels: int, device: torch.device) -> nn.Module:
        if not self.spectral_norm:
            return self.critic(size, channels).to(device)
        return spectrally_normalise(patchgan(size, channels, self.width, None, patch=self.patch)).to(device)

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_steps",))
        require_at_least(0, self, ("error_weight", "penalty_weight", "perceptual_weight"))
        if (self.pairs == "folders") != bool(self.inputs):
            raise UserError(
                "Pairs are needed: --inputs FOLDER with the pictures to start from, named as those of --data; or "
                "--pairs left-right, or --pairs grey, masked, shrunk or edges, made of the pictures themselves."
                if not self.inputs
                else f"--inputs does nothing for --pairs {self.pairs}; leave it out, or say --pairs folders."
            )
        if not 0 < self.hole < 1:
            raise UserError(f"--hole must be between 0 and 1, got {self.hole}.")
        if self.shrink < 2:
            raise UserError(f"--shrink must be at least 2, got {self.shrink}.")
        for name, needs in (("hole", "masked"), ("shrink", "shrunk")):
            if getattr(self, name) != getattr(Pix2PixConfig, name) and self.pairs != needs:
                raise UserError(f"--{name} is for --pairs {needs}, and does nothing for --pairs {self.pairs}.")
        if not self.adversarial and not (self.error_weight or self.perceptual_weights):
            raise UserError("Without a critic, --error-weight cannot be 0: nothing would be learnt.")
        if not self.adversarial and (self.spectral_norm or self.penalty != "none"):
            raise UserError("--spectral-norm and --penalty are for the critic, which --no-adversarial leaves out.")
        if self.norm == "batch" and self.penalty != "none":
            raise UserError("--penalty needs a gradient per sample, which --norm batch makes meaningless; drop one.")
        if self.perceptual_weights:
            load_perceptual(Path(self.perceptual_weights), torch.device("cpu"))


class Pix2PixModel(ImageModel):
    """A translator, and the critic that trains it."""

    low = -1.0

    def __init__(self, game: Pix2Pix, kind: InputKind | None, shape: Shape, planes: int, config: Pix2PixConfig) -> None:
        self.game, self.kind, self.shape, self.config = game, kind, shape, config
        self.network = game.average.network
        self.headline = ("error",) if game.critic is None else ("error", "critic", "generator")
        self.condition_channels = planes
        self.condition_of = kind.make if kind else None

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """Translations of the first ``count`` conditions; dropout is theirs, so two draws differ."""
        inputs = require_condition(condition)[:count].to(self.device)
        with noisy(self.network, rng):
            output = torch.cat([self.network(2 * part - 1) for part in inputs.split(CHUNK)])
        return ((output + 1) / 2).clamp(0, 1)

    def read_input(self, path: Path, fit: Any) -> Tensor:
        size, channels, pairs = self.shape.size, self.shape.channels, self.config.pairs
        if pairs == "grey":
            return read_grey(path, size, fit)
        if pairs == "shrunk":
            return read_small(path, size, channels, fit, self.config.shrink)
        if pairs == "masked":
            return read_holes(path, size, channels, fit)
        if self.kind is not None and self.kind.drawn:
            return read_drawing(path, size, fit, self.kind)
        return read_input(path, size, self.condition_channels, fit)

    def views(self) -> dict[str, View]:
        return {"samples": self._translations}

    def _translations(self, batch: Batch) -> Frames:
        chosen = spread(SHOWN, len(batch.x))  # neighbours in a folder are often alike
        condition = require_condition(batch.condition)[chosen]
        output = self.draw(SHOWN, batch.rng, condition)
        picture = condition[:, : self.shape.channels] if self.kind and self.kind.holes else condition
        return rows_below([picture, output, batch.x[chosen]])

    def baseline(self, batch: Batch) -> Tensor:
        """The trivial translation of held-out pictures, ``[N, C, S, S]``."""
        if self.kind is None or not self.kind.begins:
            return batch.x.mean(0, keepdim=True).expand_as(batch.x)
        return beginning(require_condition(batch.condition), self.shape.channels, self.kind.holes)

    def measures(self, batch: Batch) -> dict[str, Any]:
        """How close translations come to the pictures, and how close the trivial translation does."""
        output = self.draw(len(batch.x), batch.rng, batch.condition)
        trivial = similarity(self.baseline(batch), batch.x)
        return {
            **similarity(output, batch.x),
            "baseline": self.kind.baseline if self.kind else InputKind.baseline,
            **{f"baseline_{name}": value for name, value in trivial.items()},
        }


COLOURISE = Pix2PixConfig(data=TWO_PHOTOS, pairs="grey")
INPAINT = replace(COLOURISE, pairs="masked")
# What is missing lies close to what is there, so no noise; and a critic gives speckles before it gives detail.
SUPER_RESOLVE = replace(COLOURISE, pairs="shrunk", dropout=0.0, adversarial=False)
EDGES_TO_PHOTO = replace(COLOURISE, pairs="edges")
