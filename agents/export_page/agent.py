"""An agent as the page needs it: V's decoder, M, C, moments to begin from, and words for those who see it first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.agent import Agent
from agents.controller import LinearController
from agents.export_page.networks import layers_of
from agents.export_page.tensors import Tensors
from agents.export_page.words import words_for
from agents.networks import NetworkController
from agents.standardiser import SD_LIMIT
from agents.viewing.human import FULL_TURN, action_names, bindings
from agents.viewing.moments import step_seconds
from rollouts.envs.presets import resolve
from rollouts.errors import UserError
from worldmodels.dream import join_features
from worldmodels.dynamics import Dynamics
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.starts import DreamStarts
from worldmodels.training.randomness import generator_for

USUAL_HORIZON = 1000  #: decisions of a dream of a world that sets no limit
STARTS = 23  #: moments to begin from; with the choice of any, three rows of eight
FORESIGHT = 40  #: decisions dreamed from every moment, to see how promising it is
EFFECT = 2.0  #: standard deviations by which a latent is moved to see what it does


@torch.inference_mode()
def describe_agent(agent: Agent, starts: int = STARTS, title: str | None = None) -> dict[str, Any]:
    """Everything of an agent that goes into ``model.js``.

    Args:
        starts: moments to begin from that are kept, as different as can be.
        title: what the page is called; by default its world.

    Raises:
        UserError: M is no LSTM, C is of no kind that is known here, or there are no moments to begin from.
    """
    model, tensors = agent.model, Tensors()
    if model.starts is None:
        raise UserError(f"The world model in {agent.folder} has no moments to begin from; fit M again to export it.")
    if starts < 1:
        raise UserError(f"A page needs at least one moment to begin from, got --starts {starts}.")
    chosen = _different(model.starts, starts)
    moments = {"mean": chosen.mean, "logvar": chosen.logvar, **chosen.state}
    world, spec = resolve(agent.env), model.action_spec
    words = words_for(world)
    return {
        "kind": "agent",
        "title": title or words.title,
        "agent": agent.folder.name,
        "words": {"world": words.world, "total": words.total},
        "latents": model.latent_size,
        "horizon": world.max_decisions or USUAL_HORIZON,
        "seconds": step_seconds(agent.env),
        "action": {
            **{name: getattr(spec, name) for name in ("kind", "low", "high", "scale", "offset")},
            "driven": spec.driven,
            "pedals": [asdict(pedal) for pedal in spec.pedals],
            "names": action_names(agent.env, spec),
            "keys": bindings(agent.env, spec),
            "fullTurn": FULL_TURN,
        },
        "decoder": [
            layer.json(tensors)
            for layer in layers_of([model.vae.expand, model.vae.decoder, nn.Sigmoid()], model.latent_size)
        ],
        "mdnrnn": _mdnrnn(model.mdnrnn, tensors),
        "controller": _controller(agent, tensors),
        "starts": {
            "count": len(chosen),
            "warm": chosen.warm.tolist(),
            "promising": _promising(agent, chosen),
            **{name: tensors.add(_array(part)) for name, part in moments.items()},
        },
        "effects": _effects(agent, chosen),
        "parameters": {
            "V": sum(parameter.numel() for parameter in model.vae.parameters()),
            "M": model.mdnrnn.trainable_parameters,
            "C": agent.controller.parameter_count,
        },
        **tensors.json(),
    }


def _mdnrnn(mdnrnn: Dynamics, tensors: Tensors) -> dict[str, Any]:
    """M with its two products joined into one matrix each: [inputs, h] to the gates, h to all heads."""
    if not isinstance(mdnrnn, MDNRNN):
        raise UserError(f"The page can dream with an LSTM as M only, and this agent's is a {type(mdnrnn).__name__}.")
    if mdnrnn.members > 1:
        raise UserError(f"The page can dream with one M only, and this agent's has {mdnrnn.members} members.")
    input_weights, recurrent_weights, bias, _ = mdnrnn.lstm.all_weights[0]
    heads = [head for head in (mdnrnn.mixture_head, mdnrnn.reward_head, mdnrnn.termination_head) if head is not None]
    return {
        "latents": mdnrnn.latent_size,
        "actions": mdnrnn.action_size,
        "hidden": mdnrnn.hidden_size,
        "mixtures": mdnrnn.mixtures,
        "startFlag": mdnrnn.start_flag,
        "rewardHead": mdnrnn.reward_head is not None,
        "terminationHead": mdnrnn.termination_head is not None,
        "weights": {
            "lstm": tensors.add(_array(torch.cat([input_weights.t(), recurrent_weights.t()]))),
            "lstmBias": tensors.add(_array(bias)),
            "heads": tensors.add(_array(torch.cat([head.weight for head in heads]).t())),
            "headsBias": tensors.add(_array(torch.cat([head.bias for head in heads]))),
        },
    }


def _controller(agent: Agent, tensors: Tensors) -> dict[str, Any]:
    controller = agent.controller
    if isinstance(controller, LinearController):
        has_bias, activation, output = controller.bias, "tanh", "squash"
    elif isinstance(controller, NetworkController):
        has_bias, activation, output = True, controller.spec.activation, controller.spec.output
    else:
        raise UserError(f"A page cannot act with a {type(controller).__name__}; it knows linear ones and networks.")
    layers, start = [], 0
    for rows, columns in controller.shapes:
        weights = agent.parameters[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
        matrix, bias = (weights[:, :-1], weights[:, -1]) if has_bias else (weights, None)
        layers.append(
            {
                "inputs": matrix.shape[1],
                "outputs": rows,
                "weight": tensors.add(_array(matrix)),
                "bias": None if bias is None else tensors.add(_array(bias)),
            }
        )
    standardiser = controller.standardiser
    scale = standardiser and {name: tensors.add(_array(getattr(standardiser, name))) for name in ("mean", "sd")}
    return {
        **{"features": agent.spec.features, "standardiser": scale, "limit": SD_LIMIT},
        **{"layers": layers, "activation": activation, "output": output},
    }


def _different(starts: DreamStarts, count: int) -> DreamStarts:
    """Moments that look as different as can be: each next one is the farthest, in z, from all before it."""
    chosen = [0]
    distance = (starts.mean - starts.mean[0]).square().sum(1)
    while len(chosen) < min(count, len(starts)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (starts.mean - starts.mean[chosen[-1]]).square().sum(1))
    return starts[torch.tensor(chosen, device=starts.mean.device)]


def _promising(agent: Agent, starts: DreamStarts) -> list[int]:
    """The half of the moments after which most is to be earned, as M sees it: seeds choose among them.

    The most different moments are often strange ones (a car lost in the grass), a poor first sight of a dream.
    """
    model, generator = agent.model, generator_for(0, 0)
    z, state = starts.mean, starts.state
    alive, earned = torch.ones(len(starts), device=z.device), torch.zeros(len(starts), device=z.device)
    action = torch.zeros(len(starts), model.action_spec.size, device=z.device)
    for _ in range(FORESIGHT):
        features = join_features(z, model.outputs(state), agent.spec.features, action)
        action = agent.controller.act(agent.parameters, features)
        z, reward, end, state = model.step(z, action, state, 1.0, model.noise(len(z), generator))
        alive = alive * (1 - end)
        earned = earned + alive * reward
    return sorted(earned.argsort(descending=True, stable=True)[: -(-len(starts) // 2)].tolist())


def _effects(agent: Agent, starts: DreamStarts) -> list[float]:
    """How much of the picture every latent changes: mean absolute difference in [0, 1] between -2 and 2."""
    base, size = starts.mean[:4], agent.model.latent_size
    effects = []
    for unit in range(size):
        low, high = base.clone(), base.clone()
        low[:, unit], high[:, unit] = -EFFECT, EFFECT
        change = agent.model.vae.decode(high) - agent.model.vae.decode(low)
        effects.append(round(float(change.abs().mean()), 5))
    return effects


def _array(tensor: Tensor) -> Any:
    return np.asarray(tensor.detach().float().cpu())
