"""V and M as one object, saved, loaded, and the moments from which it dreams."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts import EnvConfig, UserError
from rollouts.envs.presets import resolve
from rollouts.runs.files import file_hash, read_json, write_json
from worldmodels import WorldModel
from worldmodels.data.latents import LatentEpisode
from worldmodels.starts import WARM_UP, DreamStarts
from worldmodels.training.checkpoint import load_state, load_tensors, pick_device, save_state, save_tensors


def certain_episodes(latent_size: int = 4) -> list[LatentEpisode]:
    """Episodes whose latents have no variance, so that what M remembers of them is known exactly."""
    rng = np.random.default_rng(0)
    return [
        LatentEpisode(
            rng.normal(size=(steps + 1, latent_size)).astype(np.float16),
            np.full((steps + 1, latent_size), -np.inf, np.float16),
            rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
            np.ones(steps, np.float32),
            np.zeros(steps, bool),
            Path(f"{steps}"),
        )
        for steps in (30, 120)
    ]


def test_a_loaded_run_sees_and_foresees(tiny_run):
    model = WorldModel.load(tiny_run)
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    mean, logvar = model.encode(frames)
    assert mean.shape == logvar.shape == (3, 4)
    z, reward, end, state = model.step(mean, torch.zeros(3, 1), model.initial_state(3))
    assert (z.shape, reward.shape, end.shape, state["h"].shape) == ((3, 4), (3,), (3,), (3, 16))
    assert ((end >= 0) & (end <= 1)).all()
    picture = model.decode(z)
    assert (picture.shape, picture.dtype) == ((3, 64, 64, 3), np.uint8)
    assert model.observation_hash == resolve("toy").observation_hash
    assert len(model.starts) == 32


def test_m_refuses_to_work_with_another_v(tiny_run, tmp_path, make_model):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    weights = run / "vae" / "weights.safetensors"
    save_tensors(make_model().vae.state_dict(), weights)
    manifest = read_json(run / "vae" / "manifest.json")
    write_json(run / "vae" / "manifest.json", {**manifest, "weights": file_hash(weights)})
    with pytest.raises(UserError, match="fitted to another V"):
        WorldModel.load(run)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("", "There is no run at"),
        ("vae", r"has no 'vae' stage yet.*train-vae"),
        ("mdnrnn", r"has no 'mdnrnn' stage yet.*train-mdnrnn"),
        ("mdnrnn/weights.safetensors", r"weights\.safetensors does not exist"),
    ],
)
def test_a_run_that_lacks_something_says_what(missing, message, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    path = run / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(UserError, match=message):
        WorldModel.load(run)


def test_the_controllers_environment_decides_whether_its_model_has_pedals(make_model):
    plain, pedal = resolve("carracing").action, resolve(EnvConfig("carracing", pedal=True)).action
    model = make_model(action_spec=plain)
    assert model.act_through(EnvConfig("carracing", pedal=True)).action_spec == pedal
    assert model.act_through(EnvConfig("carracing-fast")).action_spec == plain
    with pytest.raises(UserError, match=r"takecover takes action vectors .* M was fitted to ones between \(-1\.0, 0"):
        model.act_through(EnvConfig("takecover"))


def test_a_negative_temperature_is_refused(make_model):
    model = make_model()
    with pytest.raises(UserError, match="cannot be negative"):
        model.step(torch.zeros(1, 4), torch.zeros(1, 1), model.initial_state(1), temperature=-0.1)


@torch.no_grad()
def test_a_warm_start_remembers_the_real_steps_before_it_and_an_episode_start_nothing(make_model):
    model, episodes = make_model(), certain_episodes()
    starts = DreamStarts.gather(model.mdnrnn, episodes, count=60, seed=0)
    assert len(starts) == 60
    h, c = starts.state["h"], starts.state["c"]
    assert not h[~starts.warm].any()
    assert not c[~starts.warm].any()
    assert 20 <= starts.warm.sum() <= 30
    for mean, h_then, c_then in zip(starts.mean[starts.warm], h[starts.warm], c[starts.warm], strict=True):
        episode, t = next((e, t) for e in episodes for t in range(len(e)) if np.allclose(e.mean[t], mean, atol=1e-6))
        before = slice(max(t - WARM_UP, 0), t)
        z, actions = torch.tensor(episode.mean[before]).float(), torch.tensor(episode.actions[before])
        _, expected = model.mdnrnn(z[None], actions[None])
        torch.testing.assert_close((h_then, c_then), (expected["h"][0], expected["c"][0]))


def test_starts_of_one_kind_can_be_asked_for_and_unknown_kinds_are_refused(make_model):
    starts = make_model().starts
    assert not starts.only("episode").warm.any()
    assert starts.only("recorded").warm.all()
    assert len(starts.only("any")) == len(starts.only("episode")) + len(starts.only("recorded"))
    with pytest.raises(UserError, match="'episode', 'recorded' or 'any' moments, not 'middle'"):
        starts.only("middle")
    with pytest.raises(UserError, match="no 'recorded' starts"):
        replace(starts, warm=torch.zeros_like(starts.warm)).only("recorded")


def test_starts_survive_their_file(make_model, tmp_path):
    starts = make_model().starts
    save_tensors(starts.tensors(), tmp_path / "starts.safetensors")
    loaded = DreamStarts.load(tmp_path / "starts.safetensors", torch.device("cpu"))
    torch.testing.assert_close(loaded.state, starts.state, atol=1e-3, rtol=1e-3)
    assert torch.equal(loaded.warm, starts.warm)


@pytest.mark.parametrize("save", [save_state, save_tensors])
def test_a_full_disk_is_told_and_leaves_nothing(save, tmp_path, monkeypatch):
    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="The disk is full"):
        save({"a": torch.zeros(3)}, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_code_in_it_is_refused_and_does_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    torch.save({"step": Bomb()}, tmp_path / "state.pt")
    with pytest.raises(UserError, match="damaged"):
        load_state(tmp_path / "state.pt", torch.device("cpu"))
    assert not (tmp_path / "exploded").exists()


def test_damaged_weights_are_named(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_tensors({"a": torch.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged"):
        load_tensors(file)


def test_an_unknown_device_is_refused():
    with pytest.raises(UserError, match="'abacus' cannot be used here"):
        pick_device("abacus")
