"""The weights that the authors of World Models published, as an agent of ours.

hardmaru/WorldModelsExperiments keeps V, M and C of both experiments as JSON: V and M as lists of the TensorFlow
variables in the order of their creation, whole numbers of ten-thousandths; C as a list whose first entry is its flat
vector of parameters. What differs from PyTorch:

* kernels are ``[height, width, in, out]`` (transposed: ``[height, width, out, in]``), features are flattened with the
  channels last, matrices are ``[in, out]``;
* the LSTM's four gates are input, candidate, forget, output (here input, forget, candidate, output), in one matrix for
  the input and the memory, and 1 is added to the forget gate outside of its bias;
* the head's numbers are ordered latent by latent, and in each by weights, means, deviations of its mixture; Take
  Cover's begins with the logit of the episode's end;
* C's bias comes first.

The pictures that they were fitted to are those of the presets ``carracing-2018`` and ``takecover-2018``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import PRESETS, identity
from rollouts.errors import UserError
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.starts import DreamStarts
from worldmodels.training.checkpoint import save_tensors
from worldmodels.vae import ConvVAE

UNIT = 10_000.0  #: V's and M's numbers are whole multiples of its inverse
MIXTURES = 5
Arrays = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Experiment:
    """One of the article's two."""

    world: str  #: the preset whose pictures it saw
    latents: int
    actions: int
    hidden: int
    spec: ControllerSpec
    ends: bool  #: M foresees the end, and is told where an episode starts


CAR = Experiment("carracing-2018", 32, 3, 256, ControllerSpec("zh"), ends=False)
DOOM = Experiment("takecover-2018", 64, 1, 512, ControllerSpec("zch", bias=False), ends=True)


def is_published(folder: Path) -> bool:
    """Whether a folder holds weights of this layout."""
    return folder.is_dir() and any(folder.rglob("vae.json")) and any(folder.rglob("rnn.json"))


def import_weights(folder: Path, run: Path, controller: Path | None = None) -> Path:
    """Write V, M and C of the published layout into ``run``, which then is an agent.

    Args:
        folder: holds ``vae.json``, ``rnn.json`` and ``*.best.json`` somewhere: ``carracing`` or ``doomrnn`` of the
            authors' repository.
        controller: C's file, if not the one that ends in ``.best.json``.

    Raises:
        UserError: a file is missing, or not of this layout.
    """
    files = {name: _only(folder, name) for name in ("vae.json", "rnn.json")}
    acting = controller or _only(folder, "*.best.json")
    seeing, dreaming = (_arrays(files[name]) for name in ("vae.json", "rnn.json"))
    experiment = next((e for e in (CAR, DOOM) if len(seeing) > 9 and seeing[9].shape == (e.latents,)), None)
    if experiment is None:
        raise UserError(f"{files['vae.json']} is neither CarRacing's V, with 32 latents, nor Take Cover's, with 64.")
    vae = _filled(files["vae.json"], ConvVAE(experiment.latents), vae_weights, seeing)
    mdnrnn = _filled(files["rnn.json"], _empty_m(experiment), mdn_rnn_weights, dreaming)
    weights = controller_weights(_parameters(acting), experiment, acting)
    _write(run, experiment, vae, mdnrnn, weights, _starts(folder, experiment), files_hash(files.values()))
    return run


def vae_weights(arrays: Arrays) -> dict[str, Tensor]:
    """V's variables by PyTorch's names: kernel and bias of four convolutions, mean, log variance, expansion, and four
    transposed convolutions."""
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    weights: dict[str, NDArray[np.float64]] = {}
    for number, (kernel, bias) in enumerate(pairs[:4]):
        weights |= {f"encoder.{2 * number}.weight": kernel.transpose(3, 2, 0, 1), f"encoder.{2 * number}.bias": bias}
    for name, (kernel, bias) in zip(("mean", "logvar"), pairs[4:6], strict=True):
        channels_first = kernel.reshape(2, 2, 256, -1).transpose(3, 2, 0, 1)
        weights |= {f"{name}.weight": channels_first.reshape(len(bias), -1), f"{name}.bias": bias}
    weights |= {"expand.weight": pairs[6][0].T, "expand.bias": pairs[6][1]}
    for number, (kernel, bias) in enumerate(pairs[7:11]):
        weights |= {f"decoder.{2 * number}.weight": kernel.transpose(3, 2, 0, 1), f"decoder.{2 * number}.bias": bias}
    return {name: torch.tensor(np.ascontiguousarray(value), dtype=torch.float32) for name, value in weights.items()}


def mdn_rnn_weights(arrays: Arrays) -> dict[str, Tensor]:
    """M's variables by PyTorch's names; CarRacing's begin with the head, Take Cover's with the LSTM."""
    pairs = [(arrays[0], arrays[1]), (arrays[2], arrays[3])]
    (kernel, bias), (head, head_bias) = sorted(pairs, key=lambda pair: pair[0].shape[0], reverse=True)
    hidden = len(head)
    gates = [kernel[:, gate * hidden : (gate + 1) * hidden] for gate in (0, 2, 1, 3)]
    biases = [bias[gate * hidden : (gate + 1) * hidden] for gate in (0, 2, 1, 3)]
    biases[1] = biases[1] + 1.0  # added to the forget gate in their cell
    matrix = np.concatenate(gates, axis=1).T
    weights: dict[str, NDArray[np.float64]] = {
        "lstm.weight_ih_l0": matrix[:, : len(kernel) - hidden],
        "lstm.weight_hh_l0": matrix[:, len(kernel) - hidden :],
        "lstm.bias_ih_l0": np.concatenate(biases),
        "lstm.bias_hh_l0": np.zeros(4 * hidden),
    }
    if len(head_bias) % (3 * MIXTURES) == 1:
        weights |= {"termination_head.weight": head[:, :1].T, "termination_head.bias": head_bias[:1]}
        head, head_bias = head[:, 1:], head_bias[1:]
    rows = np.concatenate([head, head_bias[None]]).reshape(hidden + 1, -1, 3, MIXTURES)
    ordered = rows.transpose(2, 3, 1, 0).reshape(-1, hidden + 1)  # part, component, latent
    weights |= {"mixture_head.weight": ordered[:, :-1], "mixture_head.bias": ordered[:, -1]}
    return {name: torch.tensor(np.ascontiguousarray(value), dtype=torch.float32) for name, value in weights.items()}


def controller_weights(parameters: NDArray[np.float64], experiment: Experiment, file: Path) -> Tensor:
    """C's flat vector in our order: for each action its weights, then its bias.

    Raises:
        UserError: it has another length.
    """
    actions, bias = experiment.actions, experiment.actions if experiment.spec.bias else 0
    inputs = experiment.latents + experiment.hidden * (len(experiment.spec.features) - 1)
    if len(parameters) != inputs * actions + bias:
        raise UserError(f"{file} has {len(parameters)} parameters; {inputs * actions + bias} were expected.")
    matrix = parameters[bias:].reshape(inputs, actions)
    rows = np.concatenate([matrix, parameters[None, :bias]]) if bias else matrix
    return torch.tensor(rows.T.reshape(-1), dtype=torch.float32)


def files_hash(files: Any) -> str:
    """Identifies the files that an agent was made from."""
    return " ".join(file_hash(file) for file in files)


def _empty_m(experiment: Experiment) -> MDNRNN:
    return MDNRNN(**_m_architecture(experiment))


def _m_architecture(experiment: Experiment) -> dict[str, Any]:
    return {
        "latent_size": experiment.latents,
        "action_size": experiment.actions,
        "hidden_size": experiment.hidden,
        "mixtures": MIXTURES,
        "reward_head": False,
        "termination_head": experiment.ends,
        "start_flag": experiment.ends,
    }


def _only(folder: Path, name: str) -> Path:
    files = sorted(folder.rglob(name))
    if len(files) != 1:
        raise UserError(
            f"{folder} holds {len(files) or 'no'} {name}; one is needed. Give the folder of one experiment of "
            "hardmaru/WorldModelsExperiments, carracing or doomrnn."
        )
    return files[0]


def _json(file: Path) -> list[Any]:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not readable as JSON ({error}).") from None
    if not isinstance(value, list) or not value:
        raise UserError(f"{file} holds no list of weights.")
    return value


def _arrays(file: Path) -> list[NDArray[np.float64]]:
    try:
        arrays = [np.array(part, np.float64) / UNIT for part in _json(file)]
    except (TypeError, ValueError) as error:
        raise UserError(f"{file} holds something else than lists of numbers ({error}).") from None
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"{file} holds numbers that are not finite.")
    return arrays


def _parameters(file: Path) -> NDArray[np.float64]:
    try:
        return np.array(_json(file)[0], np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UserError(f"{file} holds no list of C's parameters ({error}).") from None


def _filled(file: Path, module: nn.Module, name: Any, arrays: Arrays) -> nn.Module:
    try:
        module.load_state_dict(name(arrays))
    except (RuntimeError, ValueError, IndexError) as error:
        raise UserError(f"{file} is not of the published layout: {' '.join(str(error).split())}") from None
    return module


def _starts(folder: Path, experiment: Experiment) -> DreamStarts | None:
    """Where their dreams begin: means and log variances of first frames."""
    if not (files := sorted(folder.rglob("initial_z.json"))):
        return None
    arrays = _arrays(files[0])
    if len(arrays) != 2 or any(array.ndim != 2 or array.shape[1] != experiment.latents for array in arrays):
        raise UserError(f"{files[0]} does not hold means and log variances of {experiment.latents} latents.")
    mean, logvar = (torch.tensor(array, dtype=torch.float32) for array in arrays)
    state = _empty_m(experiment).initial_state(len(mean))
    return DreamStarts(mean, logvar, state, torch.zeros(len(mean), dtype=torch.bool))


def _write(
    run: Path,
    experiment: Experiment,
    vae: nn.Module,
    mdnrnn: nn.Module,
    weights: Tensor,
    starts: DreamStarts | None,
    origin: str,
) -> None:
    """The three stages of a run, as training would have left them."""
    env, preset = EnvConfig(experiment.world), PRESETS[experiment.world]
    inputs = {"observation_hash": preset.observation_hash, "imported": origin}
    v = Run(run).vae.open(VAEConfig(latent_size=experiment.latents), inputs)
    save_tensors(vae.state_dict(), v.weights)
    hash_of_v = file_hash(v.weights)
    v.finish(
        observation_hash=preset.observation_hash, architecture={"latent_size": experiment.latents}, weights=hash_of_v
    )
    options = MDNRNNConfig(
        hidden_size=experiment.hidden,
        reward_head=False,
        termination_head=experiment.ends,
        start_flag=experiment.ends,
        carry_state=experiment.ends,
    )
    m = Run(run).mdnrnn.open(options, {**inputs, "vae": hash_of_v})
    save_tensors(mdnrnn.state_dict(), m.weights)
    if starts is not None:
        save_tensors(starts.tensors(), m.starts)
    assert preset.action is not None
    m.finish(
        observation_hash=preset.observation_hash,
        vae=hash_of_v,
        weights=file_hash(m.weights),
        architecture=_m_architecture(experiment),
        env=config_to_dict(env),
        action_spec=asdict(preset.action),
    )
    c = Run(run).controller.open(
        ControllerConfig(spec=experiment.spec),
        {"mdnrnn": file_hash(m.weights), "vae": hash_of_v, "env": identity(env)},
    )
    save_tensors({name: weights.clone() for name in ("selected", "mean", "best")}, c.weights)
    c.finish(env=config_to_dict(env), spec=config_to_dict(experiment.spec), parameters=len(weights), imported=origin)
