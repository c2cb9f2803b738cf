"""The guide to environments of one's own: its files and commands are run as they stand there, in tiny form."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import gymnasium as gym
import pytest

from agents import Agent
from agents.pipeline.presets import LAPTOP, PRESETS, preset_for
from agents.viewing.human import action_names, bindings
from rollouts import make_env
from rollouts.envs.presets import PRESETS as WORLDS
from tests.faults.helpers import call

pytestmark = pytest.mark.slow  # whole pipelines, as the guide has them

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "environments.md").read_text()
PACKAGES = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "CartPole": "pygame"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


COMMANDS = [line.removeprefix("worldmodels ") for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture(scope="module")
def lighthouse(tmp_path_factory: pytest.TempPathFactory):
    """The module that the guide writes, importable."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "lighthouse.py").write_text("\n".join(blocks("python")))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    WORLDS.pop("lighthouse", None)
    gym.registry.pop("Lighthouse-v0", None)


@pytest.fixture(scope="module")
def runs(lighthouse: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lighthouse)
        yield lighthouse / "runs"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_guide_runs(command: str, runs: Path):
    missing = [m for start, m in PACKAGES.items() if f"--env.id {start}" in command and not importlib.util.find_spec(m)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    name, *arguments = shlex.split(command)
    assert call(name.replace("-", "_"), *arguments, "--workers", 0) == 0


def test_a_world_of_ones_own_goes_through_all_stages_to_an_agent(runs: Path):
    """Crop, actions and keys of its own: one file, and one line in it."""
    run = runs / "lighthouse"
    if not run.exists():
        assert call("pipeline", *shlex.split(COMMANDS[1])[1:], "--workers", 0) == 0
    agent = Agent.load(run)
    assert agent.env.id == "lighthouse:lighthouse"
    assert bindings(agent.env, agent.model.action_spec) == (("left", "right"),)
    assert action_names(agent.env, agent.model.action_spec) == ("turn",)
    env = make_env(agent.env)
    assert env.preset.crop == (0, 48, 24, 72)
    assert (env.action_spec.low, env.action_spec.dtype) == ((-5.0,), "float64")
    report = json.loads((run / "round-1" / "evaluation.json").read_text())
    assert max(episode["length"] for episode in report["episodes"]) <= 40


#: The preset laptop with all that takes long made short, and nothing else.
SHORT = shlex.split(
    "--collect.episodes 12 --vae.steps 4 --vae.batch-size 16 --mdnrnn.steps 4 --mdnrnn.batch-size 4 "
    "--mdnrnn.sequence-length 16 --mdnrnn.hidden-size 16 --controller.generations 1 --controller.population 4 "
    "--controller.rollouts 1 --controller.validation-episodes 1 --iterate.rounds 0 --evaluate.episodes 1 "
    "--watch.max-steps 4"
)


def test_the_default_preset_needs_no_option_that_undoes_carracing(runs: Path):
    run = runs / "neutral"
    assert call("pipeline", "--run", run, "--env.id", "lighthouse:Lighthouse-v0", *SHORT, "--workers", 0) == 0
    controller = json.loads((run / "controller" / "config.json").read_text())
    assert (controller["patience"], controller["max_steps"]) == (None, 1000)
    assert json.loads((run / "mdnrnn" / "config.json").read_text())["reward_spread"] is None
    env = json.loads((run / "rollouts" / "manifest.json").read_text())["env"]
    assert {name: value for name, value in env.items() if value} == {"id": "lighthouse:Lighthouse-v0"}
    assert call("train_controller", "--run", run, "--controller.generations", 2, "--workers", 0) == 0
    assert json.loads((run / "controller" / "config.json").read_text())["patience"] is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_neutral_to_other_worlds_and_itself_to_its_own(name: str):
    own = PRESETS[name]
    assert preset_for(name, None) is preset_for(name, own.env.id) is own
    other = preset_for(name, "Some-v0")
    for stage in (other, other.iterate):
        assert stage.controller.patience is None
        assert stage.mdnrnn.reward_spread is None
    assert other.env.action_repeat is None
    assert other.mdnrnn.reward_head or other.controller.world == "real"
    assert other.vae == own.vae
    later = other.iterate.controller
    assert not later.taught
    assert not own.iterate.controller.taught or (later.sigma > own.iterate.controller.sigma)
    assert preset_for("laptop", "carracing") is LAPTOP
