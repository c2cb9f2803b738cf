"""What keeps a critic smooth: gradient penalties, weight clipping, spectral normalisation.

Three kinds, three shapes: a penalty is a term of the critic's loss, clipping is done after every critic step, and
spectral normalisation changes the module itself. Random numbers come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Score = Callable[[Tensor], Tensor]
"""A critic with its labels filled in: samples ``[N, ...]`` to logits ``[N, ...]``."""


def interpolate(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """``alpha real + (1 - alpha) fake`` with one ``alpha`` per sample, ``[N]``.

    Raises:
        ValueError: ``alpha`` is not one number per sample, or the batches differ.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real {list(real.shape)} and fake {list(fake.shape)} samples differ in shape")
    if alpha.shape != real.shape[:1]:
        raise ValueError(f"alpha must be one number per sample, [{len(real)}], got {list(alpha.shape)}")
    alpha = alpha.reshape(-1, *[1] * (real.ndim - 1))
    return alpha * real + (1 - alpha) * fake


def gradient_norms(score: Score, x: Tensor) -> Tensor:
    """``||d score / d x||`` of every sample, over all its channels and pixels: ``[N, ...] -> [N]``.

    Where a critic gives a map of logits, a sample's score is their mean, as in the losses: so the slope that the
    generator follows is the slope that a penalty holds, however many patches there are. The result can itself be
    differentiated, also where the norm is zero.
    """
    x = x.detach().requires_grad_(True)
    scores = score(x).reshape(len(x), -1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    # Flattened, so that the norm is one per sample; the constant keeps the root's derivative finite at zero.
    return (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()


def gradient_penalty(score: Score, real: Tensor, fake: Tensor, alpha: Tensor, target: float = 1.0) -> Tensor:
    """``E (||grad f|| - target)^2`` between real and fake samples; ``alpha`` ~ U(0, 1), one per sample.

    Gulrajani et al. (2017), eq. 3, without its weight (there 10).
    """
    return (gradient_norms(score, interpolate(real, fake, alpha)) - target).square().mean()


def dragan_penalty(score: Score, real: Tensor, noise: Tensor, alpha: Tensor, target: float = 1.0) -> Tensor:
    """``E (||grad f|| - target)^2`` around real samples only: at ``x + alpha std(x) noise / 2``.

    Kodali et al. (2017), in the form of the authors' code: ``noise`` ~ U(0, 1) like ``real``, ``alpha`` ~ U(0, 1) one
    per sample, ``std`` over the whole batch; without its weight (there 10). The logit is differentiated.
    """
    disturbed = real + 0.5 * real.std() * noise
    return (gradient_norms(score, interpolate(disturbed, real, alpha)) - target).square().mean()


def batch_norms(critic: nn.Module) -> list[str]:
    """The parts of a critic that mix samples."""
    return [name for name, part in critic.named_modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]


def refuse_batch_norm(critic: nn.Module) -> None:
    """A gradient per sample means nothing where samples are mixed.

    Raises:
        ValueError: the critic normalises over its batch.
    """
    for name in batch_norms(critic):
        raise ValueError(
            f"{name} of the critic is a batch normalisation, which makes a penalty on per-sample gradients "
            "meaningless: use none, nn.InstanceNorm2d or nn.GroupNorm"
        )


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Every parameter into [-bound, bound], biases too; running statistics are left alone.

    Arjovsky et al. (2017), algorithm 1 (there 0.01), after every critic step.
    """
    for parameter in critic.parameters():
        parameter.clamp_(-bound, bound)


def spectrally_normalise(critic: nn.Module) -> nn.Module:
    """Divide the weight of every linear and convolutional layer by its largest singular value. Miyato et al. (2018).

    One power iteration per forward pass in training mode. For a convolution the kernel is taken as a matrix
    ``[out, in * k * k]``, whose norm is not that of the convolution as an operator.
    """
    for part in critic.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            spectral_norm(part, dim=1 if isinstance(part, nn.ConvTranspose2d) else 0)
    return critic
