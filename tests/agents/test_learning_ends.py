"""A learning that is ended early, with the agent that it has."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from rollouts import EnvConfig, UserError
from rollouts.runs.files import read_json_lines
from rollouts.runs.layout import Run
from tests.faults.helpers import interrupted_at
from worldmodels.training.checkpoint import load_tensors

CONFIG = ControllerConfig(
    spec=ControllerSpec("z"),
    generations=6,
    population=4,
    rollouts=1,
    max_steps=10,
    average=2,
    validation_every=5,
    validation_episodes=2,
)
ARGUMENTS = (EnvConfig("toy"), 0, torch.device("cpu"))


def test_fewer_generations_end_a_search_with_the_agent_that_it_has(tiny_run: Path, tmp_path: Path):
    early, short = tmp_path / "early", tmp_path / "short"
    for run in (early, short):
        for stage in ("vae", "mdnrnn"):
            shutil.copytree(tiny_run / stage, run / stage)
    with interrupted_at("agents.learning.learn.append_json_line", 4):
        evolve(CONFIG, early, *ARGUMENTS)
    with pytest.raises(UserError, match=r"3 generations are done .*: to end there, give --controller.generations 3;"):
        evolve(dataclasses.replace(CONFIG, generations=2), early, *ARGUMENTS)
    evolve(dataclasses.replace(CONFIG, generations=3), early, *ARGUMENTS)
    evolve(dataclasses.replace(CONFIG, generations=3), short, *ARGUMENTS)
    ends = [load_tensors(Run(run).controller.weights) for run in (early, short)]
    for name in ("selected", "mean", "best"):
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=0)
    scores = [read_json_lines(Run(run).controller.history, "fitness")[-1]["validation"] for run in (early, short)]
    assert scores[0] == scores[1] == Run(early).controller.manifest["validation"]
    with pytest.raises(UserError, match="generations was 3, is now 2"):  # a finished one stays what it is
        evolve(dataclasses.replace(CONFIG, generations=2), early, *ARGUMENTS)
    evolve(CONFIG, early, *ARGUMENTS)
    assert len(read_json_lines(Run(early).controller.history, "fitness")) == 6
