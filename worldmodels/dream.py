"""The dream: the world model as a world of its own, for evolution and for any Gymnasium client.

:class:`Dream` runs many lanes on tensors and is what controllers are evolved in. :class:`DreamVectorEnv` and
:class:`DreamEnv` show the same lanes to the outside as ``gymnasium.make_vec`` / ``gymnasium.make`` of
``worldmodels/Dream-v0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.dynamics import dropout_mask, put, take, tile
from worldmodels.mixture import Prediction
from worldmodels.starts import DreamStarts
from worldmodels.training.randomness import generator_for
from worldmodels.vae import reparameterise
from worldmodels.world_model import WorldModel

Features = str
"""z, followed by letters of M's outputs in the order in which they are seen: z, zh or zch for an LSTM; a at the end is
the previous action."""
StartKind = Literal["any", "episode", "recorded"]
EndKind = Literal["cutoff", "sampled", "paid"]
FallKind = Literal["ignored", "rolled", "paid"]
END_PROBABILITY = 0.5  #: the dream ends above it; a cut-off is "more stable than sampling" (the paper)


def feature_size(model: WorldModel, features: Features) -> int:
    """Length of what a controller sees: ``[z]``, ``[z, h]`` or ``[z, c, h]``, and of the previous action (``a``).

    Raises:
        UserError: M has no such outputs.
    """
    sizes = {name: part.shape[1] for name, part in model.outputs(model.initial_state(1)).items()}
    letters = features[1:].removesuffix("a")
    if not features.startswith("z") or not sizes.keys() >= set(letters) or len(set(letters)) < len(letters):
        names = ", ".join(sizes)
        raise UserError(
            f"What is seen is z, alone or followed by outputs of M ({names}), and a for the previous action, not "
            f"{features!r}."
        )
    remembered = sum(sizes[name] for name in letters)
    return model.latent_size + remembered + (model.action_spec.size if features.endswith("a") else 0)


def feature_kinds(model: WorldModel) -> list[Features]:
    """What may be seen beside the previous action: z, alone, with h, or with another output of M and h."""
    others = [name for name in model.outputs(model.initial_state(1)) if name != "h"]
    return ["z", "zh", *(f"z{name}h" for name in others)]


def join_features(z: Tensor, outputs: Mapping[str, Tensor], features: Features, action: Tensor | None = None) -> Tensor:
    """``[N, Z]`` and M's outputs -> ``[N, feature_size]``, in the order of their names; the paper's is z, c, h.

    Args:
        action: the previous action ``[N, A]``, zero before the first one, for features with an ``a``.
    """
    if features == "z":
        return z
    parts = outputs if action is None else {**outputs, "a": action}
    return torch.cat([z, *(parts[name] for name in features[1:])], dim=1)


class Dream:
    """Lanes of imagination, advanced together.

    Args:
        horizon: steps after which a lane is truncated.
        starts: where dreams begin: ``episode`` starts, ``recorded`` (warm) moments, or ``any``.
        dropout: share of M's output units that a lane does without; which ones is drawn anew for every episode, so
            that no flaw of one M can be relied on.
        ends: ``cutoff`` ends a lane where the termination head, as it was taught, says more than one half; with the
            rare class weighted w times that is a true probability of 1 / (1 + w), so that dreams are deadlier than the
            world. ``sampled`` draws the end with the true probability: dreams last as long as the world, with its luck.
            ``paid``: a step's reward is minus that probability, and nothing ends a lane but its horizon: without the
            luck of the draw, far fewer steps tell good from bad.
        falls: what the falls of the watched variable do, whose probability M's fall head says. ``rolled``: they are
            drawn, their sizes as recorded ones, and a lane ends where the variable is used up, whatever the termination
            head says. ``paid``: as with ends.
        value: add, where a lane reaches the horizon, what is still to come (:mod:`worldmodels.value`).

    Where M has several members, a lane follows one of them: in an episode that begins by :meth:`reset`, number
    ``seed % members``, so that consecutive seeds hear all of them equally often.
    """

    def __init__(
        self,
        model: WorldModel,
        temperature: float = 1.0,
        horizon: int = 1000,
        starts: StartKind = "any",
        features: Features = "zh",
        dropout: float = 0.0,
        ends: EndKind = "cutoff",
        falls: FallKind = "ignored",
        value: bool = False,
    ) -> None:
        if temperature < 0:
            raise UserError(f"The temperature cannot be negative, got {temperature}.")
        if horizon < 1:
            raise UserError(f"The horizon of a dream must be at least one step, got {horizon}.")
        if not 0 <= dropout < 1:
            raise UserError(f"The dropout of a dream must be at least 0 and below 1, got {dropout}.")
        if model.starts is None:
            raise UserError("This world model was saved without starting points; fit M again to dream with it.")
        if value and model.value is None:
            raise UserError("This M was fitted without a value; fit it again with --mdnrnn.value 0.97, say.")
        if value and "paid" in (ends, falls):
            raise UserError("A value is of rewards: it cannot be added where ends or falls are paid.")
        self.value = model.value if value else None
        feature_size(model, features)  # refuses what M does not offer
        self.model, self.temperature, self.horizon, self.features_kind = model, temperature, horizon, features
        self.starts: DreamStarts = model.starts.only(starts)
        self.dropout, self.ends, self.falls = dropout, ends, falls
        if ends == "paid" and model.mdnrnn.termination_head is None:
            raise UserError("Ends cannot be paid: this M has no termination head.")
        if falls != "ignored" and model.mdnrnn.fall_head is None:
            raise UserError(f"Falls cannot be {falls}: this M has no fall head; fit one with --mdnrnn.fall-head.")
        if falls == "rolled" and (self.starts.level is None or self.starts.falls is None):
            raise UserError("Falls cannot be rolled: none were recorded; collect episodes with --env.watch.")

    def reset(self, seeds: Sequence[int], copies: int = 1) -> None:
        """Begin ``copies`` x ``len(seeds)`` lanes; lane i has seed ``i % len(seeds)``.

        Lanes of one seed share their start and all their noise, whatever is done in them, so that candidates are
        compared on equal luck.
        """
        self.generators = [generator_for(int(seed), 0) for seed in seeds]
        chosen = torch.cat([torch.randint(len(self.starts), (1,), generator=g) for g in self.generators])
        chosen = chosen.to(self.model.device)
        normal = torch.cat([torch.randn((1, self.model.latent_size), generator=g) for g in self.generators])
        z = reparameterise(self.starts.mean[chosen], self.starts.logvar[chosen], normal.to(self.model.device))
        self.z = z.repeat(copies, 1)
        self.state = tile(take(self.starts.state, chosen), copies)
        self.action = torch.zeros(len(self.z), self.model.action_spec.size, device=self.model.device)
        self.luck = torch.arange(len(seeds), device=self.model.device).repeat(copies)
        self.elapsed = torch.zeros(len(self.luck), dtype=torch.long, device=self.model.device)
        members = self.model.mdnrnn.members
        own = torch.tensor([int(seed) % members for seed in seeds], device=self.model.device)
        self.member = own.repeat(copies) if members > 1 else None
        masks = [self._mask(g) for g in self.generators] if self.dropout else []
        self.masks = torch.stack(masks).repeat(copies, 1) if masks else None
        self.level = None if self.starts.level is None else self.starts.level[chosen].repeat(copies)
        self._noise: list[tuple[Tensor, ...]] = []

    def features(self) -> Tensor:
        """What controllers see, ``[N, F]``."""
        return join_features(self.z, self.model.outputs(self.state), self.features_kind, self.action)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Advance all lanes by one step with ``actions [N, A]``.

        Returns:
            reward ``[N]``, terminated ``[N]`` (the end was predicted), truncated ``[N]`` (the horizon is reached).
        """
        uniform, normal, *luck = (part.t().index_select(1, self.luck).t() for part in self._next_noise())
        self.z, said, self.state = self.model.foresee(
            self.z, actions, self.state, self.temperature, (uniform, normal), self.masks, self.member
        )
        self.action = actions
        self.elapsed += 1
        reward = torch.ones(len(self.z), device=self.z.device) if said.reward is None else said.reward
        if self.falls == "paid":
            assert said.fall is not None
            reward = -torch.sigmoid(said.fall)
        elif self.falls == "ignored" and self.ends == "paid":
            reward = -self.model.end_probability(said)
        terminated = self._over(said, *luck)
        truncated = (self.elapsed >= self.horizon) & ~terminated
        if self.value is not None and truncated.any():
            worth = self.value(self.z, self.model.outputs(self.state)["h"])
            reward = torch.where(truncated, reward + worth, reward)
        return reward, terminated, truncated

    def _over(self, said: Prediction, luck: Tensor | None = None) -> Tensor:
        """Which lanes end in this step, ``[N]``; ``luck`` is two uniform numbers for each, where there is any in it."""
        if self.falls == "paid" or (self.falls == "ignored" and (self.ends == "paid" or said.termination is None)):
            return torch.zeros(len(self.z), dtype=torch.bool, device=self.z.device)
        if self.falls == "rolled":
            assert said.fall is not None
            assert luck is not None
            assert self.level is not None
            assert self.starts.falls is not None
            sizes = self.starts.falls[(luck[:, 1] * len(self.starts.falls)).long()]
            self.level = self.level - torch.where(luck[:, 0] < torch.sigmoid(said.fall), sizes, 0.0)
            return self.level <= 0
        if self.ends == "sampled":
            assert luck is not None
            return luck[:, 0] < self.model.end_probability(said)
        assert said.termination is not None
        return torch.sigmoid(said.termination) > END_PROBABILITY

    def keep(self, lanes: Tensor) -> None:
        """Go on with these lanes only (indices or a mask)."""
        self.z, self.luck, self.elapsed = self.z[lanes], self.luck[lanes], self.elapsed[lanes]
        self.state, self.action = take(self.state, lanes), self.action[lanes]
        self.masks = None if self.masks is None else self.masks[lanes]
        self.member = None if self.member is None else self.member[lanes]
        self.level = None if self.level is None else self.level[lanes]

    def restart(self, lanes: Tensor) -> None:
        """Begin anew in the masked lanes, each from a start drawn by its own generator."""
        begun, places = torch.nonzero(lanes).flatten(), list[int]()
        for lane in begun.tolist():
            generator = self.generators[lane]
            chosen = int(torch.randint(len(self.starts), (1,), generator=generator))
            places.append(chosen)
            noise = torch.randn(self.model.latent_size, generator=generator).to(self.model.device)
            self.z[lane] = reparameterise(self.starts.mean[chosen], self.starts.logvar[chosen], noise)
            self.elapsed[lane] = 0
            if self.level is not None and self.starts.level is not None:
                self.level[lane] = self.starts.level[chosen]
            if self.masks is not None:
                self.masks[lane] = self._mask(generator)
            if self.member is not None:
                self.member[lane] = torch.randint(self.model.mdnrnn.members, (1,), generator=generator)
        device = self.model.device
        begun, starts = begun.to(device), torch.tensor(places, device=device)
        self.state = put(self.state, begun, take(self.starts.state, starts))
        self.action = self.action.index_fill(0, begun, 0.0)

    def _mask(self, generator: torch.Generator) -> Tensor:
        return dropout_mask((self.model.mdnrnn.hidden_size,), self.dropout, generator).to(self.model.device)

    def _next_noise(self) -> tuple[Tensor, ...]:
        """Noise of every seed for one step, ``[seeds, Z]`` each; drawn 64 steps at a time to spare small calls.

        Where ends are a matter of luck, that too, ``[seeds, 2]``.
        """
        if not self._noise:
            block, size = 64, self.model.latent_size
            uniform = torch.stack([torch.rand((block, size), generator=g) for g in self.generators], 1)
            normal = torch.stack([torch.randn((block, size), generator=g) for g in self.generators], 1)
            drawn = [uniform, normal]
            if self.falls == "rolled" or self.ends == "sampled":
                drawn.append(torch.stack([torch.rand((block, 2), generator=g) for g in self.generators], 1))
            self._noise = list(zip(*(part.to(self.model.device) for part in drawn), strict=True))[::-1]
        return self._noise.pop()
