"""V sharpened by an adversarial term, and GANs on the frames of a run, from a run directory."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import read_json, write_json
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset
from worldmodels.generative.sharpen_vae import VAEGANConfig, fit_vae_gan

CPU = torch.device("cpu")


def test_v_is_sharpened_in_place_of_itself(tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    config = VAEGANConfig(steps=2, batch_size=4, width=4, log_every=1, checkpoint_every=2)
    weights = fit_vae_gan(config, run, [EpisodeStore(run / "rollouts" / "episodes")], CPU)
    before, after = load_file(run / "vae" / "weights.safetensors"), load_file(weights)
    assert {name: value.shape for name, value in before.items()} == {name: v.shape for name, v in after.items()}
    assert not torch.equal(before["decoder.0.weight"], after["decoder.0.weight"])
    assert (run / "vae-gan" / "reconstructions.png").exists()


def test_v_and_episodes_that_do_not_belong_together_are_not_mixed(tiny_run, tmp_path):
    config = VAEGANConfig(steps=1, batch_size=4, width=4, log_every=1, checkpoint_every=1)
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    stores = [EpisodeStore(run / "rollouts" / "episodes")]
    fit_vae_gan(config, run, stores, CPU)
    file = stores[0].files[0]
    aside = file.rename(tmp_path / file.name)
    with pytest.raises(UserError, match=r"episode-\d+\.npz is missing"):
        fit_vae_gan(config, run, stores, CPU)
    aside.rename(file)
    manifest = run / "vae" / "manifest.json"
    write_json(manifest, {**read_json(manifest), "observation_hash": "another"})
    with pytest.raises(UserError, match="disagree; fit V on these episodes first"):
        fit_vae_gan(config, run, stores, CPU)


@pytest.mark.parametrize("option", ["log_every", "checkpoint_every"])
def test_logs_and_checkpoints_are_some_steps_apart(option, tmp_path):
    with pytest.raises(UserError, match=r"--(log|checkpoint)-every must be positive"):
        fit_vae_gan(dataclasses.replace(VAEGANConfig(), **{option: 0}), tmp_path, [], CPU)


def test_frames_of_a_run_train_a_gan(tiny_run, tmp_path):
    config = dataclasses.replace(
        preset("gan", "tiny"), data=str(tiny_run), size=32, steps=2, batch_size=4, log_every=1, checkpoint_every=2
    )
    fit_images("gan", config, tmp_path, CPU)
    assert (tmp_path / "images" / "samples.png").exists()
