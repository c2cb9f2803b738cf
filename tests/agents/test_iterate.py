"""Rounds: which are run, from what, and on which episodes."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents import iterate as module
from agents.iterate import iterate
from agents.presets import TINY


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every stage that a round runs, as (stage, folder name), instead of running it."""
    made: list[tuple[str, str]] = []
    monkeypatch.setattr(module, "collect", lambda config, env, folder, *_: made.append(("collect", folder.name)))
    monkeypatch.setattr(module, "reuse_vae", lambda folder, weights: made.append(("reuse_vae", folder.name)))
    monkeypatch.setattr(module, "fit_vae", lambda config, folder, *_: made.append(("fit_vae", folder.name)))
    monkeypatch.setattr(module, "fit_mdn_rnn", lambda config, folder, *_: made.append(("fit_mdn_rnn", folder.name)))
    monkeypatch.setattr(module, "evolve", lambda config, folder, *_: made.append(("evolve", folder.name)))
    return made


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
