"""Weights as safetensors, training state that never needs unpickling, devices."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rollouts.errors import UserError
from rollouts.runs.files import atomic_path


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, atomically."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete its folder and run that stage again.") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file into a module; half-precision files are widened.

    Raises:
        UserError: it is missing, damaged, or of another architecture.
    """
    try:
        module.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        raise UserError(f"{path} does not fit its configuration: {' '.join(str(error).split())}") from error


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a training state (tensors, numbers, strings, containers of them), atomically."""
    content = io.BytesIO()  # given a path, torch turns a full disk into an error that no longer says so
    torch.save(dict(state), content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a training state. Only plain data is accepted: nothing in the file can run code.

    Raises:
        UserError: it is damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(
            f"The checkpoint {path} is damaged ({type(error).__name__}). Delete it to start that stage again."
        ) from error


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
