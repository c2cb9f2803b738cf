"""VAE/GAN: the adversarial term that makes a VAE crisper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from worldmodels.generative.objectives.losses import NON_SATURATING, Adversarial
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.vae import reparameterise


class FrameVAE(Protocol):
    """V, or any module that encodes frames to Gaussians and decodes latents to frames in [0, 1]."""

    latent_size: int

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]: ...
    def decode(self, z: Tensor) -> Tensor: ...


class AdversarialVAE:
    """VAE/GAN: a VAE whose reconstructions and prior samples must also pass for real. After Larsen et al. (2016).

    As in the paper's algorithm 1, what the critic says reaches the decoder only: the encoder learns from the
    reconstruction error and the prior. Differs from it in that the reconstruction error stays on pixels, instead of on
    the critic's features: V's latents keep their meaning for M, the adversarial term only sharpens.

    Args:
        model_loss: ``(reconstruction, frames, mean, logvar) -> total, reconstruction, kl``, e.g. V's own ``vae_loss``.
        adversarial_weight: nats that the critic's opinion of one frame is worth.
    """

    def __init__(
        self,
        model: FrameVAE,
        critic: nn.Module,
        model_loss: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
        optimiser: torch.optim.Optimizer,
        critic_optimiser: torch.optim.Optimizer,
        adversarial_weight: float,
        game: Adversarial = NON_SATURATING,
    ) -> None:
        self.model, self.critic, self.model_loss, self.game = model, critic, model_loss, game
        self.optimiser, self.critic_optimiser = optimiser, critic_optimiser
        self.adversarial_weight = adversarial_weight

    def critic_loss(self, batch: Batch) -> Loss:
        """Real frames against reconstructions and samples of the prior."""
        with torch.no_grad():
            mean, logvar = self.model.encode(batch.x)
            z = reparameterise(mean, logvar, batch.normal(*mean.shape))
            fake = self.model.decode(torch.cat([z, batch.normal(*mean.shape)]))
        loss = self.game.critic(self.critic(batch.x), self.critic(fake))
        return Loss(loss.total, {"critic": loss.total})

    def vae_loss(self, batch: Batch) -> Loss:
        """The VAE's own loss, and what the critic says of its decoder."""
        mean, logvar = self.model.encode(batch.x)
        z = reparameterise(mean, logvar, batch.normal(*mean.shape))
        total, reconstruction, kl = self.model_loss(self.model.decode(z), batch.x, mean, logvar)
        fake = self.model.decode(torch.cat([z.detach(), batch.normal(*mean.shape)]))
        adversarial = self.game.generator(self.critic(fake))
        terms = {"reconstruction": reconstruction, "kl": kl, "adversarial": adversarial}
        return Loss(total + self.adversarial_weight * adversarial, terms)

    def units(self) -> list[Unit]:
        """The critic's update, then the VAE's."""
        return [
            Unit("critic", self.critic_optimiser, self.critic_loss),
            Unit("vae", self.optimiser, self.vae_loss),
        ]
