"""Experience from elsewhere: actions turned back into what was meant, and recordings lived through again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from agents.controller import squash
from agents.learning.config import ControllerConfig
from agents.learning.elsewhere import intended, recorded
from agents.learning.learn import evolve
from agents.learning.sac import SACConfig
from agents.networks import NetworkSpec
from agents.senses import Senses
from rollouts import EnvConfig
from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.runs.layout import Run
from tests.faults.helpers import differences, interrupted_at
from worldmodels.training.randomness import generator_for
from worldmodels.world_model import WorldModel

CAR = ActionSpec("box", (-1.0, 0.0, 0.0), (1.0,) * 3, (1.0, 0.5, 1.0), (0.0, 0.5, 0.0))
PEDAL = dataclasses.replace(CAR, pedals=(Pedal(1, 2, offset=0.55, slack=0.15, creep=0.06),))


@pytest.mark.parametrize("spec", [CAR, PEDAL])
def test_what_was_meant_makes_the_same_action_again(spec: ActionSpec):
    raw = 1.5 * torch.randn(500, spec.outputs, generator=generator_for(0, 0))
    actions = squash(raw, spec)
    torch.testing.assert_close(squash(torch.atanh(intended(actions, spec)), spec), actions, atol=5e-3, rtol=0)


def test_of_two_ends_of_a_pedal_the_harder_one_counts():
    both = torch.tensor([[0.2, 0.9, 0.4], [0.2, 0.1, 0.6]])
    again = squash(torch.atanh(intended(both, PEDAL)), PEDAL)
    torch.testing.assert_close(again, torch.tensor([[0.2, 0.9, 0.0], [0.2, 0.0, 0.6]]), atol=2e-3, rtol=0)


def test_a_recording_is_what_its_agent_would_have_lived_through(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn", "rollouts"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    model = WorldModel.from_folder(tmp_path)
    traces = recorded(tmp_path, model, NetworkSpec("zha"))
    store = Run(tmp_path).episodes
    episodes = {episode.rewards.tobytes(): episode for file in store.files if (episode := store.read(file))}
    assert 0 < len(traces) < len(store.files)  # without the held-out ones
    for trace in traces[:3]:
        episode = episodes[trace.rewards.numpy().tobytes()]
        senses, seen = Senses(model, "zha", "mean", [0]), list[torch.Tensor]()
        for t, frame in enumerate(episode.observations):
            senses.see(frame[None])
            seen.append(senses.features[0])
            if t < len(episode.actions):
                senses.remember(torch.from_numpy(episode.actions[t : t + 1]))
        torch.testing.assert_close(trace.features.float(), torch.stack(seen), atol=2e-2, rtol=2e-2)
        torch.testing.assert_close(trace.rewards, torch.from_numpy(episode.rewards))
        assert trace.terminal == bool(episode.terminated[-1])
        meant = squash(torch.atanh(trace.actions), model.action_spec)
        torch.testing.assert_close(meant, torch.from_numpy(episode.actions), atol=2e-3, rtol=0)


@pytest.mark.slow
def test_learning_begins_with_it_and_is_continued_bit_by_bit(tiny_run: Path, tmp_path: Path):
    sac = SACConfig(layers=(8,), episodes=2, updates=0.1, warm_up=10, batch_size=8, recorded=True)
    config = ControllerConfig(learner="sac", sac=sac, generations=2, max_steps=20, validation_episodes=2)
    for name in ("whole", "parts"):
        for stage in ("vae", "mdnrnn", "rollouts"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    folder = evolve(config, tmp_path / "whole", EnvConfig("toy"), 0, torch.device("cpu"))
    with interrupted_at("agents.learning.sac.explore", 2):
        evolve(config, tmp_path / "parts", EnvConfig("toy"), 0, torch.device("cpu"))
    evolve(config, tmp_path / "parts", EnvConfig("toy"), 0, torch.device("cpu"))
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    rows = torch.load(folder / "state.pt")["learner"]["replay"]["rows"]
    assert len(rows) == 3
    assert rows[0] > 5 * rows[1]
