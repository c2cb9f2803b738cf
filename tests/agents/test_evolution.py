"""Evolution's books: what a run cost, in the world's own steps and in imagined ones."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from agents.evaluators import ControllerSpec
from agents.evolution import ControllerConfig, evolve, steps_taken
from rollouts import EnvConfig
from rollouts.artifacts import Stage, read_json_lines
from rollouts.collect import CollectConfig, collect

#: 2 generations of 4 candidates x 3 episodes of at most 20 decisions; the second is validated on 2 whole episodes.
CONFIG = ControllerConfig(
    spec=ControllerSpec("z"),
    generations=2,
    population=4,
    rollouts=3,
    max_steps=20,
    validation_every=2,
    validation_episodes=2,
)


def test_decisions_are_counted_as_the_steps_of_the_environment_that_they_last():
    history = [{"steps": 10}, {"steps": 20, "validation": 1.0, "validation_steps": 5}]
    assert steps_taken(history, "real", 4) == {"environment_steps": 140, "imagined_steps": 0}
    assert steps_taken(history, "dream", 4) == {"environment_steps": 20, "imagined_steps": 30}


@pytest.mark.parametrize("world", ["real", "dream"])
def test_the_manifest_tells_real_steps_from_imagined_ones(world: str, tiny_run: Path, tmp_path: Path):
    for stage in ("vae", "mdnrnn"):
        shutil.copytree(tiny_run / stage, tmp_path / stage)
    config = dataclasses.replace(CONFIG, world=world, strategy="pgpe")
    evolve(config, tmp_path, EnvConfig("toy"), 0, torch.device("cpu"))
    history = read_json_lines(tmp_path / "controller" / "history.jsonl", "fitness")
    validation = history[1]["validation_steps"]
    fitness = sum(record["steps"] for record in history)
    assert 0 < validation <= 2 * 50
    assert 0 < fitness <= 2 * 4 * 3 * 20
    assert "validation_steps" not in history[0]
    manifest = Stage(tmp_path, "controller").manifest
    counted = (manifest["environment_steps"], manifest["imagined_steps"])
    assert counted == ((fitness + validation, 0) if world == "real" else (validation, fitness))
    assert manifest["seconds"] >= sum(record["seconds"] for record in history) - 0.1


def test_a_recording_counts_the_steps_between_decisions(tmp_path: Path):
    env = EnvConfig("toy", action_repeat=5)
    collect(CollectConfig(episodes=3, max_steps=4), env, tmp_path, workers=0)
    manifest = Stage(tmp_path, "rollouts").manifest
    assert 0 < manifest["steps"] <= 12
    assert manifest["environment_steps"] == 5 * manifest["steps"]
