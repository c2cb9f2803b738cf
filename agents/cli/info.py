"""What you have: versions, device and precision, where runs are, and how much room there is.

worldmodels info
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

import worldmodels
from agents.cli.machine import processor
from agents.cli.options import Command, Device
from agents.cli.places import RUNS, all_runs
from rollouts.console import size
from rollouts.pools.processes import default_workers
from rollouts.runs.provenance import git_commit, package_versions
from worldmodels.training.checkpoint import pick_device
from worldmodels.training.precision import has_bfloat16


@dataclass(frozen=True)
class Arguments:
    """Which device to ask."""

    device: Device = "auto"


def body(arguments: Arguments) -> None:
    """A line for each fact."""
    for name, fact in facts(arguments.device).items():
        print(f"{name:<10} {fact}")


def facts(device_name: str) -> dict[str, str]:
    """Everything that a report of a problem should contain."""
    device, commit = pick_device(device_name), git_commit()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    runs, disk = all_runs(), shutil.disk_usage(RUNS if RUNS.exists() else Path())
    return {
        "version": worldmodels.__version__ + (f", commit {commit[:12]}" if commit else ""),
        "packages": ", ".join(f"{package} {number}" for package, number in package_versions().items()),
        "device": f"{device} ({name}), {torch.get_num_threads()} threads, {default_workers()} workers",
        "precision": "auto times bfloat16 against float32, for each network"
        if has_bfloat16(device)
        else "auto is float32: this device has no bfloat16 arithmetic",
        "runs": f"{RUNS.resolve()}: {len(runs)}" + (f", the newest is {runs[0].name}" if runs else ""),
        "disk": f"{size(disk.free)} free of {size(disk.total)}",
    }


COMMAND = Command(__doc__, Arguments, body, main=("device",))
