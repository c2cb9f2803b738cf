"""Rounds: which are run, from what, and on which episodes."""

import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.agent import find_agent
from agents.pipeline import iterate as module
from agents.pipeline.iterate import iterate
from agents.pipeline.presets import TINY
from agents.records.costs import rounds_of
from agents.studies.comparison import untrained
from agents.studies.trials import world_model_folder
from rollouts.runs.files import read_json
from rollouts.runs.layout import PRETRAINED, Run
from worldmodels import DreamEnv, WorldModel


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every stage that a round runs, as (stage, folder name), instead of running it."""
    steps: list[tuple[str, str]] = []
    monkeypatch.setattr(module, "collect", lambda config, env, folder, *_: steps.append(("collect", folder.name)))
    monkeypatch.setattr(module, "reuse_vae", lambda folder, before: steps.append(("reuse_vae", folder.name)))
    monkeypatch.setattr(module, "fit_vae", lambda config, folder, *_: steps.append(("fit_vae", folder.name)))
    monkeypatch.setattr(module, "fit_mdn_rnn", lambda config, folder, *_: steps.append(("fit_mdn_rnn", folder.name)))
    monkeypatch.setattr(module, "evolve", lambda config, folder, *_: steps.append(("evolve", folder.name)))
    return steps


def test_finished_rounds_stay_and_missing_ones_are_run(tiny_run: Path, tmp_path: Path, calls: list[tuple[str, str]]):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.copytree(tiny_run, run / "round-1")
    last = iterate(replace(TINY.iterate, rounds=2), run, 0, torch.device("cpu"))
    assert last == run / "round-2"
    assert calls == [(stage, "round-2") for stage in ("collect", "reuse_vae", "fit_mdn_rnn", "evolve")]


def test_v_is_refitted_if_asked(tiny_run: Path, tmp_path: Path, calls: list[tuple[str, str]]):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    iterate(replace(TINY.iterate, rounds=1, refit_vae=1), run, 0, torch.device("cpu"))
    assert ("fit_vae", "round-1") in calls
    assert ("reuse_vae", "round-1") not in calls


def test_people_are_learnt_from_if_asked(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, str]]
):
    seen: list[list[Path]] = []
    monkeypatch.setattr(
        module, "fit_mdn_rnn", lambda config, folder, stores, *_: seen.append([store.path for store in stores])
    )
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for human in (False, True):
        iterate(replace(TINY.iterate, rounds=1, human=human), run, 0, torch.device("cpu"))
    agents = [run / "rollouts" / "episodes", run / "round-1" / "rollouts" / "episodes"]
    assert seen == [agents, [agents[0], run / "human" / "rollouts" / "episodes", agents[1]]]


def test_evolution_goes_on_from_the_last_agent_or_from_zero(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, str]]
):
    starts: list[Path | None] = []
    monkeypatch.setattr(module, "evolve", lambda *arguments: starts.append(arguments[-1]))
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for fresh in (False, True):
        iterate(replace(TINY.iterate, rounds=1, fresh=fresh), run, 0, torch.device("cpu"))
    assert starts == [run / "controller", None]


@pytest.mark.parametrize("folder", ["tiny", *(f"pretrained/{agent.name}" for agent in PRETRAINED.glob("*"))])
def test_rounds_keep_the_shapes_that_the_run_began_with(
    folder: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[tuple[str, str]]
):
    """Also those of runs of before, whose options of shape and training stand in one list."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    if folder != "tiny":
        shutil.copyfile(Run.named(folder).mdnrnn.config_file, Run(run).mdnrnn.config_file)
        shutil.copyfile(Run.named(folder).vae.config_file, Run(run).vae.config_file)
    fitted: list[Any] = []
    monkeypatch.setattr(module, "fit_vae", lambda config, *_: fitted.append(config))
    monkeypatch.setattr(module, "fit_mdn_rnn", lambda config, *_: fitted.append(config))
    iterate(replace(TINY.iterate, rounds=1, refit_vae=1), run, 0, torch.device("cpu"))
    for config, stage, training in zip(fitted, ("vae", "mdnrnn"), (TINY.iterate.vae, TINY.iterate.mdnrnn), strict=True):
        before = read_json(run / stage / "config.json")
        shapes = {f.name for f in fields(config)} - {f.name for f in fields(training)}
        assert config.training == training
        assert shapes >= ({"latent_size"} if stage == "vae" else {"core", "hidden_size", "mixtures"})
        assert {name: getattr(config, name) for name in shapes & before.keys()} == {
            name: before[name] for name in shapes & before.keys()
        }


def test_what_only_looks_like_a_round_is_none(tiny_run: Path, tmp_path: Path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for name in ("round-1", "round-10", "round-2", "round-11.bak", "round-"):
        shutil.copytree(tiny_run, run / name)
    shutil.rmtree(run / "round-10" / "controller")
    assert find_agent(run) == run / "round-2"
    assert rounds_of(run) == [run, run / "round-1", run / "round-2"]
    assert world_model_folder(run, None) == run / "round-10"
    assert world_model_folder(run, 0) == run


def test_a_run_is_loaded_as_its_newest_round_and_a_folder_as_it_is(tiny_run: Path, tmp_path: Path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    newest = untrained(tiny_run, run / "round-1", seed=3)
    shutil.copyfile(tiny_run / "mdnrnn" / "starts.safetensors", newest / "mdnrnn" / "starts.safetensors")
    theirs = WorldModel.from_folder(newest).mdnrnn.lstm.weight_hh_l0
    for model in (WorldModel.load(run), DreamEnv(str(run))._lanes.dream.model):
        torch.testing.assert_close(model.mdnrnn.lstm.weight_hh_l0, theirs, rtol=0, atol=0)
    assert not torch.equal(WorldModel.from_folder(run).mdnrnn.lstm.weight_hh_l0, theirs)
