"""What a pipeline will take is added up from single steps, each measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agents.pipeline import estimate as module
from agents.pipeline.estimate import FIRST, LATER, estimate
from agents.pipeline.presets import PRESETS
from tests.faults.helpers import MICRO

CPU = torch.device("cpu")


def test_every_part_is_measured():
    costs = estimate(MICRO, 0, CPU)
    assert [cost.part for cost in costs] == ["collect", "V", "M", "C", "C again", "score and films"]
    assert all(0 < cost.seconds < 60 for cost in costs)


def test_steps_are_counted_as_the_stages_take_them(monkeypatch):
    """With a second for each step of each kind."""
    for name in ("vae_step", "mdn_rnn_step", "encoded_frame", "decision", "real_decision", "stock_step"):
        monkeypatch.setattr(module._Pace, name, lambda *_: 1.0)
    quick = PRESETS["quick"]
    quick = replace(quick, iterate=replace(quick.iterate, rounds=1))
    costs = dict(estimate(quick, 2, CPU))
    assert costs["V"] == quick.vae.steps + quick.iterate.vae.steps
    c, again, whole = quick.controller, quick.iterate.controller, 250
    validated = c.generations // c.validation_every * c.validation_episodes * whole
    assert costs["C"] == pytest.approx(c.generations * c.population * c.rollouts * whole * FIRST + validated)
    validated = again.generations // again.validation_every * again.validation_episodes * whole
    expected = again.generations * again.population * again.rollouts * whole * LATER + validated
    assert costs["C again"] == pytest.approx(expected)
    assert costs["score and films"] > quick.evaluate.episodes * 1000
