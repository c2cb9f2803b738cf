"""The paper's M: an LSTM under a mixture density head, which predicts the next latent, the reward and the end.

Architecture as in Ha & Schmidhuber (2018), appendix "Recurrent Neural Network".
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from worldmodels.dynamics import Dynamics, State

MANY_STEPS = 128  #: lanes from which on, on a CPU, PyTorch's own LSTM is faster: products and gates in one


def at_start(state: State) -> Tensor:
    """1 where a memory is that of an episode's start, all zeros, else 0; ``[N, 1]``."""
    return (state["c"] == 0).all(dim=1, keepdim=True).to(state["c"].dtype)


class MDNRNN(Dynamics):
    """LSTM with a mixture density head, and optional reward, termination and fall heads. Its memory is ``h`` and ``c``.

    Without the heads it has the paper's 422,368 trainable parameters (32 latents, 3 actions, 256 units, 5 mixtures);
    with 64 latents, 1 action, 512 units, a termination head and ``start_flag``, those of Take Cover: 1,678,785.

    Args:
        start_flag: one more input, 1 in an episode's first step and 0 in all others, as in the paper's Take Cover. It
            need not be told: a memory of nothing but zeros is that of a start.
    """

    constants = frozenset({"lstm.bias_hh_l0"})

    def __init__(
        self,
        latent_size: int = 32,
        action_size: int = 3,
        hidden_size: int = 256,
        mixtures: int = 5,
        reward_head: bool = True,
        termination_head: bool = True,
        start_flag: bool = False,
        members: int = 1,
        fall_head: bool = False,
    ) -> None:
        super().__init__(latent_size, action_size, hidden_size, mixtures)
        self.start_flag = start_flag
        self.lstm = nn.LSTM(latent_size + action_size + int(start_flag), hidden_size, batch_first=True)
        self.add_heads(reward_head, termination_head, members, fall_head)
        # The paper's LSTM has one bias vector; PyTorch's second one stays zero. Forget gate bias 1 (Jozefowicz 2015).
        _, _, bias, second_bias = self.lstm.all_weights[0]
        nn.init.zeros_(second_bias).requires_grad_(False)
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias[hidden_size : 2 * hidden_size] = 1.0

    def initial_state(self, lanes: int) -> State:
        """Zeros, ``[lanes, hidden_size]`` each."""
        zeros = self.mixture_head.weight.new_zeros(lanes, self.hidden_size, dtype=torch.float32)
        return {"h": zeros, "c": zeros.clone()}

    def unroll(self, z: Tensor, action: Tensor, state: State) -> tuple[Tensor, State]:
        """PyTorch's own LSTM over whole sequences."""
        inputs = [z, action]
        if self.start_flag:
            flags = z.new_zeros(*z.shape[:2], 1)
            flags[:, 0] = at_start(state)
            inputs.append(flags)
        # Under autocast cuDNN's LSTM computes in float16, whatever type was asked for: M's gradients vanish in that.
        with torch.autocast("cuda", enabled=False) if z.is_cuda else nullcontext():
            output, (h, c) = self.lstm(torch.cat(inputs, dim=-1), (state["h"][None], state["c"][None]))
        return output, {"h": h[0], "c": c[0]}

    def advance(self, z: Tensor, action: Tensor, state: State) -> State:
        """One step, written out because for few lanes a call of ``nn.LSTM`` costs more than its arithmetic."""
        h, c = state["h"], state["c"]
        input_weights, recurrent_weights, bias, _ = self.lstm.all_weights[0]
        many = not torch.compiler.is_compiling() and len(z) >= MANY_STEPS  # programs have one way for all
        if many and z.device.type == "cpu" and bias.dtype == torch.float32:
            # In bfloat16 it would also remember in that.
            return self.unroll(z[:, None], action[:, None], state)[1]
        inputs = [z, action, at_start(state)] if self.start_flag else [z, action]
        gates = torch.addmm(bias, torch.cat(inputs, dim=1).to(bias.dtype), input_weights.t())
        i, f, g, o = torch.addmm(gates, h.to(bias.dtype), recurrent_weights.t()).float().chunk(4, dim=1)
        c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), torch.tanh(g))
        return {"h": torch.sigmoid(o) * torch.tanh(c), "c": c}

    def outputs(self, state: State) -> dict[str, Tensor]:
        """``h`` and ``c``, ``[N, hidden_size]`` each."""
        return {"h": state["h"], "c": state["c"]}
