"""Long sequences in short pieces: M's memory is carried from one to the next, as the paper's code does it.

Every lane goes through episode after episode from its first step to its last, a chunk per optimiser step. Gradients
end at a chunk's borders, what M remembers does not; it is forgotten where an episode begins. So no sequence has to
start with a guess at what came before, and a chunk can be far shorter than an episode.
"""

from __future__ import annotations

from typing import Any

import torch

from worldmodels.data.latents import LatentWindows, Windows
from worldmodels.dynamics import State, where
from worldmodels.training.randomness import generator_for


class LatentStream:
    """Consecutive chunks of latent episodes in ``lanes`` lanes, and what M remembers in each of them.

    Lanes take their episodes from one line, in which all episodes stand in a new random order again and again. The
    whole of it is a function of the seed, the data, and how often it was advanced.

    Args:
        length: steps per chunk; an episode's last one is padded.
        memory: M's at the start of an episode, of as many lanes as there are to be.
    """

    def __init__(self, data: LatentWindows, length: int, memory: State, seed: int) -> None:
        self.data, self.length, self.seed = data, length, seed
        self._initial = self._memory = memory
        lanes = len(next(iter(memory.values())))
        self._taken = 0
        self._order = torch.zeros(0, dtype=torch.long)
        self._episode = torch.tensor([self._take() for _ in range(lanes)])
        self._start = torch.zeros(lanes, dtype=torch.long)

    def windows(self, generator: torch.Generator) -> tuple[Windows, State]:
        """The lanes' current chunks, with freshly sampled latents, and M's state before them."""
        windows = self.data.window(self._episode, self._start, self.length, 0, generator)
        return windows, self._memory

    def advance(self, state: State) -> None:
        """Go on to the next chunks; ``state`` is M's after the current ones."""
        self._start += self.length
        over = self._start >= self.data.lengths[self._episode]
        for lane in torch.nonzero(over).flatten().tolist():
            self._episode[lane], self._start[lane] = self._take(), 0
        after = {name: part.detach() for name, part in state.items()}
        self._memory = where(over.to(self.data.device), self._initial, after)

    def _take(self) -> int:
        """The next episode in the line."""
        count = len(self.data.lengths)
        number, place = divmod(self._taken, count)
        if place == 0 or not len(self._order):
            self._order = torch.randperm(count, generator=generator_for(self.seed, number))
        self._taken += 1
        return int(self._order[place])

    def state_dict(self) -> dict[str, Any]:
        """Where every lane is and what M remembers there."""
        memory = {name: part.clone() for name, part in self._memory.items()}
        return {
            "taken": self._taken,
            "episode": self._episode.clone(),
            "start": self._start.clone(),
            "memory": memory,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`; before M's memory had names it was an LSTM's h and c, in one tensor."""
        self._taken, self._order = int(state["taken"]), torch.zeros(0, dtype=torch.long)
        self._episode, self._start = state["episode"].cpu().clone(), state["start"].cpu().clone()
        memory = state["memory"]
        named = dict(zip(("h", "c"), memory, strict=True)) if isinstance(memory, torch.Tensor) else memory
        self._memory = {name: part.to(self.data.device) for name, part in named.items()}
