"""V and M for other programs: as ONNX, or as programs of torch.export, each held to the original when it is written.

Three files: ``encoder`` (V sees), ``decoder`` (V draws) and ``dynamics`` (M's step: remember, then foresee), and
``model.json``, which says what goes in and out. Batches may have any size.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rollouts.envs.presets import resolve
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path, write_json
from rollouts.runs.options import config_to_dict
from worldmodels.dynamics import Dynamics
from worldmodels.vae import FRAME_SIZE, ConvVAE
from worldmodels.world_model import WorldModel

Format = Literal["onnx", "torch"]
SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}
TOLERANCE = 1e-4  #: most that an exported number may differ from the original's, beside 1


class See(nn.Module):
    """Frames ``[N, 3, 64, 64]`` in [0, 1] to the mean and the log variance of z."""

    def __init__(self, vae: ConvVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.vae.encode(frames)


class Draw(nn.Module):
    """z ``[N, latent_size]`` to frames ``[N, 3, 64, 64]`` in [0, 1]."""

    def __init__(self, vae: ConvVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor) -> Tensor:
        return self.vae.decode(z)


class Foresee(nn.Module):
    """One step of M: z, the action and the parts of its memory to the forecast and the new memory.

    The parts are in the order of :attr:`names`; the forecast is the mixture's logits, means and log deviations
    ``[N, latent_size, K]`` each, then the reward and the logits of the end and of a fall ``[N]``, where M has these
    heads.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics
        self.names = tuple(dynamics.initial_state(1))

    @property
    def outputs(self) -> list[str]:
        """What :meth:`forward` returns."""
        heads = {name: getattr(self.dynamics, f"{name}_head") for name in ("reward", "termination", "fall")}
        parts = [f"next_{name}" for name in self.names]
        return ["logits", "mean", "log_std", *(name for name, head in heads.items() if head is not None), *parts]

    def forward(self, z: Tensor, action: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        state = self.dynamics.advance(z, action, dict(zip(self.names, memory, strict=True)))
        foreseen = self.dynamics.predict(state)
        heads = [value for value in (foreseen.reward, foreseen.termination, foreseen.fall) if value is not None]
        return (*foreseen.mixture, *heads, *(state[name] for name in self.names))


@dataclass(frozen=True)
class Part:
    """A network to export, with inputs to try it on."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]


def export_model(model: WorldModel, folder: Path, form: Format) -> list[Path]:
    """Write V and M into ``folder``.

    Raises:
        UserError: the packages for ONNX are missing, or what was written computes something else.
    """
    if form == "onnx":
        _require_onnx()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for part in parts_of(model):
        path = folder / f"{part.name}{SUFFIX[form]}"
        with torch.no_grad(), _quietly(), atomic_path(path) as temporary:
            program = _traced(part)
            if form == "torch":
                torch.export.save(program, temporary.with_suffix(".pt2"))
                temporary.with_suffix(".pt2").replace(temporary)
            else:
                torch.onnx.export(
                    program,
                    (),
                    temporary,
                    input_names=list(part.inputs),
                    output_names=part.outputs,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            _hold(part, temporary, form)
        written.append(path)
    write_json(folder / "model.json", _facts(model))
    return [*written, folder / "model.json"]


def run_exported(path: Path, form: Format, inputs: dict[str, Tensor]) -> list[np.ndarray[Any, Any]]:
    """What an exported network answers."""
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        return [np.asarray(value) for value in session.run(None, {k: v.numpy() for k, v in inputs.items()})]
    with path.open("rb") as file:  # a name that does not end in .pt2 is refused
        module = torch.export.load(file).module()
    with torch.no_grad():
        answer = module(*inputs.values())
    return [value.numpy() for value in (answer if isinstance(answer, tuple) else (answer,))]


def parts_of(model: WorldModel) -> list[Part]:
    """V's two halves and M, on the CPU, with three lanes of inputs."""
    vae, dynamics, lanes = model.vae.cpu().eval(), model.mdnrnn.cpu().eval(), 3
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(lanes, model.latent_size, generator=generator)
    action = torch.rand(lanes, model.action_spec.size, generator=generator)
    memory = {name: part.clone() for name, part in dynamics.initial_state(lanes).items()}
    with torch.no_grad():
        memory = {name: part.clone() for name, part in dynamics.advance(z, action, memory).items()}
    foresee = Foresee(dynamics)
    frames = torch.rand(lanes, 3, FRAME_SIZE, FRAME_SIZE, generator=generator)
    return [
        Part("encoder", See(vae), {"frames": frames}, ["mean", "logvar"]),
        Part("decoder", Draw(vae), {"z": z}, ["frames"]),
        Part("dynamics", foresee, {"z": z, "action": action, **memory}, foresee.outputs),
    ]


def _traced(part: Part) -> torch.export.ExportedProgram:
    """The network as a program for batches of any size."""
    try:
        return torch.export.export(part.module, tuple(part.inputs.values()), dynamic_shapes=_any_batch(part))
    except torch._dynamo.exc.UserError as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"The {part.name} cannot be exported for batches of any size: {reason}") from error


def _hold(part: Part, path: Path, form: Format) -> None:
    """Refuse what does not compute the same, in a batch of another size than it was exported with."""
    inputs = {name: torch.cat([value, value.flip(0)]) for name, value in part.inputs.items()}
    originals = part.module(*inputs.values())
    originals = originals if isinstance(originals, tuple) else (originals,)
    for name, expected, actual in zip(part.outputs, originals, run_exported(path, form, inputs), strict=True):
        difference = float((np.abs(expected.numpy() - actual) / (1 + np.abs(expected.numpy()))).max())
        if not difference <= TOLERANCE:
            raise UserError(f"The exported {part.name} differs from the original by {difference:g} in {name}.")


def _facts(model: WorldModel) -> dict[str, Any]:
    """What a program needs to know that uses the files."""
    preset = resolve(model.env)
    return {
        "frames": f"[N, 3, {FRAME_SIZE}, {FRAME_SIZE}] float32 in [0, 1], RGB",
        "observation": {"crop": preset.crop, "size": preset.size, "resize": preset.shrink or "area"},
        "latent_size": model.latent_size,
        "z": "mean + exp(logvar / 2) * noise, or the mean",
        "memory_at_the_start": {name: list(part.shape[1:]) for name, part in model.initial_state(1).items()},
        "env": config_to_dict(model.env),
        "action_spec": config_to_dict(model.action_spec),
        "networks": {
            part.name: {
                "inputs": {name: list(value.shape[1:]) for name, value in part.inputs.items()},
                "outputs": part.outputs,
            }
            for part in parts_of(model)
        },
    }


def _any_batch(part: Part) -> Any:
    """Shapes in which the first axis may have any length."""
    lanes = torch.export.Dim("lanes", min=1)
    shapes = [{0: lanes} for _ in part.inputs]
    return (*shapes[:2], tuple(shapes[2:])) if isinstance(part.module, Foresee) else tuple(shapes)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs more packages ({error}): pip install onnx onnxruntime onnxscript") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' remarks to their own authors."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
