"""Lessons before an evolution: a teacher by gradients, its pupil, and evolution that has the last word."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.learning.distil import DistilConfig
from agents.learning.learn import evolve
from agents.learning.sac import SACConfig
from agents.networks import NetworkSpec
from agents.records.costs import costs, rounds_of
from agents.records.experiments import curve
from rollouts import EnvConfig, UserError
from rollouts.runs.files import read_json_lines
from rollouts.runs.layout import Run
from tests.faults.helpers import differences, interrupted_at
from worldmodels.training.checkpoint import load_tensors

CPU, TOY = torch.device("cpu"), EnvConfig("toy")
CONFIG = ControllerConfig(
    teacher="sac",
    teacher_generations=2,
    lessons=2,
    sac=SACConfig(layers=(8,), episodes=2, updates=0.1, warm_up=10, batch_size=8),
    distil=DistilConfig(episodes=2, updates=20, batch_size=16),
    spec=ControllerSpec("zh", latent="mean"),
    generations=1,
    population=4,
    max_steps=20,
    validation_episodes=2,
)


def world_model_of(tiny_run: Path, run: Path) -> Path:
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, run / stage)
    return run


@pytest.mark.slow
def test_evolution_goes_on_from_what_its_teacher_taught(tiny_run: Path, tmp_path: Path):
    run, begun = world_model_of(tiny_run, tmp_path / "run"), time.perf_counter()
    evolve(CONFIG, run, TOY, 0, CPU)
    taught = load_tensors(Run(run).distilled.controller.weights)["selected"]
    first = read_json_lines(Run(run).controller.history, "fitness")[0]
    assert "initial_validation" in first  # what it was taught is the agent until something better is found
    pupil, teacher = Agent.load(run / "distilled"), Agent.load(run / "teacher")  # on the V and M of the run
    assert isinstance(teacher.spec, NetworkSpec)
    assert torch.equal(pupil.parameters, taught)
    assert Agent.load(run).controller.parameter_count == len(taught)
    parts = costs(rounds_of(run))
    assert ["sac" in part.what for part in parts] == [True, True, False]
    assert Run(run).controller.manifest["environment_steps"] == sum(part.environment_steps for part in parts) > 0
    assert 0 < sum(part.seconds for part in parts) < time.perf_counter() - begun
    (point,) = curve(rounds_of(run))  # its lessons are what was spent before its one generation
    assert point["environment_steps"] == sum(part.environment_steps for part in parts)
    assert point["seconds"] > sum(part.seconds for part in parts[:-1])


@pytest.mark.slow
def test_a_trial_beside_the_world_model_has_lessons_of_its_own(tiny_run: Path, tmp_path: Path):
    run = world_model_of(tiny_run, tmp_path / "run")
    evolve(CONFIG, run, TOY, 0, CPU, into=run / "comparison" / "zh")
    assert Run(run / "comparison" / "zh").distilled.controller.complete
    assert not Run(run).teacher.path.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "hidden"),
    [
        ("agents.learning.sac.explore", 0),
        ("agents.learning.replay.Replay.take_over", 0),
        ("agents.learning.distil.demonstrate", 3),
    ],
)
def test_whatever_breaks_off_is_continued_bit_by_bit(where: str, hidden: int, tiny_run: Path, tmp_path: Path):
    whole, parts = (world_model_of(tiny_run, tmp_path / name) for name in ("whole", "parts"))
    config = dataclasses.replace(CONFIG, spec=dataclasses.replace(CONFIG.spec, hidden=hidden))
    evolve(config, whole, TOY, 0, CPU)
    with interrupted_at(where, 1 if "take_over" in where else 2):
        evolve(config, parts, TOY, 0, CPU)
    evolve(config, parts, TOY, 0, CPU)
    assert differences(whole, parts) == []


def test_a_linear_pupil_learns_by_its_teachers_critics_and_another_one_imitates():
    pupil = dataclasses.replace(CONFIG, sac=dataclasses.replace(CONFIG.sac, idle_after=60, decay=9)).imitation
    assert (pupil.learner, pupil.sac.experience, pupil.sac.actor_layers) == ("sac", "teacher", ())
    assert (pupil.sac.idle_after, pupil.sac.decay, pupil.generations) == (58, 2, 2)
    small = dataclasses.replace(CONFIG, spec=dataclasses.replace(CONFIG.spec, hidden=3))
    assert small.imitation.learner == dataclasses.replace(CONFIG, teacher="ppo").imitation.learner == "distil"


def test_a_dreamed_evolution_has_a_teacher_in_the_world_that_it_can_learn_in():
    dreamed = dataclasses.replace(CONFIG, world="dream")
    assert (dreamed.teaching.world, dreamed.imitation.world) == ("dream", "dream")
    assert dataclasses.replace(dreamed, teacher="ppo").imitation.world == "real"  # what a teacher sees are frames
    assert dataclasses.replace(CONFIG, teacher="dreamer").teaching.world == "dream"


def test_only_an_evolution_has_a_teacher():
    assert CONFIG.taught
    assert not dataclasses.replace(CONFIG, learner="sac").taught
    dataclasses.replace(CONFIG, learner="sac", restarts=2).check()  # a preset's teacher is in nobody's way


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"teacher": "sack"}, "There is no learner 'sack'"),
        ({"teacher": "distil"}, r"is a learner by gradients \(sac, ppo ...\), got 'distil'"),
        ({"restarts": 2}, "leave out --controller.restarts"),
        ({"lessons": 0}, "controller.lessons must be positive"),
        ({"sac": SACConfig(gamma=2.0)}, "controller.sac.gamma must be above 0"),
    ],
)
def test_what_cannot_be_taught_is_refused(options: dict[str, object], sentence: str):
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(CONFIG, **options).check()
