"""What was lived through, kept to learn from again: features at half precision, in memory and in files beside C.

Every iteration's episodes are one file, written once. So a state says only which of them there were, and takes no time
to write however much is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.learning.experience import Trace
from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.files import file_hash
from worldmodels.training.checkpoint import load_tensors, save_tensors

IDLE_ON = 0.2  #: what every further idle step costs, as a share of the second in a row
LONGEST = 8  #: steps of a pause that cost something: whoever gets lost shall come back, and not rather end it


class Batch(NamedTuple):
    """Steps to learn from, each with what came of the following ones."""

    features: Tensor  #: float32 [N, F]
    actions: Tensor  #: [N, A]
    rewards: Tensor  #: discounted sum over at most n steps [N]
    discounts: Tensor  #: gamma to the number of those steps; 0 where the episode had ended then [N]
    following: Tensor  #: features after them [N, F]


class Replay:
    """The newest ``capacity`` moments, in a ring.

    Args:
        folder: where iterations are kept; made when there is the first.
    """

    def __init__(self, folder: Path, inputs: int, outputs: int, capacity: int) -> None:
        self.folder, self.capacity = folder, capacity
        self.features = torch.zeros(capacity, inputs, dtype=torch.float16)
        self.actions = torch.zeros(capacity, outputs)
        self.rewards = torch.zeros(capacity)
        self.left = torch.zeros(capacity, dtype=torch.int32)  #: steps to the end of the episode; 0 for its last state
        self.terminal = torch.zeros(capacity, dtype=torch.bool)
        self.idle = torch.zeros(capacity)  #: see :func:`idleness`
        self.rows: list[int] = []  #: moments of every iteration so far
        self.hashes: list[str | None] = []  #: of their files
        self._unneeded = 0

    def add(self, traces: Sequence[Trace]) -> None:
        """Keep an iteration's episodes, in memory and as a file.

        Raises:
            UserError: they do not fit into the replay.
        """
        tensors = {
            "features": torch.cat([trace.features for trace in traces]),
            "actions": torch.cat([_padded(trace.actions) for trace in traces]),
            "rewards": torch.cat([_padded(trace.rewards) for trace in traces]),
            "left": torch.cat([torch.arange(len(trace.rewards), -1, -1, dtype=torch.int32) for trace in traces]),
            "terminal": torch.cat([torch.full((len(trace.rewards) + 1,), trace.terminal) for trace in traces]),
        }
        if len(tensors["left"]) > self.capacity:
            raise UserError(
                f"One iteration has {len(tensors['left']):,} moments, the replay keeps {self.capacity:,}; "
                "raise the learner's capacity."
            )
        file = self._file(len(self.rows))
        save_tensors(tensors, file)
        self.hashes.append(file_hash(file))
        self._write(tensors)

    def _write(self, tensors: dict[str, Tensor]) -> None:
        places = (sum(self.rows) + torch.arange(len(tensors["left"]))) % self.capacity
        for name, values in tensors.items():
            getattr(self, name)[places] = values
        last = torch.nonzero(tensors["left"] == 0).flatten()
        lengths = torch.diff(last, prepend=torch.tensor([-1])).tolist()
        self.idle[places] = torch.cat([idleness(episode) for episode in tensors["rewards"].split(lengths)])
        self.rows.append(len(places))
        self._usable = torch.nonzero(self.left > 0).flatten()

    def __len__(self) -> int:
        """Steps that can be drawn."""
        return len(self._usable) if self.rows else 0

    def sample(self, count: int, steps: int, gamma: float, generator: torch.Generator, idle: float = 0.0) -> Batch:
        """Draw ``count`` of the kept steps, all equally likely, each with its ``steps``-step return.

        Args:
            idle: cost of idle steps, see :func:`idleness`.
        """
        rows = self._usable[torch.randint(len(self._usable), (count,), generator=generator)]
        ahead = self.left[rows].clamp(max=steps)
        offsets = torch.arange(steps)
        places = (rows[:, None] + offsets) % self.capacity
        charged = self.rewards[places] - idle * self.idle[places]
        rewards = (charged * gamma**offsets * (offsets < ahead[:, None])).sum(1)
        following = (rows + ahead) % self.capacity
        over = self.terminal[rows] & (self.left[following] == 0)
        discounts = torch.where(over, 0.0, gamma**ahead)
        return Batch(
            self.features[rows].float(), self.actions[rows], rewards, discounts, self.features[following].float()
        )

    @property
    def state(self) -> dict[str, list[Any]]:
        """Which iterations there were. Files that neither this state nor the one before needs are deleted."""
        for iteration in range(self._unneeded):
            self._file(iteration).unlink(missing_ok=True)
        self._unneeded = self._oldest(self.rows)
        return {"rows": list(self.rows), "hashes": list(self.hashes)}

    def restore(self, state: Mapping[str, Any] | Sequence[int]) -> bool:
        """Read the iterations of a state again. False if files are missing; nothing is changed then.

        Args:
            state: in older runs the rows alone.

        Raises:
            UserError: a file is damaged, or is not the one that was written.
        """
        rows = state["rows"] if isinstance(state, Mapping) else state
        hashes = state["hashes"] if isinstance(state, Mapping) else [None] * len(rows)
        needed = range(self._oldest(rows), len(rows))
        if gone := [self._file(iteration) for iteration in needed if not self._file(iteration).exists()]:
            say(f"{gone[0]} is missing: what was learned from it is done anew.")
            return False
        for file, recorded in ((self._file(iteration), hashes[iteration]) for iteration in needed):
            if recorded is not None and file_hash(file) != recorded:
                raise UserError(
                    f"{file} is damaged, or of another run. Put back a copy of it, or delete it: what was learned from "
                    "it is then done anew."
                )
        self.rows, self._unneeded = list(rows[: needed.start]), 0
        self.hashes = list(hashes)
        for iteration in needed:
            self._write(load_tensors(self._file(iteration)))
        return True

    def take_over(self, folder: Path, state: Mapping[str, Any] | Sequence[int]) -> bool:
        """Begin with what another replay holds: its files are copied. False if some are missing.

        Args:
            folder: of that replay; state: as :attr:`state` was there.
        """
        if not folder.exists():
            return False
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)
        return self.restore(state)

    def _oldest(self, rows: Sequence[int]) -> int:
        """The first iteration of which anything is kept in memory."""
        kept = np.cumsum(rows[::-1]) - np.array(rows[::-1], int)
        return len(rows) - int((kept < self.capacity).sum())

    def _file(self, iteration: int) -> Path:
        return self.folder / f"{iteration:06d}.safetensors"


def idleness(rewards: Tensor) -> Tensor:
    """How much of the cost of pauses falls on each step of an episode with these rewards: both ``[T]``.

    All of it on the second step in a row in which nothing is earned, :data:`IDLE_ON` of it on further ones, up to the
    :data:`LONGEST`-th. Nothing where nothing is earned any more: the end of all reward is cost enough, and a lap on
    which a tile was missed ends so too, by no fault of its last steps.
    """
    steps = torch.arange(len(rewards))
    gains = rewards > 0
    since = steps - torch.where(gains, steps, -1).cummax(0).values if len(rewards) else steps
    still = gains.flip(0).cumsum(0).flip(0) > 0
    cost = torch.where(since == 2, 1.0, torch.where((since > 2) & (since <= LONGEST), IDLE_ON, 0.0))
    return torch.where(still, cost, 0.0)


def _padded(values: Tensor) -> Tensor:
    """With one more row, for the state in which an episode ended."""
    return torch.cat([values, torch.zeros_like(values[:1])])
