"""Experience from elsewhere, for a learner that can use anybody's: another run's, and what was recorded for V and M.

A learner that begins with it has seen what earns something before its own first step (Ball et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.controller import Spec
from agents.learning.experience import Trace
from agents.learning.learner import Task
from agents.networks import spec_of
from rollouts.envs.actions import ActionSpec
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json
from rollouts.runs.layout import Run
from worldmodels.data.frames import split
from worldmodels.data.latents import LatentEpisode, encode_sources
from worldmodels.dream import join_features
from worldmodels.world_model import WorldModel

LIMIT = 0.999  #: of an intended action: its raw output has to be a number


def experienced(name: str, task: Task, layers: Sequence[int]) -> Run:
    """The run whose experience is to be taken over, if it is of use for this task.

    Raises:
        UserError: it is not of an SAC on the same features of the same world model, with critics of these layers.
    """
    run = Run(task.folder.parent).home.teacher if name == "teacher" else Run.named(name)
    if name == "teacher" and not run.controller.complete:
        raise UserError(
            f"--controller.sac.experience teacher: there is no finished teacher in {run.path}; --controller.teacher "
            "sac makes one. Or name another run."
        )
    stage = run.controller.require()
    spec, learned = spec_of(stage.manifest["spec"]), read_json(stage.config_file)
    if learned.get("learner") != "sac" or tuple(learned["sac"]["layers"]) != tuple(layers):
        raise UserError(
            f"--controller.sac.experience {name}: C was not learned by SAC there, with critics of "
            f"--controller.sac.layers {' '.join(map(str, layers))}."
        )
    seen = (task.spec.features, task.spec.latent)
    model = {one.name: file_hash(one.weights) for one in Run(task.run or run.home.path).model}
    if (spec.features, spec.latent) != seen or any(stage.manifest["inputs"][part] != model[part] for part in model):
        raise UserError(
            f"--controller.sac.experience {name}: it was learned on another V or M, or C saw other features there "
            f"(--controller.spec.features {spec.features} --controller.spec.latent {spec.latent})."
        )
    return run


def recorded(folder: Path, model: WorldModel, spec: Spec) -> list[Trace]:
    """The episodes of a run or a round that its V and M learned from, as its controller would have lived through them.

    Args:
        spec: what the controller sees. Of z it gets the mean.

    Raises:
        UserError: there are none.
    """
    run = Run(folder)
    sources, _ = split([run.episodes])
    hashed = file_hash(run.vae.weights)
    return relive(encode_sources(model.vae, hashed, sources, run.latents / "training", model.device), model, spec)


@torch.inference_mode()
def relive(episodes: list[LatentEpisode], model: WorldModel, spec: Spec) -> list[Trace]:
    """Episodes ``[T]`` as traces: M remembers along each of them, side by side."""
    means = pad_sequence([torch.from_numpy(one.mean).float() for one in episodes]).to(model.device)  # [T + 1, N, Z]
    actions = pad_sequence([torch.from_numpy(one.actions) for one in episodes]).to(model.device)  # [T, N, A]
    state, before, seen = model.initial_state(len(episodes)), torch.zeros_like(actions[0]), list[Tensor]()
    for t, z in enumerate(means):
        seen.append(join_features(z, model.outputs(state), spec.features, before).half().cpu())
        if t < len(actions):
            state, before = model.remember(z, actions[t], state), actions[t]
    features, meant = torch.stack(seen, 1), intended(actions, model.action_spec).transpose(0, 1).cpu()
    return [
        Trace(
            features[lane, : len(one) + 1].clone(),
            meant[lane, : len(one)].clone(),
            torch.from_numpy(one.rewards),
            bool(one.terminated[-1]),
        )
        for lane, one in enumerate(episodes)
    ]


def intended(actions: Tensor, spec: ActionSpec) -> Tensor:
    """The tanh of raw outputs ``[..., outputs]`` that make these action vectors ``[..., A]``, or nearly these.

    Where both ends of a pedal are pressed at once, which no raw output does, the harder one counts.
    """
    scale, offset, low, high = (actions.new_tensor(values) for values in (spec.scale, spec.offset, spec.low, spec.high))
    meant = ((actions - offset) / scale).clamp(-LIMIT, LIMIT)
    shares = (actions - low) / (high - low)
    for pedal in spec.pedals:
        positive, negative = shares[..., pedal.positive], shares[..., pedal.negative]
        p = torch.where(negative > positive, -negative - pedal.slack, positive)
        raw = torch.atanh(p.clamp(-LIMIT, LIMIT)) - pedal.offset
        meant[..., pedal.positive] = torch.tanh(raw).clamp(-LIMIT, LIMIT)
    return meant[..., spec.driven]
