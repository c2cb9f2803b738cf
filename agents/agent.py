"""An agent: V, M and C from one run directory, acting in one environment."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.controller import Controller, Spec
from agents.networks import spec_of
from agents.senses import Senses
from agents.standardiser import Standardiser
from rollouts.envs.config import EnvConfig, Frame
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError
from rollouts.runs.files import file_hash
from rollouts.runs.layout import PRETRAINED, Run, runs_in
from rollouts.runs.options import config_to_dict
from worldmodels.dynamics import State
from worldmodels.training.checkpoint import is_whole, load_tensors, save_tensors
from worldmodels.world_model import WorldModel


def find_agent(name: str | Path) -> Path:
    """The folder that holds an agent: a run directory (its newest finished round), or ``pretrained/NAME``.

    Raises:
        UserError: there is none.
    """
    run = Run.named(name)
    if newest := run.newest("controller"):
        return newest.path
    if not run.path.exists():
        names = ", ".join(pretrained_agents()) or "none"
        raise UserError(f"There is no agent at {name}. Give a run directory or a pretrained agent ({names}).")
    run.controller.require()
    raise AssertionError("unreachable: require names what is missing")


def pretrained_agents() -> list[str]:
    """The agents that come with the package, as ``pretrained/NAME``."""
    return [f"pretrained/{run.path.name}" for run in runs_in(PRETRAINED) if run.controller.complete]


@dataclass(frozen=True)
class Agent:
    """A world model and a controller for it."""

    folder: Path
    model: WorldModel
    spec: Spec
    controller: Controller
    parameters: Tensor  #: [P]
    env: EnvConfig
    validation: float | None = None  #: what it scored over validation episodes when it was chosen

    @classmethod
    def load(cls, name: str | Path, device: torch.device | str = "cpu") -> Agent:
        """Load the newest agent of a run directory, or ``pretrained/NAME``; nothing is unpickled.

        Raises:
            UserError: a stage is missing, damaged, or does not fit the others.
        """
        return cls.from_folder(find_agent(name), device)

    @classmethod
    def of(
        cls, run: str | Path, spec: Spec, parameters: Tensor, env: EnvConfig | None = None, device: str = "cpu"
    ) -> Agent:
        """An agent that was trained elsewhere, on the world model of a run directory or of ``pretrained/NAME``.

        Args:
            parameters: ``[P]``, as ``spec`` lays them out.
            env: where it acts; None for the world that the model is of.

        Raises:
            UserError: the weights are not as many as the controller has.
        """
        whole = Run.named(run)
        folder = (whole.newest("mdnrnn") or whole).path
        env = env or WorldModel.from_folder(folder).env
        model = WorldModel.from_folder(folder, device).act_through(env)
        controller = spec.build(model)
        if len(parameters) != controller.parameter_count:
            raise UserError(f"The controller has {controller.parameter_count} weights, got {len(parameters)}.")
        return cls(folder, model, spec, controller, parameters.float().to(device), env)

    @classmethod
    def from_folder(
        cls, folder: Path, device: torch.device | str = "cpu", fast: bool = False, seeing: Path | None = None
    ) -> Agent:
        """As :meth:`load`, from exactly this folder: one round of a run.

        Args:
            seeing: the folder of V and M, if it is not the one that the controller's folder leads to.
        """
        stage = Run(folder).controller
        manifest = stage.manifest
        env, validation = recorded_env(manifest), manifest.get("validation")
        model = WorldModel.from_folder(seeing or folder, device, fast)
        try:
            model = model.act_through(env)
        except UserError as error:
            raise UserError(f"{stage.manifest_file} does not fit M: {error}") from error
        spec = stage.described("spec", spec_of)
        _require_its_own_model(folder, manifest, seeing or folder)
        kept = load_tensors(stage.weights)
        if "selected" not in kept:
            raise UserError(f"{stage.weights} holds no controller; evolve it again.")
        controller = spec.build(model, Standardiser.among(kept))
        parameters = kept["selected"].float().to(device)
        if len(parameters) != controller.parameter_count:
            raise UserError(
                f"The controller in {folder} has {len(parameters)} parameters, its world model asks for "
                f"{controller.parameter_count}; evolve it again."
            )
        return cls(folder, model, spec, controller, parameters, env, validation)

    @property
    def fingerprint(self) -> str:
        """Identifies its weights: the hash of their file, if this is the agent that its folder holds."""
        file = Run(self.folder).controller.weights
        kept = load_tensors(file)["selected"] if file.exists() else None
        if kept is not None and torch.equal(kept.float(), self.parameters.float().cpu()):
            return file_hash(file)
        return hashlib.sha256(self.parameters.float().cpu().numpy().tobytes()).hexdigest()[:12]

    def save(self, run: Path) -> Path:
        """Write the agent as a run directory of its own, from which :meth:`load` and all commands take it.

        V and M are copied from where they came from, their weights as safetensors as C's; nothing is pickled.

        Raises:
            UserError: there is a run at ``run`` already.
        """
        if run.exists() and any(run.iterdir()):
            raise UserError(f"There is something at {run} already; save the agent to a directory of its own.")
        for source, target in zip(Run(self.folder).model, Run(run).model, strict=True):
            target.path.mkdir(parents=True, exist_ok=True)
            for file in (source.config_file, source.manifest_file, source.weights, source.starts, source.value):
                if file.exists():
                    shutil.copyfile(file, target.path / file.name)
        inputs = {stage.name: file_hash(stage.weights) for stage in Run(run).model}
        stage = Run(run).controller.open(self.spec, inputs)
        standardiser = self.controller.standardiser
        tensors = {"selected": self.parameters, **(standardiser.tensors() if standardiser else {})}
        save_tensors(tensors, stage.weights)
        stage.finish(env=config_to_dict(self.env), spec=config_to_dict(self.spec), parameters=len(self.parameters))
        return run

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Agent:
        """Load an agent that lies in a folder or on Hugging Face's hub; see :mod:`agents.hub`.

        Raises:
            UserError: ``huggingface_hub`` is missing, or what is there is no agent that fits together.
        """
        from agents.hub import HubAgent  # an extra, and agents.hub imports this module

        return HubAgent.from_pretrained(name, **options).agent

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write ``config.json``, safetensors and a card with metadata; see :mod:`agents.hub`.

        Raises:
            UserError: ``huggingface_hub`` is missing, or there is something else in the folder.
        """
        from agents.hub import HubAgent  # an extra, and agents.hub imports this module

        HubAgent(self).save_pretrained(folder, **options)

    def __repr__(self) -> str:
        world = f"{self.env.id}, {len(self.parameters):,} weights on [{', '.join(self.spec.features)}]"
        return f"Agent({str(self.folder)!r}: {world})"

    def begin(self, seed: int) -> Acting:
        """Start acting in one episode."""
        return Acting(self, seed)


def _require_its_own_model(folder: Path, manifest: Mapping[str, Any], seeing: Path) -> None:
    """Refuse a controller beside a V or an M that it was not made on.

    A release notes the hashes of its own files; those that C was made from are of full precision, elsewhere.

    Raises:
        UserError: it names the two.
    """
    controller = Run(folder).controller.path
    for stage in Run(seeing).model:
        name, weights = stage.name, stage.weights
        noted = manifest.get(name) or (manifest["inputs"].get(name) if is_whole(weights) else None)
        if noted is not None and noted != file_hash(weights):
            raise UserError(
                f"The controller in {controller} was made on another {name} ({noted}) than the one in {stage.path} "
                f"({file_hash(weights)}): delete the folder {controller} and evolve it again."
            )


class Acting:
    """An agent in the middle of one episode: what it sees (z) and what it remembers (M's state)."""

    def __init__(self, agent: Agent, seed: int) -> None:
        self.agent = agent
        self.senses = Senses(agent.model, agent.spec.features, agent.spec.latent, [seed])

    @property
    def z(self) -> Tensor:
        """What it saw last, ``[1, Z]``."""
        return self.senses.z

    @property
    def state(self) -> State:
        """M's memory."""
        return self.senses.state

    @torch.inference_mode()
    def act(self, frame: Frame) -> NDArray[np.float32]:
        """See a frame and choose the action vector ``[A]``. Call :meth:`remember` with what was done in the end."""
        self.senses.see(np.stack([frame]))  # frame[None] has other strides, and V other last bits
        return self.agent.controller.act(self.agent.parameters, self.senses.features)[0].cpu().numpy()

    @torch.inference_mode()
    def remember(self, action: NDArray[np.float32]) -> None:
        """Advance M's memory by the action that was done."""
        self.senses.remember(torch.from_numpy(np.asarray(action, np.float32))[None].to(self.z.device))
