"""The actor-critic: its mathematics against closed forms, its replay against loops, its course against interruption."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec, perceptron
from agents.learning.actors import Actor, Critics, draw, follow, soft_target, split
from agents.learning.config import ControllerConfig
from agents.learning.experience import experience
from agents.learning.learn import evolve
from agents.learning.learner import Task, World
from agents.learning.sac import LONGEST_STUMBLE, SAC, Missteps, SACConfig
from agents.networks import NetworkController, NetworkSpec
from agents.records.costs import cost_of
from rollouts import EnvConfig, UserError
from rollouts.envs.actions import ActionSpec
from rollouts.runs.files import read_json_lines
from rollouts.runs.stage import Stage
from tests.faults.helpers import differences, interrupted_at
from worldmodels.training.checkpoint import load_tensors
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")
BOX = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))


def test_the_log_probability_of_an_action_is_that_of_a_squashed_normal():
    mean, log_std, noise = 0.5 * torch.randn(3, 20, 2, dtype=torch.float64, generator=generator_for(0, 0))
    actions, log_probs = draw(mean, log_std, noise)
    squashed = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, log_std.exp()), torch.distributions.transforms.TanhTransform()
    )
    torch.testing.assert_close(log_probs, squashed.log_prob(actions).sum(1))
    torch.testing.assert_close(actions, torch.tanh(mean + log_std.exp() * noise))


def test_its_density_over_all_actions_is_one_and_far_out_it_stays_a_number():
    actions = torch.linspace(-1, 1, 200_001, dtype=torch.float64)[1:-1, None]
    mean, log_std = torch.tensor([[0.4]], dtype=torch.float64), torch.tensor([[-0.3]], dtype=torch.float64)
    noise = (torch.atanh(actions) - mean) / log_std.exp()
    density = draw(mean, log_std, noise)[1].exp()
    assert float(density.sum()) * 1e-5 == pytest.approx(1, abs=1e-4)
    assert torch.isfinite(draw(torch.tensor([[40.0, -40.0]]), torch.zeros(1, 2), torch.zeros(1, 2))[1]).all()


def test_the_target_is_the_return_and_the_soft_value_of_the_worse_critic():
    values = torch.tensor([[1.0, 5.0], [2.0, 4.0]])
    target = soft_target(
        torch.tensor([10.0, 20.0]), torch.tensor([0.9, 0.0]), values, torch.tensor([-1.0, 3.0]), torch.tensor(0.5)
    )
    torch.testing.assert_close(target, torch.tensor([10 + 0.9 * (1.0 + 0.5), 20.0]))


def test_slow_critics_follow_exponentially():
    slow, fast = (Critics(3, 1, (4,), generator_for(seed, 0)) for seed in (0, 1))
    begin = [p.clone() for p in slow.parameters()]
    for _ in range(5):
        follow(slow, fast, 0.1)
    for now, first, goal in zip(slow.parameters(), begin, fast.parameters(), strict=True):
        torch.testing.assert_close(now, goal + 0.9**5 * (first - goal))


def test_critics_are_independent_networks_with_layer_norm():
    critics = Critics(3, 2, (5, 4), generator_for(0, 0))
    features, actions = torch.randn(7, 3), torch.randn(7, 2)
    together = critics(features, actions)
    for number in range(2):
        values = torch.cat([features, actions], 1)
        for layer in range(3):
            values = values @ critics.matrices[layer][number] + critics.biases[layer][number]
            if layer < 2:
                spread = (values.var(1, correction=0, keepdim=True) + 1e-5) ** 0.5
                values = torch.relu((values - values.mean(1, keepdim=True)) / spread)
        torch.testing.assert_close(together[number], values[:, 0])
    assert not torch.allclose(together[0], together[1])


def test_the_weights_of_an_actor_are_those_of_a_controller():
    actor, features = Actor(5, 2, (6, 4), generator_for(0, 0)), torch.randn(9, 5)
    mean, log_std = actor(features)
    box = ActionSpec("box", (-1.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2)
    controller = NetworkController(5, box, NetworkSpec("z", layers=(6, 4)))
    torch.testing.assert_close(controller.act(actor.mean_weights(), features), mean.tanh())
    *hidden, (rows, columns) = controller.shapes
    raw = perceptron(actor.weights(), features, [*hidden, (2 * rows, columns)], True, torch.relu)
    torch.testing.assert_close(torch.stack(split(raw)), torch.stack([mean, log_std]))
    other = Actor(5, 2, (6, 4), generator_for(1, 0))
    other.take_mean(actor.mean_weights())
    torch.testing.assert_close(other(features)[0], mean)


class Script:
    """Lane i receives ``rewards[i]`` in turn; with the last of them it ends, or is truncated. Features are the time."""

    def __init__(self, rewards: list[list[float]], ends: list[bool]) -> None:
        self.all = list(zip(rewards, ends, strict=True))

    def reset(self, seeds: list[int], copies: int = 1) -> None:
        self.running, self.time = list(self.all), 0

    def features(self) -> torch.Tensor:
        return torch.full((len(self.running), 1), float(self.time))

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        reward = torch.tensor([rewards[self.time] for rewards, _ in self.running])
        self.time += 1
        last = [len(rewards) == self.time for rewards, _ in self.running]
        ends = torch.tensor([over and end for over, (_, end) in zip(last, self.running, strict=True)])
        return reward, ends, torch.tensor(last) & ~ends

    def keep(self, lanes: torch.Tensor) -> None:
        self.running = [lane for lane, kept in zip(self.running, lanes.tolist(), strict=True) if kept]


def test_episodes_are_kept_lane_by_lane_and_only_ends_and_hopeless_ones_are_terminal():
    rewards = [[1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 0.0, 9.0, 9.0], [1.0] * 9]
    lanes, acted = Script(rewards, [True, False, True, True]), list[list[int]]()

    def act(features: torch.Tensor, running: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        acted.append(running.tolist())
        return features, features + 10 * running[:, None]

    traces = experience(lanes, act, [0, 1, 2, 3], 5, patience=2)
    assert acted == [[0, 1, 2, 3], [0, 1, 2, 3], [1, 3], [3], [3]]
    assert [trace.rewards.tolist() for trace in traces] == [[1, 2], [1, 1, 1], [0, 0], [1] * 5]
    assert [trace.terminal for trace in traces] == [True, False, True, False]  # the last one is broken off
    for lane, one in enumerate(traces):
        assert one.features[:, 0].tolist() == list(range(len(one.rewards) + 1))
        assert one.actions[:, 0].tolist() == [10 * lane + t for t in range(len(one.rewards))]


def test_stumbles_begin_as_often_as_asked_and_hold_one_random_thing_each():
    steps, actor = Missteps(0.05, 2, generator_for(0, 2)), torch.tensor([9.0, -9.0])  # beyond what a stumble does
    done = [steps.instead_of(actor) for _ in range(20_000)]
    lengths, before, seen = list[int](), actor, list[torch.Tensor]()
    for one in done:
        if torch.equal(one, actor):
            before = actor
        elif torch.equal(one, before):
            lengths[-1] += 1
        else:
            lengths.append(1)
            seen.append(one)
            before = one
    assert set(lengths) == set(range(1, LONGEST_STUMBLE + 1))
    stumbling = sum(lengths)
    assert len(lengths) / (20_000 - stumbling + len(lengths)) == pytest.approx(0.05, rel=0.1)
    held = torch.tanh(torch.stack(seen))
    assert held.abs().max() <= 0.99
    torch.testing.assert_close(held.mean(0), torch.zeros(2), atol=0.06, rtol=0)
    torch.testing.assert_close(held.std(0), torch.full((2,), 0.99 / 3**0.5), atol=0.04, rtol=0)
    same = Missteps(0.05, 2, generator_for(0, 2))
    assert all(torch.equal(same.instead_of(actor), one) for one in done[:500])
    assert torch.equal(Missteps(0.0, 2, generator_for(0, 2)).instead_of(actor), actor)


class Guess:
    """Lanes of one step each, where action u earns -(u - 0.5)^2, whatever is seen."""

    def reset(self, seeds: list[int], copies: int = 1) -> None:
        self.count = len(seeds) * copies

    def features(self) -> torch.Tensor:
        return torch.ones(self.count, 2)

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ended = torch.ones(len(actions), dtype=torch.bool)
        return -((actions[:, 0] - 0.5) ** 2), ended, ~ended

    def keep(self, lanes: torch.Tensor) -> None:
        raise AssertionError("all lanes end together")


def task_of(tmp_path: Path, options: SACConfig, make_model: Any) -> Task:
    spec = NetworkSpec("z", layers=options.layers)
    controller = NetworkController(2, BOX, spec)
    return Task(make_model(), spec, controller, np.zeros(controller.parameter_count), False, 0, tmp_path)


def test_it_finds_the_best_action_and_keeps_the_entropy_that_is_asked_for(tmp_path: Path, make_model: Any):
    options = SACConfig(
        layers=(32,),
        episodes=64,
        updates=0.5,
        warm_up=64,
        batch_size=64,
        learning_rate=1e-2,
        reward_scale=5.0,
        steps=1,
        entropy=-1.0,
        tau=0.1,
    )
    learner = SAC(options, task_of(tmp_path, options, make_model))
    kept = (Guess(), NetworkController(2, BOX, NetworkSpec("z", layers=(32,))), CPU)

    def run(function: Any, tasks: Any) -> Iterator[tuple[int, Any]]:
        yield from ((index, function(kept, *task)) for index, task in enumerate(tasks))

    world = World(None, run, 5)  # type: ignore[arg-type]
    first = learner.improve(world, 0).fitness.mean()
    for iteration in range(1, 10):
        progress = learner.improve(world, iteration)
    assert progress.steps == 64
    assert progress.facts["updates"] == 32
    assert progress.facts["entropy"] == pytest.approx(-1.0, abs=0.4)
    assert float(learner.actor(torch.ones(1, 2))[0].detach().tanh()) == pytest.approx(0.5, abs=0.12)
    assert first < -0.3 < -0.08 < progress.fitness.mean()


@pytest.mark.parametrize(("done", "share"), [(0, 1.0), (5, 0.525), (10, 0.05), (99, 0.05)])
def test_the_rates_of_actor_and_critics_fall_by_half_a_cosine(done: int, share: float, tmp_path: Path, make_model: Any):
    options = SACConfig(layers=(8,), learning_rate=0.02, decay=10)
    learner = SAC(options, task_of(tmp_path, options, make_model))
    learner._set_rates(done)
    actor, critics, temperature = (optimiser.param_groups[0]["lr"] for optimiser in learner.optimisers)
    assert (actor, critics, temperature) == pytest.approx((0.02 * share, 0.02 * share, 0.02))


SMALL = SACConfig(
    layers=(8,),
    episodes=5,
    updates=0.2,
    decay=3,
    idle=0.5,
    idle_after=2,
    stumbles=0.1,
    later_patience=9,
    warm_up=20,
    batch_size=8,
    capacity=150,
)
CONFIG = ControllerConfig(
    learner="sac",
    spec=ControllerSpec("zh", latent="mean"),
    generations=4,
    max_steps=20,
    patience=8,
    validation_every=2,
    validation_episodes=2,
    sac=SMALL,
)


@pytest.mark.parametrize("world", ["real", "dream"])
def test_broken_off_anywhere_and_continued_it_ends_as_if_it_had_not_been(world: str, tiny_run: Path, tmp_path: Path):
    config = dataclasses.replace(CONFIG, world=world)
    for name in ("whole", "parts"):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    folder = evolve(config, tmp_path / "whole", EnvConfig("toy"), 0, CPU)
    places = {
        "real": [("agents.learning.sac.follow", 12), ("agents.learning.history.save_state", 1)],
        "dream": [("agents.learning.sac.explore", 3), ("agents.learning.replay.save_tensors", 2)],
    }
    for place, times in places[world]:
        with interrupted_at(place, times):
            evolve(config, tmp_path / "parts", EnvConfig("toy"), 0, CPU)
    evolve(config, tmp_path / "parts", EnvConfig("toy"), 0, CPU)
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    history = read_json_lines(folder / "history.jsonl", "fitness")
    assert [len(record["fitness"]) for record in history] == [5] * 4
    assert history[-1]["updates"] == round(0.2 * history[-1]["steps"])
    assert {"critic_loss", "value", "entropy", "alpha"} <= read_json_lines(folder / "metrics.jsonl", "step")[-1].keys()
    assert max(record["steps"] for record in history) <= SMALL.decisions(20) == 100
    cost = cost_of(0, Stage(tmp_path / "whole", "controller"))
    assert f"4 iterations of sac in the {world} world, 177 weights on [z, h]" in cost.what
    agent = Agent.load(tmp_path / "whole")
    assert agent.spec == NetworkSpec("zh", "mean", (8,))
    torch.testing.assert_close(agent.parameters, load_tensors(folder / "weights.safetensors")["selected"])


def test_it_goes_on_from_an_earlier_actor(tiny_run: Path, tmp_path: Path):
    for name in ("first", "second"):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    first = evolve(dataclasses.replace(CONFIG, generations=1), tmp_path / "first", EnvConfig("toy"), 0, CPU)
    never = dataclasses.replace(CONFIG, generations=1, sac=dataclasses.replace(SMALL, warm_up=10_000))
    second = evolve(never, tmp_path / "second", EnvConfig("toy"), 0, CPU, start_from=first)
    ends = [load_tensors(folder / "weights.safetensors") for folder in (first, second)]
    torch.testing.assert_close(ends[1]["mean"], ends[0]["selected"])
    with pytest.raises(UserError, match=r"21 parameters; it cannot be the start of one with 177 of another kind"):
        evolve(never, tmp_path / "second", EnvConfig("toy"), 0, CPU, tiny_run / "controller", tmp_path / "third")


def test_an_evolution_goes_on_from_an_actor_without_hidden_layers(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    options = dataclasses.replace(CONFIG, generations=1, sac=dataclasses.replace(SMALL, actor_layers=()))
    actor = Agent.load(evolve(options, tmp_path, EnvConfig("toy"), 0, CPU, into=tmp_path / "teacher").parent)
    assert actor.spec == NetworkSpec("zh", "mean", ())
    again = dataclasses.replace(options, sac=dataclasses.replace(options.sac, warm_up=10_000))
    further = evolve(again, tmp_path, EnvConfig("toy"), 0, CPU, tmp_path / "teacher" / "controller", tmp_path / "again")
    torch.testing.assert_close(load_tensors(further / "weights.safetensors")["mean"], actor.parameters)
    evolution = dataclasses.replace(CONFIG, learner="evolution", generations=1, population=4, sigma=1e-9, rollouts=1)
    folder = evolve(evolution, tmp_path, EnvConfig("toy"), 0, CPU, tmp_path / "teacher" / "controller")
    evolved = Agent.load(tmp_path)
    assert isinstance(evolved.spec, ControllerSpec)
    torch.testing.assert_close(load_tensors(folder / "weights.safetensors")["mean"], actor.parameters)
    features = torch.randn(9, actor.controller.inputs, generator=generator_for(0, 0))
    torch.testing.assert_close(
        evolved.controller.act(evolved.parameters, features), actor.controller.act(actor.parameters, features)
    )


@pytest.mark.slow
def test_a_smaller_actor_learns_on_with_the_critics_and_the_replay_of_another(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    teacher, pupil = tmp_path / "teacher", tmp_path / "distilled"
    evolve(CONFIG, tmp_path, EnvConfig("toy"), 0, CPU, into=teacher)
    options = dataclasses.replace(SMALL, actor_layers=(), experience=str(teacher), tau=1e-9, learning_rate=1e-9)
    config = dataclasses.replace(CONFIG, generations=2, sac=options)
    evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, into=pupil)
    before, after = (torch.load(run / "controller" / "state.pt")["learner"] for run in (teacher, pupil))
    for name in ("critics", "targets"):  # at such rates they stay what they were
        for key, value in before[name].items():
            torch.testing.assert_close(after[name][key], value)
    assert after["replay"]["rows"][: len(before["replay"]["rows"])] == before["replay"]["rows"]
    assert len(after["replay"]["rows"]) == len(before["replay"]["rows"]) + 2
    torch.testing.assert_close(after["log_alpha"], before["log_alpha"])
    assert Agent.load(pupil).spec == NetworkSpec("zh", "mean", ())
    parts = tmp_path / "parts"
    with interrupted_at("agents.learning.sac.explore", 2):
        evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, into=parts)
    evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, into=parts)
    assert differences(pupil, parts) == []


@pytest.mark.slow
def test_an_actor_of_the_same_layers_goes_on_with_other_options(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    first = evolve(CONFIG, tmp_path, EnvConfig("toy"), 0, CPU, into=tmp_path / "teacher")
    options = dataclasses.replace(SMALL, experience=str(tmp_path / "teacher"), tau=1e-9, learning_rate=1e-9, idle=3.0)
    config = dataclasses.replace(CONFIG, generations=1, sac=options)
    further = evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, into=tmp_path / "further")
    before, after = (torch.load(folder / "state.pt")["learner"]["actor"] for folder in (first, further))
    for name, weights in before.items():  # its noise as well as its mean
        torch.testing.assert_close(after[name], weights)
    evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, first, tmp_path / "distilled")  # from what was validated
    torch.testing.assert_close(
        Agent.load(tmp_path / "distilled").parameters, Agent.load(tmp_path / "teacher").parameters, rtol=0, atol=1e-5
    )


def test_experience_that_is_of_no_use_is_refused(tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    teacher = tmp_path / "teacher"
    once = dataclasses.replace(CONFIG, generations=1)
    evolve(once, tmp_path, EnvConfig("toy"), 0, CPU, into=teacher)

    def refused(sentence: str, **options: Any) -> None:
        spec = options.pop("spec", once.spec)
        sac = dataclasses.replace(SMALL, **{"experience": str(teacher), **options})
        config = dataclasses.replace(once, spec=spec, sac=sac)
        with pytest.raises(UserError, match=sentence):
            evolve(config, tmp_path, EnvConfig("toy"), 0, CPU, into=tmp_path / "x")

    refused("not learned by SAC there, with critics of --controller.sac.layers 9", layers=(9,))
    refused("not learned by SAC there", experience=str(tiny_run))
    refused("there is no finished teacher in .*x.teacher", experience="teacher")
    refused("C saw other features there .--controller.spec.features zh", spec=ControllerSpec("z", latent="mean"))
    shutil.rmtree(teacher / "controller" / "replay")
    refused("has not kept what is to be learned from")


def test_what_makes_no_sense_is_refused(tiny_run: Path, tmp_path: Path, make_model: Any):
    for change, message in (
        ({"gamma": 1.5}, r"--controller\.sac\.gamma must be above 0 and at most 1, got 1\.5"),
        ({"batch_size": 0}, r"--controller\.sac\.batch-size must be positive, got 0"),
        ({"layers": (0,)}, "layers need at least one unit"),
    ):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(CONFIG, sac=dataclasses.replace(SMALL, **change)).check()
    choices = ActionSpec("discrete", (0.0,) * 2, (1.0,) * 2, (1.0,) * 2, (0.0,) * 2, (0, 1))
    spec = NetworkSpec("z", layers=(8,))
    controller = NetworkController(2, choices, spec)
    with pytest.raises(UserError, match="needs continuous actions"):
        SAC(SMALL, Task(make_model(), spec, controller, np.zeros(controller.parameter_count), False, 0, tmp_path))
    assert math.isclose(SMALL.gamma, 0.99)
