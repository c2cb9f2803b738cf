"""Text to image, in the small: a generator that reads captions, and a critic that knows when one does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rollouts.errors import UserError, require_below_one, require_positive
from worldmodels.generative.data.captioned import CAPTIONED, LANGUAGE, captions_of, named_in, some_scenes
from worldmodels.generative.data.captions import HOW, captioned_folder
from worldmodels.generative.data.language import Language
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.measures.attributes import judged, shares_right
from worldmodels.generative.measures.captions import own_picture_nearer
from worldmodels.generative.models.base import (
    ImageConfig,
    LatentModel,
    Shape,
    View,
    adam,
    decode_all,
)
from worldmodels.generative.models.gan import GAMES, LossName
from worldmodels.generative.networks.captions import CaptionEncoder, TextConditional
from worldmodels.generative.networks.dcgan import dcgan_critic, dcgan_generator
from worldmodels.generative.objectives.matching import MatchingGAN
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.sheets import picture
from worldmodels.pictures import Frames, with_captions
from worldmodels.training.loop import Stateful

SHOWN, EACH = 6, 10  #: captions of a view, and pictures of each


@dataclass(frozen=True)
class TextToImageConfig(ImageConfig):
    """A GAN that reads captions."""

    data: str = CAPTIONED
    """captioned-shapes: coloured shapes with captions from a small grammar. Or a folder of pictures with captions of
    their own: NAME.txt beside NAME.jpg, or a list of all (metadata.jsonl, metadata.csv, captions.csv, captions.txt)."""
    loss: LossName = "hinge"
    """The game."""
    matching: bool = True
    """Show the critic real pictures with wrong captions, too."""
    text_size: int = 64
    """Length of the vector that a caption becomes, in the generator and in the critic."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""

    def build(self, shape: Shape, device: torch.device) -> TextToImageModel:
        size, channels, text = shape.size, shape.channels, self.text_size
        generator = dcgan_generator(size, channels, self.latent_size, self.width, "resize", classes=text)
        critic = dcgan_critic(size, channels, self.width, None, text, "projection")
        spectrally_normalise(critic)
        own = Language(tuple(shape.words), shape.condition, tuple(shape.examples))
        language = own if shape.words else LANGUAGE
        readers = [CaptionEncoder(len(language.words), text) for _ in range(2)]
        game = MatchingGAN(
            TextConditional(generator, readers[0]).to(device),
            TextConditional(critic, readers[1]).to(device),
            GAMES[self.loss],
            partial(adam, rate=self.learning_rate, betas=(0.5, 0.999)),
            partial(adam, rate=self.critic_learning_rate, betas=(0.5, 0.999)),
            self.matching,
            self.average_decay,
        )
        return TextToImageModel(game, language) if shape.words else ShapesModel(game, language)

    def load(self, folder: Path | None = None) -> Samples:
        """The data.

        Raises:
            UserError: they have no captions.
        """
        if Path(self.data).is_dir():
            return captioned_folder(self.data, Path(self.data), self.load_options(folder))
        samples = super().load(folder)
        if samples.name != CAPTIONED:
            raise UserError(f"{self.data} has no captions: give a folder of pictures, or {CAPTIONED}. {HOW}")
        return samples

    def check(self) -> None:
        super().check()
        require_positive(self, ("text_size", "critic_learning_rate"))
        require_below_one(self, ("average_decay",))
        if self.data == CAPTIONED and (self.flip or self.crop or self.channels == 1):
            raise UserError("Captions name places and colours: leave out --flip, --crop and --channels 1.")


class TextToImageModel(LatentModel):
    """The average of a generator that reads captions in the words of its data."""

    low = -1.0
    headline = ("critic", "generator")

    def __init__(self, game: MatchingGAN, language: Language) -> None:
        self.game, self.network, self.language = game, game.average.network, language
        self.latent_size = game.generator.latent_size

    def units(self) -> list[Unit]:
        return self.game.units()

    def parts(self) -> dict[str, Stateful]:
        return self.game.parts()

    def condition(self, batch: Batch) -> Tensor | None:
        return batch.condition

    def read(self, caption: str) -> Tensor:
        """A caption as its tokens ``[T]``.

        Raises:
            UserError: a word is not in the vocabulary; it is named.
        """
        return torch.from_numpy(self.language.tokens_of(caption))

    def captions(self, count: int, rng: torch.Generator) -> list[str]:
        """Random ones of those that were kept of the data."""
        known = self.language.examples
        return [known[number] for number in torch.randint(len(known), (count,), generator=rng).tolist()]

    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """``count`` pictures for captions ``[count, T]``; without any, for random ones."""
        if condition is None:
            condition = torch.stack([self.read(text) for text in self.captions(count, rng)])
        return decode_all(self, self.latent(count, rng), condition)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Pictures for captions; without any, for one and the same: of shapes, the one that leaves everything open."""
        if condition is None:
            condition = self.read(self.language.examples[-1]).expand(len(z), -1)
        return (self.network.eval()(z, condition.to(z.device)) + 1) / 2

    def views(self) -> dict[str, View]:
        return {"captions": self._captions}

    def _captions(self, batch: Batch) -> Frames:
        """Held-out captions, and pictures for each."""
        assert batch.condition is not None
        tokens = batch.condition[:SHOWN]
        drawn = self.draw(len(tokens) * EACH, batch.rng, tokens.repeat_interleave(EACH, 0))
        texts = [self.language.text_of(row) for row in tokens.cpu().numpy()]
        return with_captions(picture(drawn, EACH), texts, scale=1)

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """What can be told without knowing what words mean: whether pictures drawn for a caption are nearer to the
        picture that it belongs to than to others."""
        assert batch.condition is not None
        drawn = self.draw(len(batch.x), batch.rng, batch.condition)
        nearer = own_picture_nearer(drawn, batch.x, batch.condition)
        return {} if nearer is None else {"own_picture_nearer": nearer, "own_picture_nearer_chance": 0.5}


class ShapesModel(TextToImageModel):
    """One that has learnt from captioned shapes, whose grammar and meaning are known."""

    def captions(self, count: int, rng: torch.Generator) -> list[str]:
        """Random captions of the grammar."""
        numbers = np.random.default_rng(int(torch.randint(2**31, (), generator=rng)))
        return captions_of(some_scenes(count, numbers), numbers)

    @torch.no_grad()
    def measures(self, batch: Batch) -> dict[str, Any]:
        """Of the attributes that captions name, the share that the judge of pixels sees: in pictures drawn for these
        captions, in the real ones, and (chance) in pictures drawn for other captions."""
        assert batch.condition is not None
        named = named_in(batch.condition.cpu().numpy())
        judgement = judged(self.draw(len(batch.x), batch.rng, batch.condition))
        right, real = shares_right(named, judgement), shares_right(named, judged(batch.x))
        others = named_in(batch.condition.roll(1, 0).cpu().numpy())
        by_name = {f"{name}_right": share for name, share in right.items() if name != "all"}
        return {
            "attributes_right": right["all"],
            "attributes_right_real": real["all"],
            "attributes_right_chance": shares_right(others, judgement)["all"],
            **by_name,
        }


TEXT_TO_IMAGE = TextToImageConfig(width=16, batch_size=32, steps=3000, learning_rate=4e-4, critic_learning_rate=1e-3)
