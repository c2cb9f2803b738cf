"""The bench's rows of others do the same work as our own."""

from __future__ import annotations

import pytest
import torch

from agents.cli.peer_rows import dream_peers, environment_peers


def test_peers_are_measured_beside_our_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.cli.peer_rows.rate", lambda step, amount, *_: [step(), step(), float(amount)][-1])
    rows = [*environment_peers(40.0), *dream_peers(torch.device("cpu"), 8, 16.0)]
    named = {row.what: row.note for row in rows if "EnvPool" not in row.what}
    assert named == {
        "peer: Gymnasium's SyncVectorEnv of 4 stock CarRacing-v3": "ours x 10.0",
        "peer: Gymnasium's SyncVectorEnv of 4 carracing-fast": "ours x 10.0",
        "peer: a loop over PyTorch's LSTMCell, 8 lanes": "ours x 2.0",
        "peer: PyTorch's LSTM alone, a step at a time, 8 lanes": "ours x 2.0; without heads and samples",
    }
