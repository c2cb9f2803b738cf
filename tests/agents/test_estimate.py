"""What a pipeline will take is added up from single steps, each measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agents.controller import ControllerSpec
from agents.learning.racing import episodes_of
from agents.learning.sac import SACConfig
from agents.pipeline import estimate as module
from agents.pipeline.estimate import FIRST, LATER, estimate
from agents.pipeline.presets import PRESETS
from tests.faults.helpers import MICRO
from worldmodels.untrained import untrained_world_model

CPU = torch.device("cpu")


def test_every_part_is_measured():
    costs = estimate(MICRO, 0, CPU)
    assert [cost.part for cost in costs] == ["collect", "V", "M", "C", "C again", "score and films"]
    assert all(0 < cost.seconds < math.inf for cost in costs)


def test_steps_are_counted_as_the_stages_take_them(monkeypatch):
    """With a second for each step of each kind."""
    names = ("vae_step", "mdn_rnn_step", "encoded_frame", "decision", "real_decision", "stock_decision", "update")
    for name in names:
        monkeypatch.setattr(module._Pace, name, lambda *_: 1.0)
    quick = PRESETS["quick"]
    quick = replace(quick, iterate=replace(quick.iterate, rounds=1))
    costs = dict(estimate(quick, 2, CPU))
    assert costs["V"] == quick.vae.steps + quick.iterate.vae.steps
    c, again, whole = quick.controller, quick.iterate.controller, 250
    validated = c.generations // c.validation_every * c.validation_episodes * whole
    assert costs["C"] == pytest.approx(c.generations * c.population * c.rollouts * whole * FIRST + validated)
    validated = again.generations // again.validation_every * again.validation_episodes * whole
    raced = episodes_of(again.population, again.rollouts, again.racing)
    lessons = 0.0
    for lesson in (again.teaching, again.imitation):
        explored = lesson.generations * lesson.sac.episodes * whole * LATER
        updates = max(lesson.generations * lesson.sac.least_updates, explored * lesson.sac.updates)
        tested = lesson.generations // lesson.validation_every * lesson.validation_episodes * whole
        lessons += explored + updates + tested
    expected = lessons + again.generations * raced * whole * LATER + validated
    assert costs["C again"] == pytest.approx(expected)
    filmed = 2 * module.FILM * whole
    assert costs["score and films"] == pytest.approx(quick.evaluate.episodes * whole + filmed)
    sac = PRESETS["sac"].iterate.controller
    explored = sac.generations * sac.sac.episodes * whole * LATER
    validated = sac.generations // sac.validation_every * sac.validation_episodes * whole
    assert sac.gate  # of which nothing is measured in the real world
    target = explored * (1 + sac.sac.updates) + validated
    assert dict(estimate(PRESETS["sac"], 2, CPU))["C again"] == pytest.approx(target)

    doom = PRESETS["takecover"].controller
    evolved = doom.generations * doom.population * doom.rollouts * doom.max_steps * FIRST
    gate = doom.gate * (64 * doom.max_steps + 4 * 2100)
    validated = doom.generations // doom.validation_every * doom.validation_episodes * 2100
    assert dict(estimate(PRESETS["takecover"], 2, CPU))["C"] == pytest.approx(evolved + gate + validated)


def test_an_update_of_an_actor_critic_is_measured():
    spec = ControllerSpec("zh", latent="mean")
    config = replace(MICRO.controller, learner="sac", spec=spec, sac=SACConfig(layers=(8,), batch_size=4, capacity=50))
    model = untrained_world_model(MICRO.env, MICRO.vae, MICRO.mdnrnn, CPU)
    assert 0 < module._Pace(model, MICRO, 0).update(config) < 5
    pupil = replace(config, sac=replace(config.sac, experience="teacher"))  # of one who has yet to learn anything
    assert 0 < module._Pace(model, MICRO, 0).update(pupil) < 5
