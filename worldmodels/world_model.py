"""V and M as one object with four verbs: encode, step, decode, and (in ``dream.py``) dream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.actions import ActionSpec
from rollouts.artifacts import config_from_dict, file_hash
from rollouts.envs import EnvConfig, resolve
from rollouts.errors import UserError
from rollouts.rounds import located, newest_round
from rollouts.stage import Stage
from worldmodels.checkpoint import load_tensors, load_weights
from worldmodels.latents import LatentEpisode
from worldmodels.mdn_rnn import MDNRNN, State, sample_mixture
from worldmodels.pictures import to_float, to_uint8
from worldmodels.training import generator_for
from worldmodels.vae import ConvVAE, Encoder, fast_encoder

WARM_UP = 50
"""Real steps that M watches before a dream starts in the middle of an episode."""


@dataclass(frozen=True)
class DreamStarts:
    """Moments from which dreams begin: what V saw there, and what M remembered.

    ``warm`` is False for starts of episodes (memory zero), True for moments in their middle, reached with real
    frames and actions.
    """

    mean: Tensor  #: [N, Z]
    logvar: Tensor  #: [N, Z]
    h: Tensor  #: [N, H]
    c: Tensor  #: [N, H]
    warm: Tensor  #: [N] bool

    def __len__(self) -> int:
        return len(self.mean)

    def tensors(self) -> dict[str, Tensor]:
        """For a safetensors file, at half precision."""
        return {
            "mean": self.mean.half(),
            "logvar": self.logvar.half(),
            "h": self.h.half(),
            "c": self.c.half(),
            "warm": self.warm,
        }

    @classmethod
    def load(cls, path: Path, device: torch.device) -> DreamStarts:
        tensors = {name: value.to(device) for name, value in load_tensors(path).items()}
        return cls(
            tensors["mean"].float(),
            tensors["logvar"].float(),
            tensors["h"].float(),
            tensors["c"].float(),
            tensors["warm"].bool(),
        )

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
        return DreamStarts(self.mean[keep], self.logvar[keep], self.h[keep], self.c[keep], self.warm[keep])

    @classmethod
    @torch.inference_mode()
    def gather(cls, model: WorldModel, episodes: Sequence[LatentEpisode], count: int, seed: int) -> DreamStarts:
        """Half at starts of episodes, half at random moments after up to :data:`WARM_UP` real steps.

        Moments are drawn evenly over all steps, so the rare places (off the road) appear as often as they occurred.
        """
        rng = np.random.default_rng(seed)
        share = np.array([len(episode) for episode in episodes], float)
        rows: list[tuple[int, int]] = [(int(i), 0) for i in rng.integers(len(episodes), size=max(count // 2, 1))]
        for i in rng.choice(len(episodes), size=max(count - len(rows), 1), p=share / share.sum()):
            rows.append((int(i), int(rng.integers(1, len(episodes[i]) + 1)) - 1))
        device, generator = model.device, generator_for(seed, 0)
        states = model.initial_state(len(rows))
        for back in range(WARM_UP, 0, -1):
            # Lane by lane the last WARM_UP steps before the moment; lanes that are not there yet keep a zero state.
            use = torch.tensor([moment - back >= 0 for _, moment in rows], device=device)
            at = [(i, max(moment - back, 0)) for i, moment in rows]
            z = torch.tensor(np.stack([episodes[i].mean[t] for i, t in at]), device=device).float()
            spread = torch.tensor(np.stack([episodes[i].logvar[t] for i, t in at]), device=device).float()
            z = z + torch.exp(0.5 * spread) * torch.randn(z.shape, generator=generator).to(device)
            action = torch.tensor(np.stack([episodes[i].actions[t] for i, t in at]), device=device)
            h, c = model.mdnrnn.advance(z, action, states)
            states = (torch.where(use[:, None], h, states[0]), torch.where(use[:, None], c, states[1]))
        mean = torch.tensor(np.stack([episodes[i].mean[t] for i, t in rows]), device=device).float()
        logvar = torch.tensor(np.stack([episodes[i].logvar[t] for i, t in rows]), device=device).float()
        warm = torch.tensor([t > 0 for _, t in rows], device=device)
        return cls(mean, logvar, states[0], states[1], warm)


class WorldModel:
    """V + M: sees, remembers and foresees, for many lanes at once.

    Args:
        env: the world it models; action_spec: how that world is acted in.
        observation_hash: the preprocessing of the frames it was fitted to.
        starts: moments from which dreams begin; None for a model that only watches.
    """

    def __init__(
        self,
        vae: ConvVAE,
        mdnrnn: MDNRNN,
        env: EnvConfig,
        action_spec: ActionSpec,
        observation_hash: str,
        starts: DreamStarts | None = None,
        seed: int = 0,
    ) -> None:
        self.vae, self.mdnrnn = vae.eval(), mdnrnn.eval()
        self.env, self.action_spec, self.observation_hash, self.starts = env, action_spec, observation_hash, starts
        self.generator = generator_for(seed, 0)
        self._fast_encoder: Encoder | None = None

    @classmethod
    def load(cls, run: Path | str, device: torch.device | str = "cpu", fast: bool = False) -> WorldModel:
        """Load V and M of a run directory's newest finished round, or of ``pretrained/NAME``.

        Args:
            fast: encode with :func:`worldmodels.vae.fast_encoder` where it can be had.

        Raises:
            UserError: a stage is missing or damaged, or M was fitted to another V.
        """
        path = located(run)
        return cls.from_folder(newest_round(path, "mdnrnn") or path, device, fast)

    @classmethod
    def from_folder(cls, run: Path, device: torch.device | str = "cpu", fast: bool = False) -> WorldModel:
        """As :meth:`load`, from exactly this folder: one round of a run."""
        device = torch.device(device)
        if not run.exists():
            raise UserError(f"There is no run at {run}.")
        vae_stage = Stage.require(run, "vae", "train_vae.py")
        stage = Stage.require(run, "mdnrnn", "train_mdnrnn.py")
        manifest = stage.manifest
        weights = vae_stage.path / "weights.safetensors"
        if weights.exists() and manifest["vae"] != file_hash(weights):
            raise UserError(f"{stage.path} was fitted to another V than the one in {vae_stage.path}; fit M again.")
        vae = ConvVAE(**vae_stage.manifest["architecture"])
        load_weights(vae, weights)
        spec = config_from_dict(ActionSpec, manifest["action_spec"])
        mdnrnn = MDNRNN(**manifest["architecture"])
        load_weights(mdnrnn, stage.path / "weights.safetensors")
        starts_file = stage.path / "starts.safetensors"
        model = cls(
            vae.on(device),
            mdnrnn.to(device),
            config_from_dict(EnvConfig, manifest["env"]),
            spec,
            manifest["observation_hash"],
            DreamStarts.load(starts_file, device) if starts_file.exists() else None,
        )
        model.use_fast_encoder(fast)
        return model

    def __getstate__(self) -> dict[str, Any]:
        """For a copy in another process; it makes a fast encoder of its own if this model has one."""
        return {**self.__dict__, "_fast_encoder": None, "fast": self._fast_encoder is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fast = state.pop("fast")
        self.__dict__.update(state)
        self.use_fast_encoder(fast)

    def use_fast_encoder(self, fast: bool) -> None:
        """Encode with :func:`worldmodels.vae.fast_encoder` from now on, where it can be had; or no longer."""
        self._fast_encoder = fast_encoder(self.vae) if fast else None

    def act_through(self, env: EnvConfig) -> WorldModel:
        """From now on its controllers drive the pedals that ``env`` asks for, whatever drove when M was fitted.

        Raises:
            UserError: the action vector there is not M's.
        """
        theirs = resolve(env).action
        ours = (self.action_spec.low, self.action_spec.high)
        if theirs is not None and (theirs.low, theirs.high) != ours:
            raise UserError(
                f"{env.id} takes action vectors between {theirs.low} and {theirs.high}, M was fitted to ones between "
                f"{ours[0]} and {ours[1]}. Use the model's own environment, or fit a model for this one."
            )
        self.action_spec = replace(self.action_spec, pedals=theirs.pedals if theirs else ())
        return self

    @property
    def device(self) -> torch.device:
        return self.mdnrnn.mixture_head.weight.device

    @property
    def latent_size(self) -> int:
        return self.vae.latent_size

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """uint8 frames ``[N, 64, 64, 3]`` -> mean and log variance ``[N, latent_size]``."""
        if self._fast_encoder is not None:
            return self._fast_encoder(torch.as_tensor(frames))
        return self.vae.encode(to_float(frames, self.device))

    @torch.inference_mode()
    def decode(self, z: Tensor) -> NDArray[np.uint8]:
        """``[N, latent_size]`` -> uint8 frames ``[N, 64, 64, 3]``."""
        return to_uint8(self.vae.decode(z))

    def initial_state(self, lanes: int) -> State:
        """M's memory at the start of an episode."""
        return self.mdnrnn.initial_state(lanes)

    @torch.inference_mode()
    def remember(self, z: Tensor, action: Tensor, state: State) -> State:
        """M's memory after seeing ``z`` and doing ``action``; what acting in the real world needs of M."""
        return self.mdnrnn.advance(z, action, state)

    @torch.inference_mode()
    def step(
        self,
        z: Tensor,
        action: Tensor,
        state: State,
        temperature: float = 1.0,
        noise: tuple[Tensor, Tensor] | None = None,
        dropout: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Imagine one step for N lanes.

        Args:
            z: ``[N, latent_size]``; action: ``[N, action_size]``; state: M's memory.
            temperature: divides the mixture's logits and multiplies its variances; 0 takes the likeliest mean.
            noise: (uniform, normal), each ``[N, latent_size]``; drawn from the model's generator when None.
            dropout: a mask ``[N, hidden_size]`` on M's output, see :func:`worldmodels.mdn_rnn.dropout_mask`.

        Returns:
            next z ``[N, latent_size]``, reward ``[N]`` (1 without a reward head), probability of the end ``[N]``
            (0 without a termination head), next state.

        Raises:
            UserError: the temperature is negative.
        """
        if temperature < 0:
            raise UserError(f"The temperature cannot be negative, got {temperature}.")
        if noise is None:
            noise = self.noise(len(z), self.generator)
        state = self.mdnrnn.advance(z, action, state)
        prediction = self.mdnrnn.predict(state[0] if dropout is None else state[0] * dropout)
        following = sample_mixture(prediction.mixture, temperature, *noise)
        reward = torch.ones(len(z), device=z.device) if prediction.reward is None else prediction.reward
        end = torch.zeros_like(reward) if prediction.termination is None else torch.sigmoid(prediction.termination)
        return following, reward, end, state

    def noise(self, lanes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Uniform and normal noise for one step of ``lanes`` lanes, from a generator on the CPU or the device."""
        shape = (lanes, self.latent_size)
        return (
            torch.rand(shape, generator=generator, device=generator.device).to(self.device),
            torch.randn(shape, generator=generator, device=generator.device).to(self.device),
        )
