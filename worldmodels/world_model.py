"""V and M as one object with four verbs: encode, step, decode, and (in ``dream.py``) dream."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json
from rollouts.runs.layout import Run
from rollouts.runs.options import config_from_dict
from rollouts.runs.stage import Stage
from worldmodels.cores import make_dynamics
from worldmodels.dynamics import Dynamics, State
from worldmodels.mixture import Prediction, sample_mixture
from worldmodels.pictures import to_float, to_uint8
from worldmodels.starts import DreamStarts
from worldmodels.training.checkpoint import built, load_weights
from worldmodels.training.precision import Format
from worldmodels.training.randomness import generator_for
from worldmodels.vae import ConvVAE, Encoder, fast_encoder
from worldmodels.value import Value


class WorldModel:
    """V + M: sees, remembers and foresees, for many lanes at once.

    Whether gradients are wanted is the caller's business (``torch.inference_mode``); loaded models are frozen.

    Args:
        env: the world it models; action_spec: how that world is acted in.
        observation_hash: the preprocessing of the frames it was fitted to.
        starts: moments from which dreams begin; None for a model that only watches.
        death_weight: what a step that ends an episode weighed against others when the termination head was fitted.
    """

    def __init__(
        self,
        vae: ConvVAE,
        mdnrnn: Dynamics,
        env: EnvConfig,
        action_spec: ActionSpec,
        observation_hash: str,
        starts: DreamStarts | None = None,
        seed: int = 0,
        death_weight: float = 1.0,
    ) -> None:
        self.vae, self.mdnrnn = vae.eval(), mdnrnn.eval()
        self.env, self.action_spec, self.observation_hash, self.starts = env, action_spec, observation_hash, starts
        self.value: Value | None = None  #: of what comes after a dream, if M was fitted with one
        self.generator, self.death_weight = generator_for(seed, 0), death_weight
        self._fast_encoder: Encoder | None = None

    @classmethod
    def load(cls, run: Path | str, device: torch.device | str = "cpu", fast: bool = False) -> WorldModel:
        """Load V and M of a run directory's newest finished round, or of ``pretrained/NAME``.

        Args:
            fast: encode with :func:`worldmodels.vae.fast_encoder` where it can be had.

        Raises:
            UserError: a stage is missing or damaged, or M was fitted to another V.
        """
        whole = Run.named(run)
        return cls.from_folder((whole.newest("mdnrnn") or whole).path, device, fast)

    @classmethod
    def from_folder(cls, run: Path, device: torch.device | str = "cpu", fast: bool = False) -> WorldModel:
        """As :meth:`load`, from exactly this folder: one round of a run."""
        device = torch.device(device)
        if not run.exists():
            raise UserError(f"There is no run at {run}.")
        vae_stage, stage = (stage.require() for stage in Run(run).model)
        manifest = stage.manifest
        vae = built(vae_stage, lambda shape: ConvVAE(**shape))
        load_weights(vae, vae_stage.weights)
        if manifest["vae"] != file_hash(vae_stage.weights):
            raise UserError(f"{stage.path} was fitted to another V than the one in {vae_stage.path}; fit M again.")
        spec = stage.described("action_spec", partial(config_from_dict, ActionSpec))
        mdnrnn = built(stage, make_dynamics)
        load_weights(mdnrnn, stage.weights)
        model = cls(
            vae.on(device),
            mdnrnn.to(device),
            recorded_env(manifest),
            spec,
            manifest["observation_hash"],
            DreamStarts.load(stage.starts, device) if stage.starts.exists() else None,
            death_weight=weight_of_deaths(stage),
        ).frozen()
        model.value = Value.load(stage.value, device) if stage.value.exists() else None
        model.use_fast_encoder(fast)
        return model

    def __getstate__(self) -> dict[str, Any]:
        """For a copy in another process; it makes a fast encoder of its own if this model has one."""
        return {**self.__dict__, "_fast_encoder": None, "fast": self._fast_encoder is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fast = state.pop("fast")
        self.__dict__.update(state)
        self.use_fast_encoder(fast)

    def frozen(self) -> WorldModel:
        """From now on no gradient reaches its weights: what is imagined costs no memory, whoever forgets to say so.

        Gradients still pass through :meth:`step` to actions and to whatever chose them.
        """
        self.vae.requires_grad_(False)
        self.mdnrnn.requires_grad_(False)
        return self

    def multiplying_in(self, precision: Format) -> WorldModel:
        """This model, or a copy of it whose M multiplies in bfloat16."""
        if precision == "float32":
            return self
        half = copy.copy(self)
        half.mdnrnn = copy.deepcopy(self.mdnrnn).bfloat16()
        return half

    def use_fast_encoder(self, fast: bool) -> None:
        """Encode with :func:`worldmodels.vae.fast_encoder` from now on, where it can be had; or no longer."""
        self._fast_encoder = fast_encoder(self.vae) if fast else None

    def act_through(self, env: EnvConfig) -> WorldModel:
        """From now on its controllers drive the pedals that ``env`` asks for, whatever drove when M was fitted.

        Raises:
            UserError: the action vector there is not M's.
        """
        action = resolve(env).action
        fitted = (self.action_spec.low, self.action_spec.high)
        if action is not None and (action.low, action.high) != fitted:
            raise UserError(
                f"{env.id} takes action vectors between {action.low} and {action.high}, M was fitted to ones between "
                f"{fitted[0]} and {fitted[1]}. Use the model's own environment, or fit a model for this one."
            )
        self.action_spec = replace(self.action_spec, pedals=action.pedals if action else ())
        return self

    @property
    def device(self) -> torch.device:
        return self.mdnrnn.mixture_head.weight.device

    @property
    def latent_size(self) -> int:
        return self.vae.latent_size

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

    def remember(self, z: Tensor, action: Tensor, state: State) -> State:
        """M's memory after seeing ``z`` and doing ``action``; what acting in the real world needs of M."""
        return self.mdnrnn.advance(z, action, state)

    def outputs(self, state: State) -> dict[str, Tensor]:
        """What a controller may see of M's memory, by names of one letter, ``[N, size]`` each."""
        return self.mdnrnn.outputs(state)

    def step(
        self,
        z: Tensor,
        action: Tensor,
        state: State,
        temperature: float = 1.0,
        noise: tuple[Tensor, Tensor] | None = None,
        dropout: Tensor | None = None,
        member: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Imagine one step for N lanes.

        Args:
            z: ``[N, latent_size]``; action: ``[N, action_size]``; state: M's memory.
            temperature: divides the mixture's logits and multiplies its variances; 0 takes the likeliest mean.
            noise: (uniform, normal), each ``[N, latent_size]``; drawn from the model's generator when None.
            dropout: a mask ``[N, hidden_size]`` on M's output, see :func:`worldmodels.dynamics.dropout_mask`.
            member: which of M's members is followed in each lane, ``[N]``; None follows all together.

        Returns:
            next z ``[N, latent_size]``, reward ``[N]`` (1 without a reward head), probability of the end ``[N]``
            (0 without a termination head) as M was taught it, the rare class weighted, next state.

        Raises:
            UserError: the temperature is negative.
        """
        following, prediction, state = self.foresee(z, action, state, temperature, noise, dropout, member)
        reward = torch.ones(len(z), device=z.device) if prediction.reward is None else prediction.reward
        end = torch.zeros_like(reward) if prediction.termination is None else torch.sigmoid(prediction.termination)
        return following, reward, end, state

    def foresee(
        self,
        z: Tensor,
        action: Tensor,
        state: State,
        temperature: float = 1.0,
        noise: tuple[Tensor, Tensor] | None = None,
        dropout: Tensor | None = None,
        member: Tensor | None = None,
    ) -> tuple[Tensor, Prediction, State]:
        """As :meth:`step`, with all that M says of it: the next z, the prediction, the next state."""
        if temperature < 0:
            raise UserError(f"The temperature cannot be negative, got {temperature}.")
        if noise is None:
            noise = self.noise(len(z), self.generator)
        state = self.mdnrnn.advance(z, action, state)
        prediction = self.mdnrnn.predict(state, dropout, member)
        return sample_mixture(prediction.mixture, temperature, *noise).contiguous(), prediction, state

    def end_probability(self, prediction: Prediction) -> Tensor:
        """The probability of the end ``[N]`` that the termination head's logit stands for.

        Where deaths weigh w times as much as other steps, the head of least cross-entropy says ``p w / (p w + 1 - p)``
        for a probability p: the logit of p plus log w, which is taken off here.
        """
        assert prediction.termination is not None
        return torch.sigmoid(prediction.termination - math.log(self.death_weight))

    def noise(self, lanes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Uniform and normal noise for one step of ``lanes`` lanes, from a generator on the CPU or the device."""
        shape = (lanes, self.latent_size)
        return (
            torch.rand(shape, generator=generator, device=generator.device).to(self.device),
            torch.randn(shape, generator=generator, device=generator.device).to(self.device),
        )


def weight_of_deaths(stage: Stage) -> float:
    """What deaths weighed when an M was fitted, as its stage says; 1 where nothing does."""
    if "death_weight" in stage.manifest:
        return float(stage.manifest["death_weight"])
    options = stage.config_file  # of a stage that was made before manifests said it
    return float(read_json(options).get("death_weight", 1.0)) if options.exists() else 1.0
