"""Agents that Stable-Baselines3 trained, in ``worldmodels/Dream-v0`` or on real features, as agents of this package.

Only layers are taken over: a wrapped agent is saved as safetensors, watched, and scored like any other, and needs
neither Stable-Baselines3 nor a pickle to be loaded.

    model = PPO("MlpPolicy", gymnasium.make("worldmodels/Dream-v0", run="runs/car"))
    model.learn(100_000)
    wrap(model, "runs/car").save(Path("runs/car-ppo"))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from agents.agent import Agent
from agents.networks import Activation, NetworkSpec, Output, flatten
from rollouts.errors import UserError
from worldmodels.dream import Features, feature_kinds, feature_size
from worldmodels.world_model import WorldModel

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


def wrap(model: BaseAlgorithm, run: str | Path, features: Features | None = None) -> Agent:
    """An agent whose C is the deterministic actor of a model with an ``MlpPolicy``: PPO, A2C, SAC, TD3 or DDPG.

    Args:
        run: the run directory, or ``pretrained/NAME``, in whose dream or on whose features it was trained.
        features: what it saw; None finds out by their number.

    Raises:
        UserError: it is of another kind, saw other features, or normalised observations outside of its network.
    """
    if model.get_vec_normalize_env() is not None:
        raise UserError("This model saw observations normalised by VecNormalize; to wrap it, train it on plain ones.")
    layers, output = _actor(model)
    parts = [getattr(part, "features_extractor", None) for part in (model.policy, getattr(model.policy, "actor", None))]
    if any(list(part.parameters()) for part in parts if part is not None):
        raise UserError("This policy learned a features extractor of its own; only plain MlpPolicies can be wrapped.")
    *hidden, last = [layer for layer in layers if isinstance(layer, nn.Linear)]
    between = {type(layer) for layer in layers if not isinstance(layer, nn.Linear | nn.Flatten | nn.Identity)}
    if not between <= ACTIVATIONS.keys() or len(between) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in between))
        raise UserError(f"Layers of one kind, ReLU or Tanh, are expected between linear ones, got {names}.")
    activation = ACTIVATIONS[between.pop()] if between else "relu"
    world = WorldModel.load(run)
    inputs = (hidden[0] if hidden else last).in_features
    sizes = {kind: feature_size(world, kind) for kind in feature_kinds(world)}
    kinds = [kind for kind, size in sizes.items() if size == inputs]
    if (features is None and len(kinds) != 1) or (features is not None and features not in kinds):
        raise UserError(
            f"The policy takes {inputs} numbers; what is seen of {run} has "
            + ", ".join(f"{size} ('{kind}')" for kind, size in sizes.items())
            + ". Name the features it was trained on."
        )
    spec = NetworkSpec(features or kinds[0], "mean", tuple(h.out_features for h in hidden), activation, output)
    return Agent.of(run, spec, flatten([(layer.weight, layer.bias) for layer in [*hidden, last]]))


def _actor(model: BaseAlgorithm) -> tuple[list[nn.Module], Output]:
    """The layers from observation to action, in order, and what becomes of their output."""
    policy: Any = model.policy
    if hasattr(policy, "mlp_extractor") and hasattr(policy, "action_net"):  # PPO, A2C
        if getattr(policy, "squash_output", False):
            raise UserError("A policy with squash_output cannot be wrapped; train it without.")
        return [*policy.mlp_extractor.policy_net, policy.action_net], "clip"
    actor = getattr(policy, "actor", None)
    if actor is not None and hasattr(actor, "latent_pi"):  # SAC: the mean, through tanh
        return [*actor.latent_pi, actor.mu], "scale"
    if actor is not None and isinstance(actor.mu, nn.Sequential):  # TD3, DDPG: the last tanh is that of the output
        return list(actor.mu)[:-1], "scale"
    names = f"{type(model).__name__} with {type(policy).__name__}"
    raise UserError(f"{names} cannot be wrapped; take PPO, A2C, SAC, TD3 or DDPG.")
