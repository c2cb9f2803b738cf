"""Weights as safetensors, training state that never needs unpickling, devices."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path, bytes_hash
from rollouts.runs.stage import OLDER_STATE, Stage, noted_hash


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, atomically."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file, and hold it to the hash in the manifest beside it, if there is one.

    Raises:
        UserError: it is missing or damaged, is not the file that its stage wrote, or holds numbers that are not finite.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    content = path.read_bytes()
    noted = noted_hash(path)
    if noted is not None and noted != bytes_hash(content):
        raise UserError(
            f"{path} is damaged, or of another run: its hash is {bytes_hash(content)}, and {noted} in the manifest "
            f"beside it. Put back a copy of that file, or delete the folder {path.parent} and run that stage again."
        )
    try:
        tensors = load(content)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete its folder and run that stage again.") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(
                f"{path} is damaged or comes from a training that failed ({name} holds numbers that are not finite); "
                f"delete the folder {path.parent} and run that stage again."
            )
    return tensors


def is_whole(path: Path) -> bool:
    """Whether weights are at full precision: halves, of a release, are other files than those that C was made from."""
    return all(tensor.dtype != torch.float16 for tensor in load_tensors(path).values())


def load_weights(module: nn.Module, path: Path, may_lack: Sequence[str] = ()) -> None:
    """Load a safetensors file into a module; half-precision files are widened.

    Args:
        may_lack: parts of the module that the file need not have; they stay as they are.

    Raises:
        UserError: it is missing, damaged, or of another architecture.
    """
    try:
        own = {name: part for name, part in module.state_dict().items() if name.split(".")[0] in may_lack}
        module.load_state_dict(own | load_tensors(path))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(f"{path} does not fit its configuration: {' '.join(str(error).split())}") from error


def built(stage: Stage, make: Callable[[Mapping[str, Any]], nn.Module]) -> Any:
    """The network that a stage's manifest describes.

    It is first made without memory and counted: what a file claims must not decide how much is asked for.

    Raises:
        UserError: the description or the weights are damaged, or it is of a network that is larger than its weights.
    """
    manifest, weights = stage.manifest, stage.weights
    try:
        with torch.device("meta"):
            bytes_at_least = 2 * sum(parameter.numel() for parameter in make(manifest["architecture"]).parameters())
        if weights.exists() and bytes_at_least > weights.stat().st_size:
            load_tensors(weights)  # refuses a damaged file, which is then the reason that it is so small
            raise UserError(f"{weights} does not fit its configuration: {manifest.path} describes a larger network.")
        return make(manifest["architecture"])
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{manifest.path} is damaged (its architecture makes no network: {reason}). Delete the folder "
            f"{stage.path} and run that stage again."
        ) from error


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a training state (tensors, numbers, strings, containers of them), atomically; the one before is kept."""
    content = io.BytesIO()  # given a path, torch turns a full disk into an error that no longer says so
    torch.save(dict(state), content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
        if path.exists():
            path.replace(path.with_name(OLDER_STATE))


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a training state. Only plain data is accepted: nothing in the file can run code.

    Raises:
        UserError: it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums and does not look at them
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} has another checksum than when it was written")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("it holds no dictionary")
    except Exception as error:  # torch and zipfile raise many kinds for a damaged file
        raise UserError(
            f"The checkpoint {path} is damaged ({type(error).__name__}). Delete the folder {path.parent} to start that "
            "stage anew."
        ) from error
    return state


def load_own_state(stage: Stage, path: Path, device: torch.device) -> dict[str, Any]:
    """As :func:`load_state`, of this stage and no other.

    Raises:
        UserError: it is damaged, or of another run.
    """
    state, own = load_state(path, device), stage.id
    if own is not None and state.get("stage", own) != own:
        raise UserError(
            f"The checkpoint {path} is of another run: it is of the stage {state['stage']}, and this one is {own}. "
            f"Delete the folder {path.parent} to start that stage anew."
        )
    return state


def load_newest_state(stage: Stage, device: torch.device) -> dict[str, Any] | None:
    """The stage's last training state, or the one before if that is damaged; None if it has none yet.

    Raises:
        UserError: the states that there are are damaged, or of another run.
    """
    newest, older = stage.state, stage.older_state
    if not newest.exists():
        if not older.exists():
            return None
        say(f"There is no {newest}, as after a kill between two renames: the checkpoint before it is continued from.")
        return load_own_state(stage, older, device)
    try:
        return load_own_state(stage, newest, device)
    except UserError as error:
        if not older.exists():
            raise
        state = load_own_state(stage, older, device)
        newest.unlink(missing_ok=True)  # so that it does not take the place of the whole one
        say(f"{str(error).split(' Delete ')[0]} The one before it is continued from.")
        return state


def pick_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: the device is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"The device {name!r} cannot be used here; try --device auto or --device cpu.") from error
    return device
