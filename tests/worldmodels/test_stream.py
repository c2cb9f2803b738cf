"""M's memory carried along whole episodes, chunk by chunk."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts import Run, UserError
from tests.faults.helpers import fit_whole_and_in_parts
from worldmodels import MDNRNN
from worldmodels.configs import MDNRNNConfig
from worldmodels.data.latents import LatentEpisode, LatentWindows
from worldmodels.data.stream import LatentStream
from worldmodels.dynamics import State
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.training.checkpoint import load_state

CPU = torch.device("cpu")
LENGTHS = (5, 23, 8, 40, 16)


def numbered(steps: int, number: int) -> LatentEpisode:
    """Episode ``number``; frame t is [number, t], exactly."""
    return LatentEpisode(
        np.stack([np.full(steps + 1, number), np.arange(steps + 1)], 1).astype(np.float16),
        np.full((steps + 1, 2), -np.inf, np.float16),
        np.linspace(-1, 1, steps, dtype=np.float32)[:, None],
        np.ones(steps, np.float32),
        np.arange(steps) == steps - 1,
        Path("x"),
    )


@pytest.fixture(scope="module")
def data() -> LatentWindows:
    return LatentWindows([numbered(steps, number) for number, steps in enumerate(LENGTHS)], CPU)


def filled(value: float, lanes: int = 3) -> State:
    return {name: torch.full((lanes, 6), value) for name in ("h", "c")}


def fresh(data: LatentWindows, lanes: int = 3, length: int = 8, seed: int = 0) -> LatentStream:
    return LatentStream(data, length, filled(0.0, lanes), seed)


def test_lanes_go_through_whole_episodes_in_order_and_every_step_comes_equally_often(data):
    stream, seen = fresh(data), [[] for _ in range(3)]
    for _ in range(200):
        windows, state = stream.windows(torch.Generator())
        for lane in range(3):
            seen[lane] += windows.z[lane, :-1][windows.counts[lane].bool()].int().tolist()
        stream.advance({name: part + 1 for name, part in state.items()})
    for lane in seen:
        for (number, t), (next_number, next_t) in pairwise(lane):
            if next_t:
                assert (next_number, next_t) == (number, t + 1)
            else:
                assert t == LENGTHS[number] - 1
    steps, visits = np.unique([tuple(step) for lane in seen for step in lane], axis=0, return_counts=True)
    assert len(steps) == sum(LENGTHS)
    assert visits.max() - visits.min() <= 4  # three lanes and a pass of five episodes are never quite through


def test_memory_is_forgotten_where_an_episode_begins_and_nowhere_else(data):
    stream = fresh(data)
    for _ in range(30):
        windows, state = stream.windows(torch.Generator())
        begins = windows.z[:, 0, 1] == 0
        for part in state.values():
            assert torch.equal((part != 0).all(1), ~begins)
        stream.advance({**filled(1.0), "c": torch.full((3, 6), 2.0)})


@pytest.mark.parametrize("start_flag", [False, True])
def test_chunks_with_carried_memory_predict_what_the_whole_episode_would(data, start_flag):
    torch.manual_seed(0)
    mdnrnn, number = MDNRNN(2, 1, 6, 2, start_flag=start_flag), 3
    zero = torch.tensor([0])
    whole = data.window(torch.tensor([number]), zero, LENGTHS[number], 0, torch.Generator())
    expected, _ = mdnrnn(whole.z[:, :-1], whole.actions)
    stream, termination = fresh(data, lanes=1), []
    while len(termination) * 8 < LENGTHS[number]:
        windows, state = stream.windows(torch.Generator())
        prediction, after = mdnrnn(windows.z[:, :-1], windows.actions, state)
        stream.advance(after)
        if int(windows.z[0, 0, 0]) == number:
            termination.append(prediction.termination[0])
    torch.testing.assert_close(torch.cat(termination), expected.termination[0], atol=1e-5, rtol=1e-4)


def test_a_stream_continues_from_what_it_saved(data):
    stream = fresh(data, seed=5)
    for step in range(23):
        stream.advance(filled(float(step + 1)))
    other = fresh(data, seed=5)
    other.load_state_dict(stream.state_dict())
    for _ in range(40):
        (one, before), (two, same) = (s.windows(torch.Generator().manual_seed(1)) for s in (stream, other))
        assert torch.equal(one.z, two.z)
        assert torch.equal(before["h"], same["h"])
        for s in (stream, other):
            s.advance({**filled(1.0), "h": torch.rand(3, 6, generator=torch.Generator().manual_seed(2))})


def test_a_checkpoint_of_before_m_s_memory_had_names_is_continued(data):
    stream = fresh(data)
    stream.advance({"h": torch.full((3, 6), 1.0), "c": torch.full((3, 6), 2.0)})
    state = stream.state_dict()
    old, other = {**state, "memory": torch.stack([state["memory"]["h"], state["memory"]["c"]])}, fresh(data)
    other.load_state_dict(old)
    torch.testing.assert_close(other.windows(torch.Generator())[1], stream.windows(torch.Generator())[1])


def test_training_with_carried_memory_and_dropout_continues_as_if_it_had_not_been_broken_off(tiny_run, tmp_path):
    config = MDNRNNConfig(
        hidden_size=8,
        mixtures=2,
        steps=14,
        batch_size=5,
        sequence_length=6,
        carry_state=True,
        start_flag=True,
        reward_head=False,
        dropout=0.2,
        starts=8,
        log_every=3,
        checkpoint_every=6,
    )
    breaks = (("worldmodels.fit_mdn_rnn.mdn_rnn_loss", 11), ("worldmodels.training.loop.save_state", 1))
    run = fit_whole_and_in_parts(config, tiny_run, tmp_path, *breaks)
    state = load_state(Run(run).mdnrnn.state, CPU)
    assert all(part.abs().sum() > 0 for part in state["stream"]["memory"].values())


def test_a_burn_in_beside_a_carried_memory_is_refused(tiny_run):
    config = dataclasses.replace(MDNRNNConfig(), carry_state=True, burn_in=4)
    with pytest.raises(UserError, match="burn-in warms up windows whose past is not known"):
        fit_mdn_rnn(config, tiny_run, [], CPU)
