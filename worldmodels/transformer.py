"""M as a small causal transformer with a bounded memory: every step looks back on the last few.

Blocks are those of Vaswani et al. (2017) with the normalisation first (Xiong et al. 2020). All heads of a block share
one key and one value per step (Shazeer 2019), so that what has to be remembered of a step is short. Where a step is, it
knows only as a distance: every head has a bias for each (Raffel et al. 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.dynamics import Dynamics, State

HEAD = 32  #: size of a query, a key and a value
WIDER = 2  #: width of a block's hidden layer, in widths of the network


def _times(layer: nn.Linear, values: Tensor) -> Tensor:
    """A product in the type of the weights; what it is added to stays in float32."""
    return layer(values.to(layer.weight.dtype)).float()


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``; a norm's gain and bias are the next layer's."""

    def __init__(self, width: int, memory: int) -> None:
        super().__init__()
        self.width, self.memory, self.heads = width, memory, max(width // HEAD, 1)
        self.query = nn.Linear(width, self.heads * HEAD)
        self.key_value = nn.Linear(width, 2 * HEAD)
        self.out = nn.Linear(self.heads * HEAD, width)
        self.wide, self.narrow = nn.Linear(width, WIDER * width), nn.Linear(WIDER * width, width)
        self.bias = nn.Parameter(torch.zeros(self.heads, memory + 1))  #: by distance, 0 being the step itself

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``[..., heads, HEAD]``, scaled, and what the memory keeps: key and value ``[..., 2 HEAD]``."""
        normed = F.layer_norm(x, (self.width,))
        query = _times(self.query, normed).unflatten(-1, (self.heads, HEAD))
        return query * HEAD**-0.5, _times(self.key_value, normed)

    def think(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output, from its input ``[..., width]`` and the outputs of its heads ``[..., heads, HEAD]``."""
        x = x + _times(self.out, attended.flatten(-2))
        return x + _times(self.narrow, F.gelu(_times(self.wide, F.layer_norm(x, (self.width,)))))

    def step(self, x: Tensor, past: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor]:
        """One step for ``x [N, width]``.

        Args:
            past: keys and values of the steps before, ``[N, memory, 2 HEAD]``.
            unseen: minus infinity where there were none yet, else 0, for the past and the step, ``[N, 1, memory + 1]``.

        Returns:
            the output, and the past of the next step.
        """
        query, here = self.look(x)
        window = torch.cat([past, here[:, None]], dim=1)
        keys, values = window.chunk(2, dim=-1)
        scores = torch.baddbmm(self.bias.float().flip(-1) + unseen, query, keys.transpose(1, 2))
        return self.think(x, torch.bmm(scores.softmax(-1), values)), window[:, 1:]

    def along(self, x: Tensor, past: Tensor, filled: Tensor) -> tuple[Tensor, Tensor]:
        """The same for a sequence ``x [N, T, width]`` after a past, of which ``filled [N, memory]`` is 1 where it is.

        Steps are taken in pieces as long as the memory, each of which sees itself and the piece before: work and
        memory grow with T, not with its square.
        """
        (lanes, steps, _), memory = x.shape, self.memory
        query, here = self.look(x)
        pieces = -(-steps // memory)
        padding = pieces * memory - steps
        whole = torch.cat([past, here], dim=1)
        windows = F.pad(whole, (0, 0, 0, padding)).unfold(1, 2 * memory, memory)  # [N, pieces, 2 HEAD, 2 memory]
        there = F.pad(torch.cat([filled, filled.new_ones(lanes, steps)], dim=1), (0, padding))
        unseen = _minus_infinity(there.unfold(1, 2 * memory, memory))[:, :, None, None]  # [N, pieces, 1, 1, 2 memory]
        distance = torch.arange(memory, 2 * memory)[:, None] - torch.arange(2 * memory)  # [memory, 2 memory]
        near = ((distance >= 0) & (distance <= memory)).to(x.device)
        bias = self.bias.float()[:, distance.clamp(0, memory).to(x.device)].masked_fill(~near, -torch.inf)
        queries = F.pad(query, (0, 0, 0, 0, 0, padding)).unflatten(1, (pieces, memory))
        keys, values = windows.chunk(2, dim=2)
        scores = torch.einsum("npthd,npdk->nphtk", queries, keys) + bias + unseen
        attended = torch.einsum("nphtk,npdk->npthd", scores.softmax(-1), values).flatten(1, 2)[:, :steps].float()
        return self.think(x, attended), whole[:, steps:]


def _minus_infinity(there: Tensor) -> Tensor:
    """0 where something is (1), minus infinity where nothing is (0)."""
    return torch.zeros_like(there).masked_fill(there == 0, -torch.inf)


class CausalTransformer(Dynamics):
    """A transformer under the same heads as the LSTM.

    It remembers, for every block, the keys and values of the last ``memory`` steps, so with L blocks the output
    depends on the last ``L x memory`` steps and on nothing before them. With 32 latents, 3 actions and the usual sizes
    it has 955,506 parameters, the LSTM 422,882.

    Args:
        layers: blocks, one on the other.
        memory: steps before the present one that a block sees.
    """

    def __init__(
        self,
        latent_size: int = 32,
        action_size: int = 3,
        hidden_size: int = 256,
        mixtures: int = 5,
        reward_head: bool = True,
        termination_head: bool = True,
        layers: int = 2,
        memory: int = 32,
        members: int = 1,
        fall_head: bool = False,
    ) -> None:
        super().__init__(latent_size, action_size, hidden_size, mixtures)
        self.memory = memory
        self.embed = nn.Linear(latent_size + action_size, hidden_size)
        self.blocks = nn.ModuleList(Block(hidden_size, memory) for _ in range(layers))
        self.add_heads(reward_head, termination_head, members, fall_head)

    def initial_state(self, lanes: int) -> State:
        """The output ``h``, which steps of the past there are, and their keys and values in every block."""
        zeros = self.mixture_head.weight.new_zeros(lanes, self.memory, 2 * HEAD, dtype=torch.float32)
        past = {name: zeros.clone() for name in self._names}
        return {"h": zeros.new_zeros(lanes, self.hidden_size), "filled": zeros.new_zeros(lanes, self.memory), **past}

    def advance(self, z: Tensor, action: Tensor, state: State) -> State:
        """One step, with the keys and values of those before it at hand."""
        x = _times(self.embed, torch.cat([z, action], dim=-1))
        there = torch.cat([state["filled"], state["filled"].new_ones(z.shape[0], 1)], dim=1)
        unseen, after = _minus_infinity(there)[:, None], dict[str, Tensor]()
        for name, block in zip(self._names, self.blocks, strict=True):
            x, after[name] = block.step(x, state[name], unseen)  # type: ignore[operator]
        return {"h": F.layer_norm(x, (self.hidden_size,)), "filled": there[:, 1:], **after}

    def unroll(self, z: Tensor, action: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps at once."""
        x = _times(self.embed, torch.cat([z, action], dim=-1))
        steps, after = z.shape[1], dict[str, Tensor]()
        there = torch.cat([state["filled"], state["filled"].new_ones(len(z), steps)], dim=1)
        for name, block in zip(self._names, self.blocks, strict=True):
            x, after[name] = block.along(x, state[name], state["filled"])  # type: ignore[operator]
        output = F.layer_norm(x, (self.hidden_size,))
        return output, {"h": output[:, -1], "filled": there[:, steps:], **after}

    def outputs(self, state: State) -> dict[str, Tensor]:
        """``h [N, hidden_size]``."""
        return {"h": state["h"]}

    @property
    def _names(self) -> list[str]:
        return [f"past_{number}" for number in range(len(self.blocks))]
