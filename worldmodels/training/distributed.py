"""Training in several processes, one per GPU, which torchrun starts: ``torchrun --nproc-per-node 2 SCRIPT``.

The joint batch of a step is the same for any number of processes. Each of them takes its part and computes what that
part adds to the joint batch's mean loss; gradients are added up, and the sum is the joint gradient, also where parts
are uneven or masked. All then do the same optimiser step. The first process alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rollouts.errors import UserError
from rollouts.runs.stage import Stage
from worldmodels.training.checkpoint import pick_device

PATIENCE = timedelta(hours=12)  #: how long processes wait for the first one, which encodes, draws and saves


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train together; alone, all of this does nothing."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """As :func:`process_group` set it up."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def part(self, batch_size: int) -> slice:
        """This process's part of a joint batch.

        Raises:
            UserError: there is less than one sample for each process.
        """
        if batch_size < self.count:
            raise UserError(f"A batch of {batch_size} cannot be shared by {self.count} processes; make it larger.")
        return slice(batch_size * self.rank // self.count, batch_size * (self.rank + 1) // self.count)

    def join(self, part: Tensor, batch_size: int) -> Tensor:
        """The joint batch ``[batch_size, ...]`` of all processes' parts, without their gradients."""
        if self.count == 1:
            return part
        joint = part.new_zeros(batch_size, *part.shape[1:])
        joint[self.part(batch_size)] = part.detach()
        dist.all_reduce(joint)
        return joint

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        joint = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(joint)
        for gradient, part in zip(gradients, joint.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def add_scalars(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """The sum of every value over all processes."""
        if self.count == 1:
            return {name: float(value) for name, value in values.items()}
        joint = torch.stack([value.float() for value in values.values()])
        dist.all_reduce(joint)
        return dict(zip(values, joint.tolist(), strict=True))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first process does the block alone, then the others, who find its files."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def open(self, stage: Stage, config: Any, inputs: Mapping[str, str]) -> Stage:
        """The first process opens a stage, whose ``steps`` may grow; the others find it.

        Raises:
            UserError: see :meth:`rollouts.runs.stage.Stage.open`.
        """
        with self.leader_first():
            return stage.open(config, inputs, growable=("steps",)) if self.leads else stage


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """This process's device (``auto``, ``cpu``, ``cuda``, ...); under torchrun, in a group with its other processes.

    Raises:
        UserError: the device is not there.
    """
    if "LOCAL_RANK" not in os.environ:
        yield pick_device(device)
        return
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        # At once: every process that touches GPU 0 takes some of its memory.
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    chosen = pick_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=chosen)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    yield chosen
    dist.destroy_process_group()  # not after an error: the others still wait, and torchrun ends them
