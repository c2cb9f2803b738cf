"""Two processes that train together do what one does with the joint batch."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.pipeline.presets import TINY
from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import read_json_lines
from rollouts.runs.stage import Stage
from tests.faults.helpers import call
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset
from worldmodels.training.checkpoint import load_state, load_tensors
from worldmodels.training.distributed import Ranks

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
#: A batch that two cannot share evenly, windows of which some are longer than their episode, a warm-up that is masked.
UNEVEN: dict[str, Any] = {"batch_size": 15, "log_every": 3, "checkpoint_every": 6}
VAE = dataclasses.replace(TINY.vae, latent_size=4, steps=12, **UNEVEN)
MDNRNN = dataclasses.replace(TINY.mdnrnn, hidden_size=8, steps=12, sequence_length=30, burn_in=3, starts=8, **UNEVEN)
CARRIED = dataclasses.replace(MDNRNN, burn_in=0, sequence_length=7, carry_state=True, dropout=0.2)


def torchrun(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes of a script, as a user starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    return subprocess.run(
        [*command, str(ROOT / "scripts" / script), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def options(section: str, config: object) -> list[str]:
    """What differs from the preset, for the command line."""
    words, default = list[str](), getattr(TINY, section)
    for field in dataclasses.fields(default):
        value, name = getattr(config, field.name), field.name.replace("_", "-")
        if value != getattr(default, field.name):
            words += [f"--{section}.{name}"] if value is True else [f"--{section}.{name}", str(value)]
    return words


def curves(stage: Path) -> dict[int, dict[str, float]]:
    records = read_json_lines(stage / "metrics.jsonl", "step")
    return {r["step"]: {k: v for k, v in r.items() if k not in ("step", "seconds")} for r in records}


def record(run: Path) -> EpisodeStore:
    """Eight episodes of ``toy``, or those that are there."""
    return collect(CollectConfig(episodes=8, max_steps=40), EnvConfig("toy"), run, 0)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has episodes and V."""
    run = tmp_path_factory.mktemp("runs") / "recorded"
    fit_vae(VAE, run, [record(run)], CPU)
    return run


@pytest.mark.parametrize(
    ("script", "section", "config", "fit"),
    [
        pytest.param("train_vae.py", "vae", VAE, fit_vae, id="V", marks=pytest.mark.slow),
        pytest.param("train_mdnrnn.py", "mdnrnn", MDNRNN, fit_mdn_rnn, id="M", marks=pytest.mark.slow),
        pytest.param(
            "train_mdnrnn.py",
            "mdnrnn",
            CARRIED,
            fit_mdn_rnn,
            id="M with its state carried along",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_two_processes_follow_the_curve_of_one_which_goes_on_where_they_stopped(
    script: str, section: str, config: Any, fit: Callable[..., Path], recorded: Path, tmp_path: Path
):
    run, alone = (shutil.copytree(recorded, tmp_path / name) for name in ("together", "alone"))
    for folder in (run, alone):
        shutil.rmtree(folder / section, ignore_errors=True)
    half = dataclasses.replace(config, steps=6)
    done = torchrun(script, "--run", run, "--preset", "tiny", "--device", "cpu", *options(section, half))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("held-out") == 1  # one of them speaks
    assert Stage(run, section).complete
    halfway = curves(run / section)
    assert sorted(halfway) == [3, 6]
    fit(config, run, [record(run)], CPU)
    fit(config, alone, [record(alone)], CPU)
    together, expected = curves(run / section), curves(alone / section)
    assert {step: together[step] for step in halfway} == halfway
    assert sorted(together) == sorted(expected) == [3, 6, 9, 12]
    for step, values in expected.items():
        assert together[step] == pytest.approx(values, rel=1e-4), step
    weights, target = (load_tensors(folder / section / "weights.safetensors") for folder in (run, alone))
    for name, value in target.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "stop"),
    [("mixture-vae", "8", 6), ("sngan", "ring", 6), ("began", "ring", 6), ("cyclegan", "32", 3)],
)
def test_two_processes_train_an_image_model_as_one_does(model: str, data: str, stop: int, tmp_path: Path):
    """Networks that normalise over their batch do so over their process's part: these have none.

    CycleGAN's buffer is not yet full when the two stop; one goes on with what they saved.
    """
    if data != "ring":
        pixels = np.random.default_rng(0).integers(0, 255, (60, int(data), int(data), 1), dtype=np.uint8)
        np.savez(tmp_path / "pictures.npz", images=pixels)
        data = str(tmp_path / "pictures.npz")
    options: dict[str, Any] = {"data": data, "batch_size": 15, "width": 8, "log_every": 3, "checkpoint_every": 3}
    if model == "cyclegan":  # slow, as Adam makes whole steps of rounding errors where a gradient is about zero
        options |= {"inputs": data, "learning_rate": 1e-5, "critic_learning_rate": 1e-5}
    typed = [str(word) for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    together = tmp_path / "together"
    typed += ["--model", model, "--steps", str(stop), "--device", "cpu"]
    done = torchrun("train_images.py", "--run", together, *typed)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Look at") == 1  # one of them speaks
    config = dataclasses.replace(preset(model, points=data == "ring"), steps=6, **options)
    for folder in (together, tmp_path / "alone"):
        fit_images(model, config, folder, CPU)
    found, expected = (curves(folder / "images") for folder in (together, tmp_path / "alone"))
    assert sorted(found) == sorted(expected) == [3, 6]
    for step, values in expected.items():
        assert found[step] == pytest.approx(values, rel=2e-3, abs=1e-4), step
    folders = together, tmp_path / "alone"
    weights, target = (load_tensors(folder / "images" / "weights.safetensors") for folder in folders)
    for name, value in target.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4, msg=name)
    states = [load_state(folder / "images" / "state.pt", CPU) for folder in folders]
    for buffer in ("buffer_of_pictures", "buffer_of_others") if model == "cyclegan" else ():
        one, other = (torch.stack(list(state[buffer].values())) for state in states)
        assert len(other) == 50
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_other_scripts_do_not_do_everything_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun tells its processes
    assert call("collect", "--run", tmp_path / "run", "--preset", "tiny", "--workers", 0) == 2
    assert "Only train-vae, train-mdnrnn and train-images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_make_up_the_batch(count: int):
    indices = np.arange(15)
    parts = [indices[Ranks(rank, count).part(15)] for rank in range(count)]
    assert np.concatenate(parts).tolist() == indices.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_smaller_than_the_group_is_refused():
    with pytest.raises(UserError, match="A batch of 2 cannot be shared by 3 processes"):
        Ranks(0, 3).part(2)
