"""Which Ms there are. A new one is a file with a :class:`~worldmodels.dynamics.Dynamics`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollouts.errors import UserError
from worldmodels.dynamics import Dynamics
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.transformer import CausalTransformer

CORES: dict[str, type[Dynamics]] = {
    "lstm": MDNRNN,
    "transformer": CausalTransformer,
}


def core_named(name: str) -> type[Dynamics]:
    """The class of an M.

    Raises:
        UserError: there is none of that name.
    """
    if name not in CORES:
        raise UserError(f"There is no core {name!r} for M; --mdnrnn.core takes one of {', '.join(CORES)}.")
    return CORES[name]


def make_dynamics(architecture: Mapping[str, Any]) -> Dynamics:
    """M with random weights, as the manifest of its stage describes it; where no core is named, it is an LSTM."""
    options = dict(architecture)
    return core_named(options.pop("core", "lstm"))(**options)
