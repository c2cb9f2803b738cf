"""What all translators of pictures share: networks, optimisers, and noise that is a function of its generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_below_one, require_positive
from worldmodels.generative.data.synthetic import DISTRIBUTIONS
from worldmodels.generative.models.base import ImageConfig, adam
from worldmodels.generative.networks.patchgan import Patch, patchgan
from worldmodels.generative.networks.resnet_translator import resnet_translator
from worldmodels.generative.networks.spade import Spade
from worldmodels.generative.networks.unet import unet

NormName = Literal["instance", "batch"]
TranslatorName = Literal["unet", "resnet", "spade"]


@dataclass(frozen=True)
class TranslatorConfig(ImageConfig):
    """Networks that translate pictures."""

    batch_size: int = 8
    """Samples per update; 1 in the papers."""
    width: int = 16
    """Filters next to the image; deeper layers have more. 64 in the papers."""
    translator: TranslatorName = "unet"
    """unet, pix2pix's, hands every level's detail across; resnet, CycleGAN's, takes several times as long; spade,
    GauGAN's, is for maps of what is where, which it tells every normalisation again."""
    blocks: int = 6
    """Residual blocks of a resnet; the paper has 6 up to 128x128 and 9 above."""
    norm: NormName = "instance"
    """Normalise each picture by itself, or over the batch."""
    dropout: float = 0.5
    """In the innermost levels, also while drawing: all the noise there is. 0 gives one translation of each picture."""
    patch: Patch = 34
    """Side of the patches that the critic judges; 70 in the papers, of 256 pixels."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    beta1: float = 0.5
    """Adam's first moment."""
    average_decay: float = 0.995
    """Of the moving average of the translator that is used in the end; 0 is no averaging."""

    def body(self, size: int, channels: int, out: int) -> nn.Module:
        """A translator from ``channels`` to ``out``, in [-1, 1].

        Raises:
            ValueError: the size does not suit it.
        """
        norm = nn.BatchNorm2d if self.norm == "batch" else nn.InstanceNorm2d
        if self.translator == "unet":
            return unet(size, channels, out, self.width, norm, self.dropout)
        if self.translator == "spade":
            return Spade(size, channels, out, self.width, norm, self.dropout)
        return resnet_translator(size, channels, out, self.width, self.blocks, norm, self.dropout)

    def critic(self, size: int, channels: int) -> nn.Module:
        """A PatchGAN of pictures with so many channels.

        Raises:
            ValueError: the pictures are too small for its patches.
        """
        norm = nn.BatchNorm2d if self.norm == "batch" else nn.InstanceNorm2d
        try:
            return patchgan(size, channels, self.width, norm, patch=self.patch, bias=self.norm != "batch")
        except ValueError as error:
            raise ValueError(f"pictures of {size}x{size} are too small for --patch {self.patch} ({error})") from None

    def optimiser(self, rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
        """Makes Adam with this step size."""
        return partial(adam, rate=rate, betas=(self.beta1, 0.999))

    def check(self) -> None:
        super().check()
        require_positive(self, ("critic_learning_rate", "blocks"))
        require_below_one(self, ("dropout", "average_decay", "beta1"))
        if self.latent_size != ImageConfig.latent_size:
            raise UserError("--latent-size does nothing for a translator, whose noise is --dropout; leave it out.")
        if self.translator != "resnet" and self.blocks != TranslatorConfig.blocks:
            raise UserError(f"--blocks is for --translator resnet, and nothing to a {self.translator}; leave it out.")
        if self.data in DISTRIBUTIONS:
            raise UserError(f"A translator is for pictures, and {self.data} are points; choose other --data.")

    def for_points(self) -> TranslatorConfig:
        return self  # refused in ``check``


@contextmanager
def noisy(network: nn.Module, rng: torch.Generator) -> Iterator[None]:
    """Evaluation, but with dropout, whose random numbers are a function of ``rng``."""
    network.eval()
    dropouts = [part for part in network.modules() if isinstance(part, nn.Dropout)]
    seed = int(torch.randint(2**62, (), generator=rng))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # dropout can only draw from the global generator
        for part in dropouts:
            part.train()
        try:
            yield
        finally:
            network.eval()


def require_condition(condition: Tensor | None) -> Tensor:
    """The pictures to translate.

    Raises:
        UserError: there are none.
    """
    if condition is None:
        raise UserError("This model translates pictures: give it some, --show translation --input FILE.")
    return condition
