"""The matching-aware critic of Reed et al. (2016), algorithm 1: a real picture with a wrong caption is wrong, too."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from worldmodels.generative.networks.captions import TextConditional
from worldmodels.generative.networks.modules import Critic, Generator
from worldmodels.generative.objectives.gan import GAN
from worldmodels.generative.objectives.losses import Adversarial
from worldmodels.generative.objectives.players import MakeOptimiser
from worldmodels.generative.objectives.units import Batch, Loss


def captions_as_labels(batch: Batch) -> Batch:
    """The batch with its captions (``condition``) where a GAN looks for labels."""
    return batch._replace(labels=batch.condition)


def wrong_captions(captions: Tensor) -> tuple[Tensor, Tensor]:
    """Captions that belong to other pictures and differ: of each of ``[N, T]`` the next one in the batch that does.

    Returns:
        ``[M, T]``, and for which of all there is one, bool ``[N]`` (M times).
    """
    count = len(captions)
    following = (torch.arange(count)[:, None] - torch.arange(1, count + 1)).to(captions.device) % count
    differs = (captions[following] != captions[:, None]).any(2)
    has_one = differs.any(1)
    chosen = following.gather(1, differs.int().argmax(1, keepdim=True))[:, 0]
    return captions[chosen[has_one]], has_one


class MatchingGAN(GAN):
    """A generator that is conditional on captions, and a critic that is shown three kinds of pairs.

    Args:
        matching: show the third kind, too: a real picture with the caption of another picture, which is not its own.
    """

    def __init__(
        self,
        generator: TextConditional,
        critic: TextConditional,
        game: Adversarial,
        generator_optimiser: MakeOptimiser,
        critic_optimiser: MakeOptimiser,
        matching: bool,
        average_decay: float,
    ) -> None:
        networks = cast(Generator, generator), cast(Critic, critic)
        super().__init__(*networks, game, generator_optimiser, critic_optimiser, average_decay=average_decay)
        self.matching = matching

    def critic_loss(self, batch: Batch) -> Loss:
        """Real with its caption against the mean of both wrong pairs: real with another's, and fake with its own."""
        assert batch.condition is not None
        captions, real = batch.condition, batch.x
        with torch.no_grad():
            fake = self.generate(captions_as_labels(batch))
        pairs = [(real, captions), (fake, captions)]
        if self.matching:
            wrong_text, has_one = wrong_captions(captions)
            pairs.append((real[has_one], wrong_text))
        logits = self.critic(torch.cat([x for x, _ in pairs]), torch.cat([text for _, text in pairs]))
        right, *wrong = logits.split([len(x) for x, _ in pairs])
        loss = self.game.critic(right, torch.cat(wrong))
        terms = {"critic": loss.total, "critic_real": loss.real, "critic_fake": loss.fake}
        if self.matching:
            terms["told_apart"] = (right[has_one] - wrong[1]).sum() / max(len(wrong[1]), 1)
        return Loss(loss.total, terms)

    def generator_loss(self, batch: Batch) -> Loss:
        return super().generator_loss(captions_as_labels(batch))


