"""What any M offers: a memory that nobody else looks into, and heads that say what comes next.

A recurrent network, a transformer or anything else that foresees is one file with one class, a :class:`Dynamics`, and
one line in ``worldmodels/cores.py``. What trains, dreams, diagnoses and acts knows this page alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from worldmodels.mixture import Mixture, Prediction, together

MANY = 64  #: lanes from which on work is laid out for many of them; it is the same to the last digits but one

State = dict[str, Tensor]
"""M's memory of N lanes: named tensors ``[N, ...]``, all of them zero where an episode begins.

The names are those of M's own. Others take, tile and choose lanes, and hand the whole of it back.
"""


def take(state: State, lanes: Tensor | slice) -> State:
    """The memory of some lanes only (indices, a mask or a slice)."""
    return {name: part[lanes] for name, part in state.items()}


def tile(state: State, copies: int) -> State:
    """``copies`` times the same lanes, one set after the other."""
    return {name: part.repeat(copies, *[1] * (part.dim() - 1)) for name, part in state.items()}


def where(lanes: Tensor, state: State, otherwise: State) -> State:
    """``state`` in the lanes of a mask ``[N]``, ``otherwise`` in all others."""
    return {
        name: torch.where(lanes.view(-1, *[1] * (part.dim() - 1)), part, otherwise[name])
        for name, part in state.items()
    }


def put(state: State, lanes: Tensor, fresh: State) -> State:
    """``state`` with the lanes of these indices replaced by those of ``fresh``, in this order."""
    return {name: part.index_copy(0, lanes, fresh[name]) for name, part in state.items()}


def dropout_mask(shape: tuple[int, ...], rate: float, generator: torch.Generator) -> Tensor:
    """0 with probability ``rate``, else ``1 / (1 - rate)``, on the generator's device.

    Kept for a whole sequence, it is one model out of many that agree where there were data and differ where there
    were none (Gal & Ghahramani 2016; in dreams: Wellmer & Kwok 2021).
    """
    kept = torch.rand(shape, generator=generator, device=generator.device) >= rate
    return kept.float() / (1 - rate)


class Dynamics(nn.Module, ABC):
    """An M: what it remembers (its core, written by subclasses), and the mixture, reward, termination and fall heads.

    A subclass builds its core, then calls :meth:`add_heads`, and has four verbs of its own: :meth:`initial_state`,
    :meth:`advance`, :meth:`unroll` (the same for a whole sequence) and :meth:`outputs`.

    With its weights in bfloat16 (``dynamics.bfloat16()``) it multiplies matrices in that, and remembers and predicts
    in float32: dreams are then about twice as fast on CPUs that have instructions for it.

    With several ``members`` every head is there as often, each fitted to its own choice of episodes: where they
    differ, M does not know. All read the same memory, so that a controller sees the same whoever speaks.

    Args:
        hidden_size: width of the output ``h``, which the heads read.
    """

    constants: ClassVar[frozenset[str]] = frozenset()  #: parameters that training leaves as they are
    reward_head: nn.Linear | None
    termination_head: nn.Linear | None
    fall_head: nn.Linear | None

    def __init__(self, latent_size: int, action_size: int, hidden_size: int, mixtures: int) -> None:
        super().__init__()
        self.latent_size, self.action_size = latent_size, action_size
        self.hidden_size, self.mixtures = hidden_size, mixtures

    def add_heads(
        self, reward_head: bool, termination_head: bool, members: int = 1, fall_head: bool = False
    ) -> None:
        """Make the heads, ``members`` of each. Weights are drawn in the order in which modules are made: a core comes
        first."""
        self.members = members
        self.mixture_head = nn.Linear(self.hidden_size, members * 3 * self.latent_size * self.mixtures)
        self.reward_head = nn.Linear(self.hidden_size, members) if reward_head else None
        self.termination_head = nn.Linear(self.hidden_size, members) if termination_head else None
        self.fall_head = nn.Linear(self.hidden_size, members) if fall_head else None

    @property
    def trainable_parameters(self) -> int:
        """How many numbers training changes; of a frozen M, has changed."""
        return sum(parameter.numel() for name, parameter in self.named_parameters() if name not in self.constants)

    @abstractmethod
    def initial_state(self, lanes: int) -> State:
        """The memory at the start of an episode: zeros."""

    @abstractmethod
    def advance(self, z: Tensor, action: Tensor, state: State) -> State:
        """The memory after seeing ``z [N, latent_size]`` and doing ``action [N, action_size]``; nothing is changed."""

    @abstractmethod
    def unroll(self, z: Tensor, action: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`advance` for every step of ``z [N, T, latent_size]`` and ``action [N, T, action_size]``.

        Returns:
            the output ``h`` after every step ``[N, T, hidden_size]``, and the memory after the last one.
        """

    @abstractmethod
    def outputs(self, state: State) -> dict[str, Tensor]:
        """What a controller may see of the memory, by names of one letter, ``[N, size]`` each.

        ``h [N, hidden_size]`` is among them: it is what the heads read.
        """

    def forward(
        self, z: Tensor, action: Tensor, state: State | None = None, dropout: Tensor | None = None
    ) -> tuple[Prediction, State]:
        """Predict along a sequence.

        Args:
            z: ``[N, T, latent_size]``; action: ``[N, T, action_size]``; state: before the first step, or zeros.
            dropout: a mask ``[N, hidden_size]`` on what the heads see, the same in every step; see
                :func:`dropout_mask`.

        Returns:
            For every t, the prediction of ``z[t+1], reward[t], terminated[t]`` (``[N, T, ...]``), and the state after
            the last step.
        """
        output, state = self.unroll(z, action, self.initial_state(len(z)) if state is None else state)
        return self.heads(output if dropout is None else output * dropout[:, None]), state

    def predict(self, state: State, dropout: Tensor | None = None, member: Tensor | None = None) -> Prediction:
        """What comes next, from memory.

        Args:
            dropout: a mask ``[N, hidden_size]`` on what the heads see.
            member: whose word counts in each lane, ``[N]``; None is all members' together.
        """
        output = self.outputs(state)["h"]
        output = output if dropout is None else output * dropout
        return self.heads(output) if member is None or self.members == 1 else self._heads_of_lanes(output, member)

    def heads(self, output: Tensor) -> Prediction:
        """The output ``[..., hidden_size]`` -> prediction ``[..., ...]``, all members' together."""
        if self.members > 1:
            return together(self.each(output))
        many = not torch.compiler.is_compiling() and len(output) >= MANY  # programs have one way for all
        if output.dim() == 2 and many and output.device.type == "cpu":
            return self._of_rows(self._rows(output, 0))
        return self.each(output)[0]

    def each(self, output: Tensor) -> list[Prediction]:
        """What every member says, from the output ``[..., hidden_size]``."""
        # In memory the component comes before the dimension: work on one component is then work on whole rows.
        shape = (*output.shape[:-1], self.members, 3, self.mixtures, self.latent_size)
        output = output.to(self.mixture_head.weight.dtype)
        mixtures = self.mixture_head(output).float().view(shape).transpose(-1, -2).unbind(-4)
        silent = [None] * self.members
        rewards, ends, fallen = (
            silent if head is None else head(output).float().unbind(-1)
            for head in (self.reward_head, self.termination_head, self.fall_head)
        )
        return [
            Prediction(Mixture(*mixture.unbind(-3)), *single)
            for mixture, *single in zip(mixtures, rewards, ends, fallen, strict=True)
        ]

    @property
    def _single(self) -> list[nn.Linear]:
        """The heads that say one number each."""
        return [head for head in (self.reward_head, self.termination_head, self.fall_head) if head is not None]

    def _rows(self, output: Tensor, member: int) -> Tensor:
        """All that a member says of ``[N, hidden_size]``, as one product whose columns are lanes: a dream of a thousand
        samples from whole rows instead of pieces as long as a latent, in half the time."""
        parts = [(self.mixture_head, self._mixture_rows), *((head, 1) for head in self._single)]
        rows = [(head, slice(member * count, (member + 1) * count)) for head, count in parts]
        weight = torch.cat([head.weight[own] for head, own in rows])
        bias = torch.cat([head.bias[own] for head, own in rows])
        return torch.addmm(bias[:, None], weight, output.to(weight.dtype).t()).float()

    def _of_rows(self, rows: Tensor) -> Prediction:
        count = self._mixture_rows
        mixture = rows[:count].view(3, self.mixtures, self.latent_size, -1).permute(0, 3, 2, 1).unbind()
        single = iter(rows[count:])
        heads = (self.reward_head, self.termination_head, self.fall_head)
        reward, end, fall = (None if head is None else next(single) for head in heads)
        return Prediction(Mixture(*mixture), reward, end, fall)

    def _heads_of_lanes(self, output: Tensor, member: Tensor) -> Prediction:
        """Every lane hears its own member."""
        rows = output.new_empty(self._mixture_rows + len(self._single), len(output))
        for number in range(self.members):
            lanes = torch.nonzero(member == number).flatten()
            rows[:, lanes] = self._rows(output[lanes], number)
        return self._of_rows(rows)

    @property
    def _mixture_rows(self) -> int:
        return 3 * self.latent_size * self.mixtures
