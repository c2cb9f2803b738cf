"""How M goes along a window while it learns: fed with what was seen, and at its end with its own samples."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from worldmodels.data.latents import Windows
from worldmodels.dynamics import Dynamics, State
from worldmodels.mixture import sample_mixture
from worldmodels.training.randomness import generator_for

Noise = tuple[Tensor, Tensor]


def follow(
    dynamics: Dynamics, windows: Windows, state: State | None, dropout: Tensor | None = None, noise: Noise | None = None
) -> tuple[Tensor, State]:
    """The outputs along windows, ``[N, L, hidden_size]``, and the memory after all that was seen.

    Fed with reality alone, M is never where its own errors lead, which is where a dream is after some steps. So in the
    last F steps its input is a sample of what it said before, and the target what really came (scheduled sampling,
    Bengio et al. 2015; no gradient flows through the samples). The memory that is carried on is that of the real
    inputs.

    Args:
        state: before the windows, or None at the start of episodes.
        dropout: a mask ``[N, hidden_size]`` on the outputs.
        noise: uniform and normal, ``[F, N, latent_size]`` each; None feeds with reality to the end.
    """
    z, actions = windows.z[:, :-1], windows.actions
    state = dynamics.initial_state(len(z)) if state is None else state
    sure = z.shape[1] - (0 if noise is None else len(noise[0]))
    outputs, at = dynamics.unroll(z[:, :sure], actions[:, :sure], state)
    outputs = outputs if dropout is None else outputs * dropout[:, None]
    if noise is None:
        return outputs, at
    with torch.no_grad():
        _, after = dynamics.unroll(z[:, sure:], actions[:, sure:], at)
    alone, output = [outputs], outputs[:, -1]
    for step, (uniform, normal) in enumerate(zip(*noise, strict=True)):
        with torch.no_grad():
            own = sample_mixture(dynamics.heads(output).mixture, 1.0, uniform, normal)
        at = dynamics.advance(own, actions[:, sure + step], at)
        output = dynamics.outputs(at)["h"]
        output = output if dropout is None else output * dropout
        alone.append(output[:, None])
    return torch.cat(alone, dim=1), after


def draw_noise(steps: int, windows: Windows, part: slice, generator: torch.Generator) -> Noise:
    """Noise for ``steps`` free steps of a joint batch, of which this process gets its part."""
    lanes, _, size = windows.z.shape
    drawn = (draw((steps, lanes, size), generator=generator)[:, part] for draw in (torch.rand, torch.randn))
    uniform, normal = (noise.to(windows.z.device) for noise in drawn)
    return uniform, normal


class Bootstrap:
    """Which episodes every member learns from, and how often: the Poisson bootstrap, ``[members, episodes]``.

    Each member sees every episode a number of times that is Poisson distributed with mean 1, as if the episodes had
    been drawn with replacement for it (Efron 1979; Oza & Russell 2001).
    """

    def __init__(self, members: int, episodes: int, seed: int, device: torch.device) -> None:
        mean = torch.ones(members, episodes)
        self.weights = torch.poisson(mean, generator=generator_for(seed, 2**40)).to(device)

    def of(self, windows: Windows, member: int) -> Windows:
        """The same windows, of which each counts as often as its episode does for a member."""
        times = self.weights[member, windows.episode]
        return dataclasses.replace(windows, counts=windows.counts * times[:, None])
