"""Another M, as somebody outside would write it: this file, and ``CORES["gru"] = GRU``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldmodels.dynamics import Dynamics, State


class GRU(Dynamics):
    """A gated recurrent unit (Cho et al. 2014) under the usual heads; a controller may see its memory as ``h``."""

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        hidden_size: int,
        mixtures: int,
        reward_head: bool,
        termination_head: bool,
    ) -> None:
        super().__init__(latent_size, action_size, hidden_size, mixtures)
        self.gru = nn.GRU(latent_size + action_size, hidden_size, batch_first=True)
        self.add_heads(reward_head, termination_head)

    def initial_state(self, lanes: int) -> State:
        return {"memory": self.mixture_head.weight.new_zeros(lanes, self.hidden_size)}

    def unroll(self, z: Tensor, action: Tensor, state: State) -> tuple[Tensor, State]:
        output, last = self.gru(torch.cat([z, action], -1), state["memory"][None])
        return output, {"memory": last[0]}

    def advance(self, z: Tensor, action: Tensor, state: State) -> State:
        return self.unroll(z[:, None], action[:, None], state)[1]

    def outputs(self, state: State) -> dict[str, Tensor]:
        return {"h": state["memory"]}
