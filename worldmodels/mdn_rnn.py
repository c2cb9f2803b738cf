"""M: the mixture density recurrent network that predicts the next latent, the reward and the end.

Architecture as in Ha & Schmidhuber (2018), appendix "Recurrent Neural Network": an LSTM whose output gives, for
every latent dimension on its own, a mixture of Gaussians over the next value (Bishop 1994; Graves 2013).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""LSTM state ``(h, c)``, each ``[N, hidden_size]``."""


class Mixture(NamedTuple):
    """A mixture of K Gaussians for every latent dimension; each tensor is ``[..., latent_size, K]``."""

    logits: Tensor
    mean: Tensor
    log_std: Tensor


class Prediction(NamedTuple):
    """What M says of the next step. ``reward`` and ``termination`` (a logit) are ``[...]``, or None without a head."""

    mixture: Mixture
    reward: Tensor | None
    termination: Tensor | None


def mixture_nll(mixture: Mixture, target: Tensor) -> Tensor:
    """Negative log likelihood of ``target [..., latent_size]`` in nats, for every dimension on its own.

    ``-log sum_k pi_k N(z; mu_k, s_k^2)``, Bishop (1994).
    """
    log_weights = F.log_softmax(mixture.logits, dim=-1)
    standardised = (target[..., None] - mixture.mean) * torch.exp(-mixture.log_std)
    log_normal = -0.5 * standardised.square() - mixture.log_std - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_weights + log_normal, dim=-1)


def mixture_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the mixture weights: 0 when one component rules, log K when all weigh the same."""
    log_weights = F.log_softmax(logits, dim=-1)
    return -(log_weights.exp() * log_weights).sum(-1)


def likeliest(mixture: Mixture) -> Tensor:
    """The mean of every dimension's likeliest component, ``[..., latent_size]``: a sample at temperature 0."""
    chosen = mixture.logits.argmax(-1, keepdim=True)
    return mixture.mean.gather(-1, chosen).squeeze(-1)


def sample_mixture(mixture: Mixture, temperature: float, uniform: Tensor, normal: Tensor) -> Tensor:
    """Draw the next latent: component by inverse CDF of ``softmax(logits / tau)``, then ``mu + s sqrt(tau) eps``.

    Args:
        mixture: ``[..., latent_size, K]`` each.
        temperature: tau >= 0; 1 is the model as fitted, 0 the mean of the likeliest component.
        uniform, normal: noise, broadcastable to ``[..., latent_size]``.
    """
    if temperature == 0:
        return likeliest(mixture)
    weights = torch.exp((mixture.logits - mixture.logits.amax(-1, keepdim=True)) / temperature).unbind(-1)
    threshold = uniform * sum(weights)
    means, log_stds = mixture.mean.unbind(-1), mixture.log_std.unbind(-1)
    mean, log_std, passed = means[0], log_stds[0], weights[0]
    for k in range(1, len(weights)):
        beyond = threshold >= passed  # u lies past the first k components: take at least component k
        mean, log_std = torch.where(beyond, means[k], mean), torch.where(beyond, log_stds[k], log_std)
        passed = passed + weights[k]
    return mean + torch.exp(log_std) * (math.sqrt(temperature) * normal)


def at_start(state: State) -> Tensor:
    """1 where a memory is that of an episode's start, all zeros, else 0; ``[N, 1]``."""
    return (state[1] == 0).all(dim=1, keepdim=True).to(state[1].dtype)


def dropout_mask(shape: tuple[int, ...], rate: float, generator: torch.Generator) -> Tensor:
    """0 with probability ``rate``, else ``1 / (1 - rate)``, on the generator's device.

    Kept for a whole sequence, it is one model out of many that agree where there were data and differ where there
    were none (Gal & Ghahramani 2016; in dreams: Wellmer & Kwok 2021).
    """
    kept = torch.rand(shape, generator=generator, device=generator.device) >= rate
    return kept.float() / (1 - rate)


class MDNRNN(nn.Module):
    """LSTM with a mixture density head, and optional reward and termination heads.

    Without the heads it has the paper's 422,368 trainable parameters (32 latents, 3 actions, 256 units, 5 mixtures);
    with 64 latents, 1 action, 512 units, a termination head and ``start_flag``, those of Take Cover: 1,678,785.

    With its weights in bfloat16 (``mdnrnn.bfloat16()``) it multiplies matrices in that, and remembers and predicts in
    float32: dreams are then about twice as fast on CPUs that have instructions for it.

    Args:
        start_flag: one more input, 1 in an episode's first step and 0 in all others, as in the paper's Take Cover. It
            need not be told: a memory of nothing but zeros is that of a start.
    """

    def __init__(
        self,
        latent_size: int = 32,
        action_size: int = 3,
        hidden_size: int = 256,
        mixtures: int = 5,
        reward_head: bool = True,
        termination_head: bool = True,
        start_flag: bool = False,
    ) -> None:
        super().__init__()
        self.latent_size, self.action_size = latent_size, action_size
        self.hidden_size, self.mixtures, self.start_flag = hidden_size, mixtures, start_flag
        self.lstm = nn.LSTM(latent_size + action_size + int(start_flag), hidden_size, batch_first=True)
        self.mixture_head = nn.Linear(hidden_size, 3 * latent_size * mixtures)
        self.reward_head = nn.Linear(hidden_size, 1) if reward_head else None
        self.termination_head = nn.Linear(hidden_size, 1) if termination_head else None
        # The paper's LSTM has one bias vector; PyTorch's second one stays zero. Forget gate bias 1 (Jozefowicz 2015).
        _, _, bias, second_bias = self.lstm.all_weights[0]
        nn.init.zeros_(second_bias).requires_grad_(False)
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias[hidden_size : 2 * hidden_size] = 1.0

    @property
    def trainable_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def initial_state(self, lanes: int) -> State:
        """The state at the start of an episode: zeros, ``[lanes, hidden_size]`` each."""
        zeros = self.mixture_head.weight.new_zeros(lanes, self.hidden_size, dtype=torch.float32)
        return zeros, zeros.clone()

    def forward(
        self, z: Tensor, action: Tensor, state: State | None = None, dropout: Tensor | None = None
    ) -> tuple[Prediction, State]:
        """Predict along a sequence.

        Args:
            z: ``[N, T, latent_size]``; action: ``[N, T, action_size]``; state: before the first step, or zeros.
            dropout: a mask ``[N, hidden_size]`` on what the heads see, the same in every step; see
                :func:`dropout_mask`.

        Returns:
            For every t, the prediction of ``z[t+1], reward[t], terminated[t]`` (``[N, T, ...]``), and the state after
            the last step.
        """
        inputs, inner = [z, action], None if state is None else (state[0][None], state[1][None])
        if self.start_flag:
            flags = z.new_zeros(*z.shape[:2], 1)
            flags[:, 0] = 1.0 if state is None else at_start(state)
            inputs.append(flags)
        # Under autocast cuDNN's LSTM computes in float16, whatever type was asked for: M's gradients vanish in that.
        with torch.autocast("cuda", enabled=False) if z.is_cuda else nullcontext():
            output, (h, c) = self.lstm(torch.cat(inputs, dim=-1), inner)
        return self.predict(output if dropout is None else output * dropout[:, None]), (h[0], c[0])

    def advance(self, z: Tensor, action: Tensor, state: State) -> State:
        """One step of the LSTM for ``z [N, latent_size]`` and ``action [N, action_size]``.

        Written out because a call of ``nn.LSTM`` for a single step costs more than its arithmetic.
        """
        h, c = state
        input_weights, recurrent_weights, bias, _ = self.lstm.all_weights[0]
        inputs = [z, action, at_start(state)] if self.start_flag else [z, action]
        gates = torch.addmm(bias, torch.cat(inputs, dim=1).to(bias.dtype), input_weights.t())
        i, f, g, o = gates.addmm_(h.to(bias.dtype), recurrent_weights.t()).float().chunk(4, dim=1)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        return torch.sigmoid(o) * torch.tanh(c), c

    def predict(self, output: Tensor) -> Prediction:
        """The heads: LSTM output ``[..., hidden_size]`` -> prediction ``[..., ...]``."""
        # In memory the component comes before the dimension: work on one component is then work on whole rows.
        shape = (*output.shape[:-1], 3, self.mixtures, self.latent_size)
        output = output.to(self.mixture_head.weight.dtype)
        logits, mean, log_std = self.mixture_head(output).float().view(shape).transpose(-1, -2).unbind(-3)
        return Prediction(
            Mixture(logits, mean, log_std),
            None if self.reward_head is None else self.reward_head(output).squeeze(-1).float(),
            None if self.termination_head is None else self.termination_head(output).squeeze(-1).float(),
        )
