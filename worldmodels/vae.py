"""V: the convolutional variational autoencoder that turns a frame into a short latent vector.

Architecture and loss as in Ha & Schmidhuber (2018), appendix "Variational Autoencoder".
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.layers import ConvSpec, conv_stack
from worldmodels.training.precision import has_bfloat16

#: All convolutions are unpadded, of stride 2; 64 -> 31 -> 14 -> 6 -> 2 and 1 -> 5 -> 13 -> 30 -> 64.
ENCODER = (ConvSpec(32, 4, 2), ConvSpec(64, 4, 2), ConvSpec(128, 4, 2), ConvSpec(256, 4, 2))
DECODER = (
    ConvSpec(128, 5, 2, up="transposed"),
    ConvSpec(64, 5, 2, up="transposed"),
    ConvSpec(32, 6, 2, up="transposed"),
    ConvSpec(3, 6, 2, up="transposed", activation=None),  # logits
)
FRAME_SIZE = 64

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""uint8 frames ``[N, 64, 64, 3]`` to the mean and the log variance of z, ``[N, Z]`` each."""


class VAELoss(NamedTuple):
    """Terms of the loss, each in nats, averaged over the batch."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """``KL(N(mean, exp(logvar)) || N(0, 1)) = (mean^2 + exp(logvar) - logvar - 1) / 2`` per unit, in nats.

    Kingma & Welling (2014), appendix B.
    """
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1.0)


def reconstruction_error(reconstruction: Tensor, frames: Tensor, weight: Tensor | None = None) -> Tensor:
    """Summed squared error per frame, ``[N, 3, S, S] -> [N]``, each square times its ``weight [N, 3, S, S]`` if given.

    Up to a constant these are nats: the negative log likelihood of a Gaussian with variance 1/2 per pixel.
    A mean over pixels instead would weigh the KL term 12,288 times too heavily and collapse the latents.
    """
    squares = (reconstruction - frames).square()
    return (squares if weight is None else squares * weight).flatten(1).sum(1)


def motion_weights(frames: Tensor, before: Tensor, gain: float) -> Tensor:
    """``1 + gain |frame - earlier frame|`` of every pixel and colour, ``[N, 3, S, S]`` in [0, 1] -> ``[N, 3, S, S]``.

    What a summed error leaves out first is what covers few pixels, and that is often all that matters: a ball on its
    way, a monster at the other wall. Such things move, where walls do not.
    """
    return 1 + gain * (frames - before).abs()


def vae_loss(
    reconstruction: Tensor,
    frames: Tensor,
    mean: Tensor,
    logvar: Tensor,
    kl_floor: float = 0.5,
    weight: Tensor | None = None,
) -> VAELoss:
    """The paper's loss: reconstruction + max(KL, kl_floor * latent size), per frame, then the batch mean.

    The floor ("free bits", Kingma et al. 2016) stops the optimiser from pressing information out of the latents
    once the KL of a frame is below ``kl_floor`` nats per latent unit.

    Args:
        weight: of every pixel's squared error, such as :func:`motion_weights`; 1 if None.
    """
    error = reconstruction_error(reconstruction, frames, weight)
    kl = kl_to_standard_normal(mean, logvar).sum(1)
    total = error + kl.clamp(min=kl_floor * mean.shape[1])
    return VAELoss(total.mean(), error.mean(), kl.mean())


class ConvVAE(nn.Module):
    """64x64 RGB frames to ``latent_size`` Gaussian units and back.

    4,348,547 parameters at ``latent_size=32`` (CarRacing), 4,446,915 at 64 (Take Cover), as in the paper.
    """

    def __init__(self, latent_size: int = 32) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.encoder, side = conv_stack(3, FRAME_SIZE, ENCODER)
        features = side * side * ENCODER[-1].channels
        self.mean = nn.Linear(features, latent_size)
        self.logvar = nn.Linear(features, latent_size)
        self.expand = nn.Linear(latent_size, features)  # linear, without ReLU, as in the authors' code
        self.decoder, _ = conv_stack(features, 1, DECODER)

    def on(self, device: torch.device | str) -> ConvVAE:
        """Move to a device, in channels-last memory: convolutions run up to a quarter faster in it."""
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, 3, 64, 64]`` in [0, 1] -> mean and log variance, each ``[N, latent_size]``."""
        features = self.encoder(frames).flatten(1)
        return self.mean(features), self.logvar(features)

    def decode(self, z: Tensor) -> Tensor:
        """``[N, latent_size]`` -> frames ``[N, 3, 64, 64]`` in [0, 1]."""
        return torch.sigmoid(self.decoder(self.expand(z)[:, :, None, None]))

    def forward(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct through a sample ``z = mean + exp(logvar / 2) * noise``.

        Returns:
            reconstruction ``[N, 3, 64, 64]``, mean and logvar ``[N, latent_size]``.
        """
        mean, logvar = self.encode(frames)
        return self.decode(reparameterise(mean, logvar, noise)), mean, logvar


def fast_encoder(vae: ConvVAE) -> Encoder | None:
    """V's encoder for one CPU core: bfloat16 convolutions on weights laid out for them, twice as fast as float32.

    Its latents differ from ``vae.encode``'s by 0.2 %. For fitness, recording and what M learns from; scores are
    measured with the original.

    Returns:
        a function of uint8 frames ``[N, 64, 64, 3]``, or None where the processor has no bfloat16 arithmetic.
    """
    device = vae.mean.weight.device
    if device.type != "cpu" or not has_bfloat16(device):
        return None
    from torch.utils.mkldnn import to_mkldnn  # slow to import, and not needed by anyone else

    stack = copy.deepcopy(vae.encoder).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    convolutions = to_mkldnn(stack, torch.bfloat16)

    def encode(frames: Tensor) -> tuple[Tensor, Tensor]:
        pictures = frames.permute(0, 3, 1, 2).to(torch.bfloat16).div_(255.0).contiguous()
        features = convolutions(pictures.to_mkldnn()).to_dense().float().flatten(1)
        return vae.mean(features), vae.logvar(features)

    return encode


def reparameterise(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """A sample of N(mean, exp(logvar)) through which gradients flow; ``noise`` is standard normal."""
    return mean + torch.exp(0.5 * logvar) * noise
