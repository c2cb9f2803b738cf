"""The examples do what their first lines say, in small."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch

from agents.pipeline.presets import PRESETS
from tests.faults.helpers import MICRO

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_they_are_short():
    """Those that show one thing; an algorithm in one file may have a second page."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    loops = [lengths.pop(name) for name in ("ppo_in_the_dream.py", "torchrl_in_the_dream.py")]
    assert max(loops) < 120
    assert len(lengths) == 4
    assert max(lengths.values()) < 60


@pytest.mark.slow
def test_an_environment_of_ones_own_goes_through_all_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(PRESETS, "tiny", MICRO)
    run(monkeypatch, "own_environment.py", "--run", tmp_path / "run")
    assert (tmp_path / "run" / "round-1" / "evaluation.json").exists()
    gym.registry.pop("Lighthouse-v0")


def test_v_as_a_feature_extractor(tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    run(monkeypatch, "v_as_features.py", "--run", tiny_run, "--steps", 40)
    assert "with R²" in capsys.readouterr().out


def test_a_policy_from_the_dream_is_scored_in_reality(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("stable_baselines3")
    options = ("--run", tiny_run, "--steps", 512, "--lanes", 8, "--episodes", 2, "--out", tmp_path / "ppo")
    run(monkeypatch, "sb3_in_the_dream.py", *options)
    assert "2 episodes, seeds 0 to 1" in capsys.readouterr().out
    assert (tmp_path / "ppo" / "controller" / "weights.safetensors").exists()


@pytest.mark.parametrize("name", ["ppo", "torchrl"])
def test_other_loops_learn_in_the_dream_and_are_scored(
    name: str, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    if name == "torchrl":
        pytest.importorskip("torchrl")
    options = ("--run", tiny_run, "--steps", 1024, "--lanes", 8, "--episodes", 2, "--out", tmp_path / "ppo")
    run(monkeypatch, f"{name}_in_the_dream.py", *options)
    assert "2 episodes, seeds 0 to 1" in capsys.readouterr().out
    assert (tmp_path / "ppo" / "controller" / "weights.safetensors").exists()


def test_settings_are_tuned_in_the_dream_and_judged_in_reality(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("optuna")
    shutil.copytree(tiny_run, tmp_path / "run")
    options = ("--run", tmp_path / "run", "--generations", 1, "--episodes", 2)
    for trials in (1, 2):  # the second time, it goes on
        run(monkeypatch, "tune_in_the_dream.py", *options, "--trials", 1)
        assert len(list((tmp_path / "run" / "tuned").glob("*/controller/weights.safetensors"))) == trials
    assert "on validation seeds, trial" in capsys.readouterr().out


def test_advantages_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch):
    """Sum over l of (gamma lambda)^l times the one-step errors, up to the end of the episode."""
    names = runpy.run_path(str(EXAMPLES / "ppo_in_the_dream.py"))
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(5, 1, generator=generator), torch.randn(6, 1, generator=generator)
    over = torch.tensor([0.0, 0, 1, 0, 0])[:, None]
    gamma, shrink = names["GAMMA"], names["GAMMA"] * names["LAMBDA"]
    errors = rewards + gamma * values[1:] * (1 - over) - values[:-1]
    expected = [sum(shrink**k * errors[t + k] for k in range(end - t)) for t in range(5) for end in [3 if t < 3 else 5]]
    torch.testing.assert_close(names["advantages"](rewards, values, over), torch.stack(expected))


@pytest.mark.slow
def test_the_notebook_was_run_and_still_runs(monkeypatch: pytest.MonkeyPatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    cells = [cell for cell in json.loads((EXAMPLES / "first_look.ipynb").read_text())["cells"] if "outputs" in cell]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert not any(
        output["output_type"] in ("error", "stream") and output.get("name") == "stderr" for output in outputs
    )
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert len(names["dreamed"]) == names["horizon"] == 30  # type: ignore[arg-type]


def test_the_notebook_on_games_was_run_and_still_says_what_it_says(monkeypatch: pytest.MonkeyPatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    notebook = json.loads((EXAMPLES / "games_and_divergences.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if "outputs" in cell]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    names: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]).replace("FITTING = 400", "FITTING = 150"), names)
    assert names["grown"] == pytest.approx(1.04**50)  # simultaneous steps spiral out
    assert names["kept"].min() == pytest.approx(names["kept"].max())  # alternating ones go round for ever
    assert names["paths"]["optimistic"][-1].norm() < 0.2
    mean, variance = names["moments"][0], names["moments"][1] - names["moments"][0] ** 2
    assert names["fits"]["KL(data ‖ model)"][1:] == pytest.approx((mean, variance**0.5), abs=0.05)
    assert names["fits"]["KL(model ‖ data)"][1:] == pytest.approx((-2, 0.5), abs=0.02)
    plots = sys.modules["matplotlib.pyplot"]
    plots.close("all")
