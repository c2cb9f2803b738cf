"""Files of other people: damaged ones are refused or skipped, and nothing in any of them is ever executed."""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import read_json, write_json
from rollouts.runs.stage import Stage
from tests.faults.helpers import CPU, MICRO
from worldmodels import WorldModel
from worldmodels.data.frames import frames_shape
from worldmodels.data.latents import encode_sources
from worldmodels.fit_vae import fit_vae
from worldmodels.training.checkpoint import load_state, load_tensors
from worldmodels.vae import ConvVAE


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.file,))


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "executed")


def test_the_trap_works(trap: Trap):
    pickle.loads(pickle.dumps(trap))
    assert trap.file.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_in_a_checkpoint_is_not_executed(legacy: bool, trap: Trap, tmp_path: Path):
    file = tmp_path / "state.pt"
    torch.save({"step": 1, "vae": trap}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match="damaged"):
        load_state(file, CPU)
    file.write_bytes(pickle.dumps(trap))
    with pytest.raises(UserError, match="damaged"):
        load_state(file, CPU)
    assert not trap.file.exists()


def test_a_pickle_in_a_training_that_is_continued_is_not_executed(finished: Path, trap: Trap, tmp_path: Path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    torch.save({"step": 4, "vae": trap, "optimiser": trap}, run / "vae" / "state.pt")
    write_json(run / "vae" / "manifest.json", {**Stage(run, "vae").manifest, "complete": False})
    with pytest.raises(UserError, match=r"state\.pt is damaged"):
        fit_vae(MICRO.vae, run, [EpisodeStore(run / "rollouts" / "episodes")], CPU)
    assert not trap.file.exists()


@pytest.mark.parametrize("name", ["observations", "seed", "policy"])
def test_a_pickle_in_an_episode_is_not_executed(name: str, trap: Trap, toy_store: EpisodeStore):
    episode = toy_store.load(file := toy_store.files[0])
    np.savez(file, **{**vars(episode), name: np.array([trap] * len(episode), object)})
    with pytest.raises(UserError, match="not a readable episode"):
        toy_store.load(file)
    file.write_bytes(pickle.dumps(trap))
    with pytest.raises(UserError, match="not a readable episode"):
        toy_store.load(file)
    assert frames_shape(file)[0] == 0
    assert not trap.file.exists()


def test_a_pickle_among_cached_latents_is_not_executed(trap: Trap, toy_store: EpisodeStore, tmp_path: Path):
    torch.manual_seed(0)
    vae, sources = ConvVAE(4), [(toy_store, toy_store.files[0])]
    (before,) = encode_sources(vae, "hash", sources, tmp_path / "cache", CPU)
    cached = tmp_path / "cache" / "hash" / before.file.name
    arrays = {name: value for name, value in vars(before).items() if name != "file"}
    np.savez(cached, **{**arrays, "mean": np.array([trap], object)})
    (after,) = encode_sources(vae, "hash", sources, tmp_path / "cache", CPU)
    assert np.array_equal(before.mean, after.mean)
    assert not trap.file.exists()


@pytest.mark.parametrize("name", ["vae/weights.safetensors", "mdnrnn/weights.safetensors", "mdnrnn/starts.safetensors"])
def test_a_pickle_that_calls_itself_safetensors_is_not_executed(name: str, finished: Path, trap: Trap, tmp_path: Path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    torch.save({"weight": trap}, run / name)
    with pytest.raises(UserError):
        WorldModel.from_folder(run)
    with pytest.raises(UserError, match="damaged"):
        load_tensors(run / name)
    assert not trap.file.exists()


def test_an_episode_with_any_byte_changed_or_cut_off_anywhere_is_read_or_refused(toy_store: EpisodeStore):
    """Never another error, which would end a training of days."""
    whole, rng = toy_store.files[0].read_bytes(), random.Random(0)
    file = toy_store.files[0]
    for _ in range(150):
        content = bytearray(whole)
        if rng.random() < 0.3:
            content = content[: rng.randrange(len(content))]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        frames_shape(file)
        toy_store.read(file)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\x00"])
def test_what_is_no_json_object_is_damaged(content: str, tmp_path: Path):
    file = tmp_path / "config.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        read_json(file)


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_cut_weights_are_damaged(cut: int, finished: Path, tmp_path: Path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes((finished / "mdnrnn" / "weights.safetensors").read_bytes()[:cut])
    with pytest.raises(UserError, match="is damaged"):
        load_tensors(file)
