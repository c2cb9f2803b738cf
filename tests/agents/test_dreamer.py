"""The actor-critic of the dream: lambda-returns against sums; broken off and continued, its course is the same."""

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
from agents.learning.actors import lambda_returns
from agents.learning.config import ControllerConfig
from agents.learning.dreamer import Dreamer, DreamerConfig, imagine
from agents.learning.learn import evolve
from agents.learning.learner import Task, World
from agents.networks import NetworkController, NetworkSpec
from rollouts import EnvConfig, UserError
from rollouts.envs.actions import ActionSpec
from rollouts.runs.files import read_json_lines
from tests.faults.helpers import differences, interrupted_at
from worldmodels.dream import Dream

CPU, TOY = torch.device("cpu"), EnvConfig("toy")
BOX = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))


def test_lambda_returns_are_the_weighted_mean_of_returns_of_all_lengths():
    rewards, discounts, values = torch.randn(6, 3), 0.9 * torch.rand(6, 3), torch.randn(7, 3)

    def after(t: int, steps: int) -> torch.Tensor:
        """``steps`` rewards, then the value."""
        total, weight = torch.zeros(3), torch.ones(3)
        for k in range(t, t + steps):
            total, weight = total + weight * rewards[k], weight * discounts[k]
        return total + weight * values[t + steps]

    for trace in (0.0, 0.7, 1.0):
        got = lambda_returns(rewards, discounts, values, trace)
        for t in range(6):
            lengths = range(1, 6 - t + 1)
            shares = [(1 - trace) * trace ** (n - 1) for n in lengths]
            shares[-1] = trace ** (6 - t - 1)
            expected = sum(share * after(t, n) for share, n in zip(shares, lengths, strict=True))
            torch.testing.assert_close(got[t], expected, atol=1e-5, rtol=1e-5)


def test_nothing_counts_after_an_end():
    rewards, values = torch.tensor([[1.0], [2.0], [100.0]]), torch.full((4, 1), 50.0)
    discounts = torch.tensor([[0.5], [0.0], [0.5]])
    assert lambda_returns(rewards, discounts, values, 1.0)[:, 0].tolist() == [2.0, 2.0, 125.0]


class Guess:
    """Lanes where action u earns -(u - 0.5)^2 at every step, whatever is seen, and that never end."""

    def reset(self, seeds: list[int], copies: int = 1) -> None:
        self.count = len(seeds)

    def features(self) -> torch.Tensor:
        return torch.ones(self.count, 2)

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        never = torch.zeros(len(actions), dtype=torch.bool)
        return -((actions[:, 0] - 0.5) ** 2), never, never


def test_it_finds_the_best_action(tmp_path: Path, make_model: Any):
    options = DreamerConfig(layers=(16,), updates=60, lanes=32, horizon=3, learning_rate=0.02, entropy=1e-4)
    spec = NetworkSpec("z", layers=(16,))
    controller = NetworkController(2, BOX, spec)
    task = Task(make_model(), spec, controller, np.zeros(controller.parameter_count), False, 0, tmp_path)
    learner = Dreamer(options, task)

    def run(function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        yield from ((index, function((Guess(), controller, CPU), *step)) for index, step in enumerate(tasks))

    progress = learner.improve(World(None, run, 5), 0)  # type: ignore[arg-type]
    assert progress.fitness[:5].mean() < -0.6 < -0.3 < progress.fitness[-5:].mean()
    assert float(learner.actor(torch.ones(1, 2))[0].detach().tanh()) == pytest.approx(0.5, abs=0.2)
    assert progress.steps == 60 * 32 * 3


def test_dreams_are_of_the_same_length_and_a_function_of_their_seeds(make_model: Any):
    model = make_model(ends=60)
    controller = NetworkController(12, BOX, NetworkSpec("zh", layers=(4,)))
    weights = torch.randn(12 * 4 + 4 + 2 * 5, generator=torch.Generator().manual_seed(0))
    one, other = (imagine((Dream(model), controller, CPU), weights, [5, 6, 7], 12) for _ in range(2))
    assert [part.shape for part in one] == [(13, 3, 12), (12, 3, 1), (12, 3), (12, 3)]
    assert set(one.going.flatten().tolist()) == {0.0, 1.0}
    for part, again in zip(one, other, strict=True):
        torch.testing.assert_close(part, again, rtol=0, atol=0)


def test_broken_off_and_continued_it_ends_as_if_it_had_not_been(tiny_run: Path, tmp_path: Path):
    config = ControllerConfig(
        learner="dreamer",
        world="dream",
        spec=ControllerSpec("zh", latent="mean"),
        generations=3,
        validation_every=1,
        validation_episodes=2,
        dreamer=DreamerConfig(layers=(8,), updates=3, lanes=6, horizon=4),
    )
    for name in ("whole", "parts"):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    folder = evolve(config, tmp_path / "whole", TOY, 0, CPU)
    for place, times in (("agents.learning.dreamer.imagine", 5), ("agents.learning.history.save_state", 1)):
        with interrupted_at(place, times):
            evolve(config, tmp_path / "parts", TOY, 0, CPU)
    evolve(config, tmp_path / "parts", TOY, 0, CPU)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    record = read_json_lines(folder / "history.jsonl", "fitness")[-1]
    assert (record["steps"], len(record["fitness"])) == (3 * 6 * 4, 3)
    assert Agent.load(tmp_path / "whole").spec == NetworkSpec("zh", "mean", (8,))
    with pytest.raises(UserError, match=r"learns in the dream world only: --controller\.world dream"):
        dataclasses.replace(config, world="real").check()
    with pytest.raises(UserError, match=r"controller\.dreamer\.layers: layers need at least one unit each, got 0"):
        dataclasses.replace(config, dreamer=DreamerConfig(layers=(0,))).check()
    with pytest.raises(UserError, match=r"trace lies between 0 and 1"):
        dataclasses.replace(config, dreamer=DreamerConfig(trace=1.2)).check()
