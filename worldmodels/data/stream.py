"""Long sequences in short pieces: M's memory is carried from one to the next, as the paper's code does it.

Every lane goes through episode after episode from its first step to its last, a chunk per optimiser step. Gradients
end at a chunk's borders, what M remembers does not; it is forgotten where an episode begins. So no sequence has to
start with a guess at what came before, and a chunk can be far shorter than an episode.
"""

from __future__ import annotations

from typing import Any

import torch

from worldmodels.data.latents import LatentWindows, Windows
from worldmodels.mdn_rnn import State
from worldmodels.training.randomness import generator_for


class LatentStream:
    """Consecutive chunks of latent episodes in ``lanes`` lanes, and what M remembers in each of them.

    Lanes take their episodes from one line, in which all episodes stand in a new random order again and again. The
    whole of it is a function of the seed, the data, and how often it was advanced.

    Args:
        length: steps per chunk; an episode's last one is padded.
    """

    def __init__(self, data: LatentWindows, lanes: int, length: int, hidden_size: int, seed: int) -> None:
        self.data, self.length, self.seed = data, length, seed
        self._taken = 0
        self._order = torch.zeros(0, dtype=torch.long)
        self._episode = torch.tensor([self._take() for _ in range(lanes)])
        self._start = torch.zeros(lanes, dtype=torch.long)
        self._memory = torch.zeros(2, lanes, hidden_size, device=data.device)

    def windows(self, generator: torch.Generator) -> tuple[Windows, State]:
        """The lanes' current chunks, with freshly sampled latents, and M's state before them."""
        windows = self.data.window(self._episode, self._start, self.length, 0, generator)
        return windows, (self._memory[0], self._memory[1])

    def advance(self, state: State) -> None:
        """Go on to the next chunks; ``state`` is M's after the current ones."""
        self._start += self.length
        over = self._start >= self.data.lengths[self._episode]
        for lane in torch.nonzero(over).flatten().tolist():
            self._episode[lane], self._start[lane] = self._take(), 0
        going_on = (~over).to(self.data.device).float()[:, None]
        self._memory = torch.stack([part.detach() * going_on for part in state])

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
        tensors = {"episode": self._episode, "start": self._start, "memory": self._memory}
        return {"taken": self._taken, **{name: tensor.clone() for name, tensor in tensors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._taken, self._order = int(state["taken"]), torch.zeros(0, dtype=torch.long)
        self._episode, self._start = state["episode"].cpu().clone(), state["start"].cpu().clone()
        self._memory = state["memory"].to(self.data.device)
