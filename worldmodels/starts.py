"""Moments from which dreams begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rollouts.episodes import falls
from rollouts.errors import UserError
from worldmodels.data.latents import LatentEpisode
from worldmodels.dynamics import Dynamics, State, take, where
from worldmodels.training.checkpoint import load_tensors
from worldmodels.training.randomness import generator_for

WARM_UP = 50
"""Real steps that M watches before a dream starts in the middle of an episode."""
BAD_STEPS, BAD_SHARE = 10, 0.1
"""A moment is a bad one if the reward of so many steps before it is among the lowest so large a share of all."""


@dataclass(frozen=True)
class DreamStarts:
    """Moments from which dreams begin: what V saw there, and what M remembered.

    ``warm`` is False for starts of episodes (memory zero), True for moments in their middle, reached with real
    frames and actions. Of a variable that was watched, ``level`` says where it stood, and ``falls`` by how much it fell
    when it did: all recorded falls in their order, thinned out or repeated to as many as there are moments.
    """

    mean: Tensor  #: [N, Z]
    logvar: Tensor  #: [N, Z]
    state: State  #: of N lanes
    warm: Tensor  #: [N] bool
    level: Tensor | None = None  #: [N]
    falls: Tensor | None = None  #: [N, of the whole of them]

    def __len__(self) -> int:
        return len(self.mean)

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file, at half precision; M's memory under its own names."""
        halves = {"mean": self.mean, "logvar": self.logvar, **self.state}
        watched = {} if self.level is None or self.falls is None else {"level": self.level, "falls": self.falls}
        return {name: value.half() for name, value in halves.items()} | {"warm": self.warm} | watched

    @classmethod
    def load(cls, path: Path, device: torch.device) -> DreamStarts:
        """As :meth:`tensors` were saved."""
        tensors = {name: value.to(device) for name, value in load_tensors(path).items()}
        if missing := {"mean", "logvar", "warm"} - tensors.keys():
            raise UserError(f"{path} is damaged (it has no {', '.join(sorted(missing))}); fit M again.")
        mean, logvar, warm = (tensors.pop(name) for name in ("mean", "logvar", "warm"))
        level, falls = tensors.pop("level", None), tensors.pop("falls", None)
        state = {name: value.float() for name, value in tensors.items()}
        return cls(mean.float(), logvar.float(), state, warm.bool(), level, falls)

    def __getitem__(self, kept: Tensor | slice) -> DreamStarts:
        """Some of them (indices, a mask or a slice)."""
        level, state = None if self.level is None else self.level[kept], take(self.state, kept)
        return DreamStarts(self.mean[kept], self.logvar[kept], state, self.warm[kept], level, self.falls)

    def only(self, kind: str) -> DreamStarts:
        """Restrict to ``episode`` starts or to ``recorded`` (warm) moments; ``any`` keeps both.

        Raises:
            UserError: the kind is unknown, or there are no such starts.
        """
        if kind not in ("any", "episode", "recorded"):
            raise UserError(f"Dreams start at 'episode', 'recorded' or 'any' moments, not {kind!r}.")
        keep = torch.ones_like(self.warm) if kind == "any" else self.warm == (kind == "recorded")
        if not keep.any():
            raise UserError(f"There are no {kind!r} starts among the {len(self)} that were kept; try 'any'.")
        return self[keep]

    @classmethod
    @torch.inference_mode()
    def gather(
        cls, mdnrnn: Dynamics, episodes: Sequence[LatentEpisode], count: int, seed: int, bad: float = 0.0
    ) -> DreamStarts:
        """Half at starts of episodes, half at random moments after up to :data:`WARM_UP` real steps.

        Moments are drawn evenly over all steps, so the rare places (off the road) appear as often as they occurred.

        Args:
            bad: share of the moments that are drawn from bad ones instead: where little was earned, a car on the grass,
                say. Dreams from there teach the way back.
        """
        rng = np.random.default_rng(seed)
        share = np.array([len(episode) for episode in episodes], float)
        rows: list[tuple[int, int]] = [(int(i), 0) for i in rng.integers(len(episodes), size=max(count // 2, 1))]
        moments = max(count - len(rows), 1)
        worst = bad_moments(episodes) if bad else []
        chosen = rng.integers(len(worst), size=round(bad * moments)) if worst else np.zeros(0, int)
        for i in rng.choice(len(episodes), size=moments - len(chosen), p=share / share.sum()):
            rows.append((int(i), int(rng.integers(1, len(episodes[i]) + 1)) - 1))
        rows += [worst[number] for number in chosen]
        device, generator = mdnrnn.mixture_head.weight.device, generator_for(seed, 0)
        states = mdnrnn.initial_state(len(rows))
        for back in range(WARM_UP, 0, -1):
            # Lane by lane the last WARM_UP steps before the moment; lanes that are not there yet keep a zero state.
            use = torch.tensor([moment - back >= 0 for _, moment in rows], device=device)
            at = [(i, max(moment - back, 0)) for i, moment in rows]
            z = torch.tensor(np.stack([episodes[i].mean[t] for i, t in at]), device=device).float()
            spread = torch.tensor(np.stack([episodes[i].logvar[t] for i, t in at]), device=device).float()
            z = z + torch.exp(0.5 * spread) * torch.randn(z.shape, generator=generator).to(device)
            action = torch.tensor(np.stack([episodes[i].actions[t] for i, t in at]), device=device)
            states = where(use, mdnrnn.advance(z, action, states), states)
        mean = torch.tensor(np.stack([episodes[i].mean[t] for i, t in rows]), device=device).float()
        logvar = torch.tensor(np.stack([episodes[i].logvar[t] for i, t in rows]), device=device).float()
        warm = torch.tensor([t > 0 for _, t in rows], device=device)
        watched = [episode.watched for episode in episodes if episode.watched is not None]
        if len(watched) < len(episodes) or not (fallen := np.concatenate([falls(one) for one in watched])).any():
            return cls(mean, logvar, states, warm)
        level = torch.tensor([float(watched[i][t]) for i, t in rows], device=device)
        sizes = np.sort(fallen[fallen > 0])
        places = (np.arange(len(rows)) + 0.5) / len(rows) * len(sizes)
        return cls(mean, logvar, states, warm, level, torch.tensor(sizes[places.astype(int)], device=device))


def bad_moments(episodes: Sequence[LatentEpisode]) -> list[tuple[int, int]]:
    """Moments (episode, step) before which hardly anything was earned, see :data:`BAD_STEPS`; none if all are alike."""
    moments, earned = list[tuple[int, int]](), list[float]()
    for number, episode in enumerate(episodes):
        total = np.concatenate([[0.0], episode.rewards.astype(np.float64).cumsum()])
        for step in range(BAD_STEPS, len(episode)):
            moments.append((number, step))
            earned.append(float(total[step] - total[step - BAD_STEPS]))
    if not earned or max(earned) - min(earned) < 1e-9:
        return []
    limit = np.quantile(earned, BAD_SHARE)
    return [moment for moment, value in zip(moments, earned, strict=True) if value <= limit]
