"""V and M on clips: a code of what stays, codes of what changes, and a forecast of the latter.

He et al. (2018), "Probabilistic video generation using holistic attribute control", split latents so: static ones hold
what a clip shows from its first frame to its last, dynamic ones what moves. Here V is the VAE of images, M the world
model's (``worldmodels/mdn_rnn.py``), and the static code takes the place of the action.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.dynamics import Dynamics
from worldmodels.generative.networks.modules import VAE
from worldmodels.generative.objectives.autoencoders import Likelihood
from worldmodels.generative.objectives.losses import wide
from worldmodels.generative.objectives.units import Batch, Loss, Unit
from worldmodels.mixture import Mixture, mixture_nll, sample_mixture
from worldmodels.training.loop import Stateful
from worldmodels.vae import kl_to_standard_normal, reparameterise


class Codes(NamedTuple):
    """Gaussians of a clip's codes: for every frame, what it says of the static code, and its dynamic code."""

    static_mean: Tensor  #: [N, T, static_size]
    static_logvar: Tensor
    mean: Tensor  #: [N, T, D]
    logvar: Tensor


def tied(mixture: Mixture) -> Mixture:
    """The same weights in every dimension: the mean of what the dimensions would choose.

    A component then stands for a whole next frame. With weights of their own, dimensions choose on their own, and four
    equally likely diagonal moves become nine.
    """
    logits = mixture.logits.mean(-2, keepdim=True).expand_as(mixture.logits)
    return Mixture(logits, mixture.mean, mixture.log_std)


def joint_nll(mixture: Mixture, target: Tensor) -> Tensor:
    """``-log sum_k pi_k prod_d N(z_d; mu_kd, s_kd^2)`` of a tied mixture, in nats, ``[...]``. Bishop (1994)."""
    parts = []
    for k in range(mixture.mean.shape[-1]):
        components = Mixture(*(part[..., k : k + 1] for part in mixture))
        parts.append(-mixture_nll(components, target).sum(-1))  # a single Gaussian: its weight is 1
    weights = F.log_softmax(mixture.logits[..., 0, :], -1)
    return -torch.logsumexp(weights + torch.stack(parts, -1), -1)


class VideoNetwork(nn.Module):
    """V and M.

    Args:
        vae: its latents are the static code, then the dynamic one.
        dynamics: foresees dynamic codes; its action is the static code and the class.
        joint: mixtures of whole codes, instead of one for every dimension.
    """

    def __init__(self, vae: VAE, dynamics: Dynamics, static_size: int, joint: bool) -> None:
        super().__init__()
        self.vae, self.dynamics, self.static_size, self.joint = vae, dynamics, static_size, joint

    @property
    def dynamic_size(self) -> int:
        return self.vae.latent_size - self.static_size

    def encode(self, clips: Tensor, labels: Tensor | None) -> Codes:
        """Codes of clips ``[N, T, C, S, S]``."""
        count, frames = clips.shape[:2]
        frame_labels = None if labels is None else labels.repeat_interleave(frames)
        sizes = [self.static_size, self.dynamic_size]
        (static_mean, mean), (static_logvar, logvar) = (
            wide(part).unflatten(0, (count, frames)).split(sizes, -1)
            for part in self.vae.encode(clips.flatten(0, 1), frame_labels)
        )
        return Codes(static_mean, static_logvar, mean, logvar)

    def decode(self, static: Tensor, dynamic: Tensor, labels: Tensor | None) -> Tensor:
        """What the likelihood expects, ``[N, T, C, S, S]``, of static ``[N, Z]`` and dynamic codes ``[N, T, D]``."""
        count, frames = dynamic.shape[:2]
        z = torch.cat([static[:, None].expand(-1, frames, -1), dynamic], -1)
        frame_labels = None if labels is None else labels.repeat_interleave(frames)
        return self.vae.decode(z.flatten(0, 1), frame_labels).unflatten(0, (count, frames))

    def action(self, static: Tensor, labels: Tensor | None) -> Tensor:
        """M's action in every step: the static code and, where there is one, the class; ``[N, A]``."""
        if labels is None:
            return static
        return torch.cat([static, F.one_hot(labels, self.vae.classes).to(static.dtype)], -1)

    def forecast(self, mixture: Mixture) -> Mixture:
        return tied(mixture) if self.joint else mixture

    @torch.no_grad()
    def roll(
        self, static: Tensor, start: Tensor, steps: int, labels: Tensor | None, rng: torch.Generator
    ) -> Tensor:
        """Dynamic codes ``[N, k + steps, D]`` that go on from ``start [N, k, D]``: a dream without an agent."""
        action, state = self.action(static, labels), self.dynamics.initial_state(len(start))
        codes = list(start.unbind(1))
        for code in codes:
            state = self.dynamics.advance(code, action, state)
        for _ in range(steps):
            mixture = self.forecast(self.dynamics.predict(state).mixture)
            # Tied weights and one uniform number for all dimensions choose one component for all of them.
            shape = (len(start), 1 if self.joint else self.dynamic_size)
            uniform = torch.rand(shape, generator=rng).to(start.device)
            normal = torch.randn(len(start), self.dynamic_size, generator=rng).to(start.device)
            code = sample_mixture(mixture, 1.0, uniform, normal).contiguous()
            codes.append(code)
            state = self.dynamics.advance(code, action, state)
        return torch.stack(codes, 1)


class Video:
    """Two units: V learns to see clips, M to foresee V's codes, as they are at that step.

    Args:
        kl_weight: times the KL of all codes; the static one is counted once per clip.
    """

    def __init__(
        self,
        network: VideoNetwork,
        likelihood: Likelihood,
        vision: torch.optim.Optimizer,
        foresight: torch.optim.Optimizer,
        kl_weight: float,
    ) -> None:
        self.network, self.likelihood, self.kl_weight = network, likelihood, kl_weight
        self.vision, self.foresight = vision, foresight

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.network.vae.classes else None

    def _static(self, codes: Codes, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The static code of one frame of each clip, chosen at random, and its Gaussian."""
        count, frames = codes.mean.shape[:2]
        rows = torch.arange(count, device=codes.mean.device)
        chosen = (batch.uniform(count) * frames).long()
        mean, logvar = codes.static_mean[rows, chosen], codes.static_logvar[rows, chosen]
        return reparameterise(mean, logvar, batch.normal(*mean.shape)), mean, logvar

    def vision_loss(self, batch: Batch) -> Loss:
        """The negative ELBO per frame. Since any one frame's static code must do for all of them, nothing that moves
        can be in it; since it is paid for once, all that stays is cheaper there."""
        labels, count = self._labels(batch), len(batch.x)
        codes = self.network.encode(batch.x, labels)
        static, static_mean, static_logvar = self._static(codes, batch)
        dynamic = reparameterise(codes.mean, codes.logvar, batch.normal(*codes.mean.shape))
        output = self.network.decode(static, dynamic, labels).flatten(0, 1)
        frames = count * batch.x.shape[1]
        distortion = self.likelihood.nll(output, batch.x.flatten(0, 1)).sum() / frames
        dynamic_rate = kl_to_standard_normal(codes.mean, codes.logvar).sum() / frames
        static_rate = kl_to_standard_normal(static_mean, static_logvar).sum() / frames
        rate = dynamic_rate + static_rate
        terms = {"distortion": distortion, "rate": rate, "static_nats": static_rate * batch.x.shape[1]}
        return Loss(distortion + self.kl_weight * rate, terms)

    def foresight_loss(self, batch: Batch) -> Loss:
        """Nats per dimension of the next dynamic code."""
        labels, network = self._labels(batch), self.network
        with torch.autocast(batch.x.device.type, enabled=False):
            with torch.no_grad():
                codes = network.encode(batch.x, labels)
                static, _, _ = self._static(codes, batch)
                z = reparameterise(codes.mean, codes.logvar, batch.normal(*codes.mean.shape))
            action = network.action(static, labels)[:, None].expand(-1, z.shape[1] - 1, -1)
            prediction, _ = network.dynamics(z[:, :-1], action)
            mixture = network.forecast(prediction.mixture)
            if network.joint:
                nats = joint_nll(mixture, z[:, 1:]).mean() / network.dynamic_size
            else:
                nats = mixture_nll(mixture, z[:, 1:]).mean()
        return Loss(nats, {"z_nll_per_dim": nats})

    def units(self) -> list[Unit]:
        return [Unit("V", self.vision, self.vision_loss), Unit("M", self.foresight, self.foresight_loss)]

    def parts(self) -> dict[str, Stateful]:
        return {"network": self.network, "V_optimiser": self.vision, "M_optimiser": self.foresight}
