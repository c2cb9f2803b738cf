"""An agent: V, M and C from one run directory, acting in one environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.controller import ControllerSpec, LinearController
from rollouts.envs.config import EnvConfig, Frame
from rollouts.errors import UserError
from rollouts.runs.layout import PRETRAINED, located, newest_round
from rollouts.runs.options import config_from_dict
from rollouts.runs.stage import Stage
from worldmodels.dream import join_features
from worldmodels.dynamics import State
from worldmodels.training.checkpoint import load_tensors
from worldmodels.vae import reparameterise
from worldmodels.world_model import WorldModel


def find_agent(name: str | Path) -> Path:
    """The folder that holds an agent: a run directory (its newest finished round), or ``pretrained/NAME``.

    Raises:
        UserError: there is none.
    """
    path = located(name)
    if folder := newest_round(path, "controller"):
        return folder
    if not path.exists():
        known = ", ".join(pretrained_agents()) or "none"
        raise UserError(f"There is no agent at {name}. Give a run directory or a pretrained agent ({known}).")
    Stage.require(path, "controller", "train-controller")
    raise AssertionError("unreachable: require names what is missing")


def pretrained_agents() -> list[str]:
    """The agents that come with the package, as ``pretrained/NAME``."""
    return [
        f"pretrained/{folder.name}" for folder in sorted(PRETRAINED.glob("*")) if Stage(folder, "controller").complete
    ]


@dataclass(frozen=True)
class Agent:
    """A world model and a controller for it."""

    folder: Path
    model: WorldModel
    spec: ControllerSpec
    controller: LinearController
    parameters: Tensor  #: [P]
    env: EnvConfig

    @classmethod
    def load(cls, name: str | Path, device: torch.device | str = "cpu") -> Agent:
        """Load the newest agent of a run directory, or ``pretrained/NAME``; nothing is unpickled.

        Raises:
            UserError: a stage is missing, damaged, or does not fit the others.
        """
        return cls.from_folder(find_agent(name), device)

    @classmethod
    def from_folder(cls, folder: Path, device: torch.device | str = "cpu", fast: bool = False) -> Agent:
        """As :meth:`load`, from exactly this folder: one round of a run."""
        manifest = Stage(folder, "controller").manifest
        model = WorldModel.from_folder(folder, device, fast)
        spec = config_from_dict(ControllerSpec, manifest["spec"])
        controller = spec.build(model)
        parameters = load_tensors(folder / "controller" / "weights.safetensors")["selected"].float().to(device)
        if len(parameters) != controller.parameter_count:
            raise UserError(
                f"The controller in {folder} has {len(parameters)} parameters, its world model asks for "
                f"{controller.parameter_count}; evolve it again."
            )
        return cls(folder, model, spec, controller, parameters, config_from_dict(EnvConfig, manifest["env"]))

    def begin(self, seed: int) -> Acting:
        """Start acting in one episode."""
        return Acting(self, seed)


class Acting:
    """An agent in the middle of one episode: what it sees (z) and what it remembers (M's state)."""

    def __init__(self, agent: Agent, seed: int) -> None:
        self.agent, self.rng = agent, np.random.default_rng(seed)
        self.state: State = agent.model.initial_state(1)
        self.z: Tensor = torch.zeros(1, agent.model.latent_size, device=agent.model.device)

    @torch.inference_mode()
    def act(self, frame: Frame) -> NDArray[np.float32]:
        """See a frame and choose the action vector ``[A]``. Call :meth:`remember` with what was done in the end."""
        mean, logvar = self.agent.model.encode(frame[None])
        self.z = mean
        if self.agent.spec.latent == "sample":
            noise = torch.from_numpy(self.rng.standard_normal(mean.shape, dtype=np.float32)).to(mean.device)
            self.z = reparameterise(mean, logvar, noise)
        features = join_features(self.z, self.agent.model.outputs(self.state), self.agent.spec.features)
        return self.agent.controller.act(self.agent.parameters, features)[0].cpu().numpy()

    def remember(self, action: NDArray[np.float32]) -> None:
        """Advance M's memory by the action that was done."""
        tensor = torch.from_numpy(np.asarray(action, np.float32))[None].to(self.z.device)
        self.state = self.agent.model.remember(self.z, tensor, self.state)
