"""Distillation: what is imitated against closed forms, and C that comes to drive as its teacher does."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import Agent, LinearController
from agents.controller import ControllerSpec, perceptron, squash
from agents.learning.config import ControllerConfig
from agents.learning.distil import DistilConfig, demonstrate, imitation_error, rescaled
from agents.learning.learn import evolve
from agents.networks import NetworkSpec
from rollouts import EnvConfig, UserError
from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.runs.files import read_json_lines
from tests.faults.helpers import call, differences, interrupted_at
from worldmodels.training.checkpoint import load_tensors

CPU, TOY = torch.device("cpu"), EnvConfig("toy")
CAR = ActionSpec("box", (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.5, 1.0), (0.0, 0.5, 0.0))
PEDAL = dataclasses.replace(CAR, pedals=(Pedal(1, 2, offset=0.5, slack=0.1),))


@pytest.mark.parametrize("spec", [CAR, PEDAL], ids=["plain", "pedal"])
def test_what_makes_the_teachers_actions_has_no_error_and_descent_finds_it(spec: ActionSpec):
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(200, spec.outputs, generator=generator)
    actions = squash(raw, spec)
    assert float(imitation_error(raw, actions, spec)) < 1e-10
    tried = torch.randn(200, spec.outputs, generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([tried], 0.05)
    for _ in range(300):  # also from outputs that the clipping would give no gradient
        optimiser.zero_grad()
        imitation_error(tried, actions, spec).backward()
        optimiser.step()
    torch.testing.assert_close(squash(tried.detach(), spec), actions, atol=0.08, rtol=0)


def test_errors_count_in_shares_of_the_range_and_beyond_a_limit_not_at_all():
    raw, expected = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.0, 1.0]])
    # steering 0 where 0.5 is wanted, of a range of 2; gas 0.5 where 0 is; brake 0 where 1 is
    assert float(imitation_error(raw, expected, CAR)) == pytest.approx((0.25**2 + 0.5**2 + 1) / 3)
    beyond = torch.tensor([[-9.0, -9.0, -9.0]])
    assert float(imitation_error(beyond, torch.tensor([[-1.0, 0.0, 0.0]]), CAR)) == pytest.approx(0, abs=1e-9)
    choices = ActionSpec("discrete", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0, 1, 2))
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    entropy = -torch.log_softmax(logits, 1)[0, 1]
    torch.testing.assert_close(imitation_error(logits, torch.tensor([[0.0, 1.0, 0.0]]), choices), entropy)


@pytest.mark.parametrize("hidden", [0, 4])
def test_weights_for_standardised_features_do_the_same(hidden: int):
    controller = LinearController(5, CAR, hidden)
    weights, features = torch.randn(controller.parameter_count), torch.randn(9, 5)
    mean, sd = torch.randn(5), torch.rand(5) + 0.5
    moved = rescaled(weights, controller, mean, sd)
    raw = perceptron(weights, features, controller.shapes, True)
    torch.testing.assert_close(perceptron(moved, (features - mean) / sd, controller.shapes, True), raw)
    torch.testing.assert_close(rescaled(moved, controller, -mean / sd, 1 / sd), weights, atol=1e-5, rtol=1e-4)


@pytest.fixture
def teacher(tiny_run: Path, tmp_path: Path) -> Path:
    """A network that turns towards something it sees, as a run of its own."""
    spec = NetworkSpec("zh", "mean", (6,), "tanh", "clip")
    agent = Agent.of(tiny_run, spec, torch.zeros(20 * 6 + 6 + 7))
    weights = 0.6 * torch.randn(len(agent.parameters), generator=torch.Generator().manual_seed(1))
    return dataclasses.replace(agent, parameters=weights).save(tmp_path / "teacher")


CONFIG = ControllerConfig(
    learner="distil",
    spec=ControllerSpec("zh", latent="mean"),
    generations=3,
    max_steps=40,
    validation_every=2,
    validation_episodes=2,
)


@pytest.mark.parametrize("hidden", [0, 5])
def test_it_acts_as_its_teacher_and_is_continued_bit_by_bit(hidden: int, teacher: Path, tiny_run: Path, tmp_path: Path):
    options = DistilConfig(str(teacher), episodes=6, updates=150, batch_size=64, learning_rate=0.05)
    spec = dataclasses.replace(CONFIG.spec, hidden=hidden)
    config = dataclasses.replace(CONFIG, distil=options, spec=spec)
    for name in ("whole", "parts"):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, tmp_path / name / stage)
    folder = evolve(config, tmp_path / "whole", TOY, 0, CPU)
    if hidden:  # what is random there is random once
        with interrupted_at("agents.learning.distil.demonstrate", 3):
            evolve(config, tmp_path / "parts", TOY, 0, CPU)
        evolve(config, tmp_path / "parts", TOY, 0, CPU)
        assert differences(tmp_path / "whole", tmp_path / "parts") == []
    errors = [record["imitation_error"] for record in read_json_lines(folder / "history.jsonl", "fitness")]
    assert max(errors) < 0.02
    student, master = Agent.load(tmp_path / "whole"), Agent.load(teacher)
    seen = torch.cat([trace.features for trace in trial(student, None)]).float()
    ours, theirs = (agent.controller.act(agent.parameters, seen) for agent in (student, master))
    assert float((ours - theirs).abs().mean()) < 0.5 * float(theirs.std()) < 0.5


def trial(agent: Agent, driver: Any) -> Any:
    from agents.lanes import RealLanes

    lanes = RealLanes(agent.model, TOY, "zh", "mean")
    return demonstrate((lanes, agent.controller, CPU), agent, driver, [1, 2, 3], 40, None)


def test_the_teacher_is_asked_in_the_states_that_the_student_gets_into(teacher: Path):
    agent = Agent.load(teacher)
    own = trial(agent, None)
    again = trial(agent, agent.parameters)  # the student is the teacher
    assert [len(one.rewards) for one in own] == [len(one.rewards) for one in again]
    for one, other in zip(own, again, strict=True):
        torch.testing.assert_close(one.actions, other.actions, atol=1e-4, rtol=0)
    assert len({len(one.rewards) for one in own}) > 1  # lanes ended at different times, beside the teacher's eyes


def test_the_command_imitates_and_then_evolves(teacher: Path, tiny_run: Path, tmp_path: Path):
    run = tmp_path / "run"
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, run / stage)
    few = ("--controller.distil.episodes", 2, "--controller.distil.updates", 5, "--controller.generations", 1)
    common = ("--run", run, "--preset", "tiny", "--env.id", "toy", "--workers", 0, "--device", "cpu", *few)
    assert call("distil", *common) == 2  # whom?
    assert call("distil", *common, "--teacher", teacher, "--controller.learner", "sac") == 2
    assert call("distil", *common, "--teacher", teacher, "--controller.principal", -1) == 2
    assert not (run / "distilled").exists()
    assert call("distil", *common, "--teacher", teacher, "--rounds", 1) == 0
    begun = load_tensors(run / "distilled" / "controller" / "weights.safetensors")
    history = read_json_lines(run / "controller" / "history.jsonl", "fitness")
    assert "initial_validation" in history[0]
    assert Agent.load(run).controller.parameter_count == len(begun["selected"])


def test_mistakes_are_named(tiny_run: Path, teacher: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"learns in the real world only: --controller\.world real"):
        dataclasses.replace(CONFIG, world="dream", distil=DistilConfig(str(teacher))).check()
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / "run" / stage)
    with pytest.raises(UserError, match=r"Name an agent: --controller\.distil\.teacher"):
        evolve(CONFIG, tmp_path / "run", TOY, 0, CPU)
    shutil.rmtree(tmp_path / "run" / "controller")
    config = dataclasses.replace(CONFIG, distil=DistilConfig("pretrained/carracing"))
    with pytest.raises(UserError, match="pretrained/carracing acts in another world"):
        evolve(config, tmp_path / "run", TOY, 0, CPU)
