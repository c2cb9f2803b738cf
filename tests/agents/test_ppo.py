"""PPO: returns and gains against their definitions; it learns; broken off and continued, its course is the same."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec
from agents.learning.actors import SteadyActor
from agents.learning.config import ControllerConfig
from agents.learning.experience import Trace
from agents.learning.learn import evolve
from agents.learning.learner import Task, World
from agents.learning.ppo import PPO, PPOConfig, clipped_gain, critic_targets
from agents.networks import NetworkController, NetworkSpec
from rollouts import EnvConfig, UserError
from rollouts.envs.actions import ActionSpec
from rollouts.runs.files import read_json_lines
from tests.faults.helpers import differences, interrupted_at

CPU, TOY = torch.device("cpu"), EnvConfig("toy")
BOX = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))


def test_returns_are_generalised_advantages_above_what_was_expected():
    """A[t] = sum over l of (gamma lambda)^l times the one-step error at t + l, up to the episode's own end."""
    rng, gamma, shrink = torch.Generator().manual_seed(0), 0.9, 0.9 * 0.7
    lengths, ends = (5, 2, 4), (True, False, False)
    rewards = [torch.randn(length, generator=rng) for length in lengths]
    values = [torch.randn(length + 1, generator=rng) for length in lengths]
    traces = [
        Trace(torch.zeros(len(r) + 1, 2), torch.zeros(len(r), 1), r, end) for r, end in zip(rewards, ends, strict=True)
    ]
    found = critic_targets(traces, values, gamma, 0.7)
    for got, reward, value, end in zip(found, rewards, values, ends, strict=True):
        following = value[1:].clone()
        following[-1] *= 1 - end
        errors = reward + gamma * following - value[:-1]
        expected = [sum(shrink**k * errors[t + k] for k in range(len(errors) - t)) for t in range(len(errors))]
        torch.testing.assert_close(got - value[:-1], torch.stack(expected))


def test_the_gain_is_clipped_where_it_would_go_on_and_never_where_it_turns_back():
    ratio, advantage = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1]), torch.tensor([2.0, -2.0, 2.0, -2.0, 3.0])
    torch.testing.assert_close(clipped_gain(ratio, advantage, 0.2), torch.tensor([2.4, -3.0, 1.0, -1.6, 3.3]))


def test_weights_in_a_row_come_back():
    one, other = (SteadyActor([3, 4, 2], 1.0, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    other.take_mean(one.mean_weights())
    x = torch.randn(5, 3)
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=0)
    controller = NetworkController(3, ActionSpec("box", *((v,) * 2 for v in (-1.0, 1.0, 1.0, 0.0))), _spec((4,)))
    torch.testing.assert_close(torch.tanh(one(x)), controller.act(one.mean_weights(), x))


def _spec(layers: tuple[int, ...]) -> NetworkSpec:
    return NetworkSpec("z", layers=layers, activation="tanh")


class Guess:
    """Lanes where action u earns -(u - 0.5)^2 at every step, whatever is seen."""

    def reset(self, seeds: list[int], copies: int = 1) -> None:
        self.count = len(seeds)

    def features(self) -> torch.Tensor:
        return torch.ones(self.count, 2)

    def keep(self, lanes: torch.Tensor) -> None:
        self.count = int(lanes.sum())

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        never = torch.zeros(len(actions), dtype=torch.bool)
        return -((actions[:, 0] - 0.5) ** 2), never, never


@pytest.mark.parametrize("layers", [(16,), ()])
def test_it_finds_the_best_action(layers: tuple[int, ...], tmp_path: Path, make_model: Any):
    options = PPOConfig(layers=layers, critic_layers=(16,), episodes=32, batch_size=64, learning_rate=0.02, epochs=4)
    controller = NetworkController(2, BOX, _spec(layers))
    task = Task(make_model(), _spec(layers), controller, np.zeros(controller.parameter_count), False, 0, tmp_path)
    learner = PPO(options, task)

    def run(function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        yield from ((index, function((Guess(), controller, CPU), *step)) for index, step in enumerate(tasks))

    found = [learner.improve(World(None, run, 4), iteration) for iteration in range(25)]  # type: ignore[arg-type]
    assert found[0].fitness.mean() < -2.0 < -1.0 < found[-1].fitness.mean()
    assert float(learner.actor(torch.ones(1, 2))[0].detach().tanh()) == pytest.approx(0.5, abs=0.2)
    assert found[0].steps == 32 * 4
    assert float(learner.actor.log_std.exp().detach()) < 1.0  # noise costs here


@pytest.mark.parametrize("world", ["real", "dream"])
def test_broken_off_and_continued_it_ends_as_if_it_had_not_been(world: Any, tiny_run: Path, tmp_path: Path):
    config = ControllerConfig(
        learner="ppo",
        world=world,
        spec=ControllerSpec("zh", latent="mean"),
        generations=3,
        max_steps=12,
        validation_every=1,
        validation_episodes=2,
        ppo=PPOConfig(layers=(8,), episodes=6, batch_size=16),
    )
    for name in ("whole", "parts"):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    folder = evolve(config, tmp_path / "whole", TOY, 0, CPU)
    for place, times in (("agents.learning.ppo.explore", 2), ("agents.learning.history.save_state", 1)):
        with interrupted_at(place, times):
            evolve(config, tmp_path / "parts", TOY, 0, CPU)
    evolve(config, tmp_path / "parts", TOY, 0, CPU)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    record = read_json_lines(folder / "history.jsonl", "fitness")[-1]
    assert len(record["fitness"]) == 6
    assert 0 <= record["clipped"] <= 1
    assert Agent.load(tmp_path / "whole").spec == NetworkSpec("zh", "mean", (8,), "tanh")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.5}, r"gamma must be above 0 and at most 1"),
        ({"trace": -0.1}, r"trace lies between 0 and 1"),
        ({"entropy": float("nan")}, r"entropy is a number"),
        ({"clip": 0.0}, r"controller\.ppo\.clip"),
        ({"layers": (64, 0)}, r"controller\.ppo\.layers: layers need at least one unit each, got 64 0"),
        ({"critic_layers": (-3,)}, r"controller\.ppo\.critic-layers: layers need at least one unit each, got -3"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], message: str):
    config = ControllerConfig(learner="ppo")
    with pytest.raises(UserError, match=message):
        dataclasses.replace(config, ppo=PPOConfig(**options)).check()  # type: ignore[arg-type]
