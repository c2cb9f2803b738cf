"""CycleGAN: two sets of pictures that do not belong together one by one, and the way from each to the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rollouts.errors import UserError, require_at_least
from worldmodels.generative.data.batches import spread
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.inputs import read_input
from worldmodels.generative.data.pairs import unpaired
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.measures.similarity import absolute_error
from worldmodels.generative.models.base import ImageModel, Shape, View
from worldmodels.generative.models.gan import GAMES, LossName
from worldmodels.generative.models.translators import TranslatorConfig, noisy, require_condition
from worldmodels.generative.objectives.translation import CycleGAN
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.sheets import rows_below
from worldmodels.pictures import Frames
from worldmodels.training.loop import Stateful

CHUNK = 100  #: pictures that are translated at once
SHOWN = 10


@dataclass(frozen=True)
class CycleGANConfig(TranslatorConfig):
    """Two translators between two sets of pictures."""

    inputs: str = ""
    """The other set, whose pictures are to become like those of --data: a folder, a run with episodes, an array."""
    dropout: float = 0.0
    """Noise in the translators, also while drawing; the paper has none."""
    batch_size: int = 4
    """Samples per update; 1 in the paper."""
    loss: LossName = "least-squares"
    """The game."""
    cycle_weight: float = 10.0
    """Times the distance between a picture and its translation there and back."""
    identity_weight: float = 5.0
    """Times the distance between a picture and its translation into the set that it is from; 0 is for sets with
    different channels."""
    buffer: int = 50
    """Earlier fakes that each critic is shown."""

    def load(self, folder: Path | None = None) -> Samples:
        rest = (self.size, self.channels, self.seed, self.fit, self.skip_broken, self.memory_gb / 2, folder)
        return unpaired(load_samples(self.data, *rest), load_samples(self.inputs, *rest))

    def build(self, shape: Shape, device: torch.device) -> CycleGANModel:
        if self.identity_weight and shape.channels != shape.other:
            raise ValueError("one set is grey and the other is not: give --channels 3, or --identity-weight 0")
        sides = shape.channels, shape.other
        there, back = (self.body(shape.size, other, one) for one, other in (sides, sides[::-1]))
        first, second = (self.critic(shape.size, one) for one in sides)
        game = CycleGAN(
            there.to(device),
            back.to(device),
            (first.to(device), second.to(device)),
            self.optimiser(self.learning_rate),
            self.optimiser(self.critic_learning_rate),
            self.cycle_weight,
            self.identity_weight,
            self.buffer,
            GAMES[self.loss],
            self.average_decay,
        )
        return CycleGANModel(game, shape)

    def check(self) -> None:
        super().check()
        require_at_least(0, self, ("cycle_weight", "identity_weight"))
        require_at_least(0, self, ("buffer",))
        if not self.inputs:
            raise UserError("CycleGAN needs two sets: --inputs FOLDER, whose pictures become like those of --data.")

    def for_photos(self) -> CycleGANConfig:
        return replace(super().for_photos(), batch_size=self.batch_size)


class CycleGANModel(ImageModel):
    """The way to the data, the way back, and a critic on either side."""

    low, headline = -1.0, ("cycle", "generator", "critic")

    def __init__(self, game: CycleGAN, shape: Shape) -> None:
        self.game, self.shape = game, shape
        self.network = game.average.network
        self.condition_channels = shape.other

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

    def condition(self, batch: Batch) -> Tensor | None:
        return batch.other

    @torch.no_grad()
    def _translated(self, way: str, pictures: Tensor, rng: torch.Generator) -> Tensor:
        network = self.network.get_submodule(way)
        with noisy(network, rng):
            output = torch.cat([network(2 * part - 1) for part in pictures.to(self.device).split(CHUNK)])
        return ((output + 1) / 2).clamp(0, 1)

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """Translations of the first ``count`` pictures of the other set, which are to look like the data."""
        return self._translated("there", require_condition(condition)[:count], rng)

    def back(self, condition: Tensor, rng: torch.Generator) -> Tensor:
        return self._translated("back", condition, rng)

    def read_input(self, path: Path, fit: Any) -> Tensor:
        return read_input(path, self.shape.size, self.shape.other, fit)

    def views(self) -> dict[str, View]:
        """Every picture, its translation, and the translation back: of the other set, and of the data."""
        return {"samples": self._there_and_back, "back": self._back_and_there}

    def _there_and_back(self, batch: Batch) -> Frames:
        others = require_condition(batch.other)
        others = others[spread(SHOWN, len(others))]
        fakes = self.draw(SHOWN, batch.rng, others)
        return rows_below([others, fakes, self.back(fakes, batch.rng)])

    def _back_and_there(self, batch: Batch) -> Frames:
        x = batch.x[spread(SHOWN, len(batch.x))]
        fakes = self.back(x, batch.rng)
        return rows_below([x, fakes, self.draw(SHOWN, batch.rng, fakes)])

    def measures(self, batch: Batch) -> dict[str, Any]:
        """How far pictures are from their translations there and back (what was lost), and from those there."""
        others = require_condition(batch.other)
        there, back = self.draw(len(others), batch.rng, others), self.back(batch.x, batch.rng)
        measures: dict[str, Any] = {
            "cycle_l1": float(absolute_error(self.back(there, batch.rng), others).mean()),
            "cycle_l1_of_data": float(absolute_error(self.draw(len(back), batch.rng, back), batch.x).mean()),
        }
        if self.shape.channels == self.shape.other:
            measures["change_l1"] = float(absolute_error(there, others).mean())
        return measures
