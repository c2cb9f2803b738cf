"""Fit V: learn to see, from recorded frames alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.artifacts import atomic_path, file_hash, fingerprint, read_json, write_json
from rollouts.console import say, size
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError, require_positive
from rollouts.stage import Stage
from worldmodels.checkpoint import load_state, load_weights, save_tensors
from worldmodels.descent import Descent
from worldmodels.distributed import Ranks
from worldmodels.frames import FrameBatches, Source, read_frames, split
from worldmodels.pictures import grid, save_png, to_float, to_uint8
from worldmodels.training import MetricsLog, generator_for, train
from worldmodels.vae import FRAME_SIZE, ConvVAE, kl_to_standard_normal, reconstruction_error, vae_loss

ACTIVE_NATS = 0.02
"""A latent unit whose average KL is below this carries nothing: it has collapsed."""


@dataclass(frozen=True)
class VAEConfig:
    """How to fit V. The defaults are the paper's."""

    latent_size: int = 32
    """Length of the latent vector z (paper: 32 for CarRacing, 64 for Take Cover)."""
    steps: int = 100_000
    """Optimiser steps (the paper's single pass over 10 million frames). May be raised later to train on."""
    batch_size: int = 100
    """Frames per step."""
    learning_rate: float = 1e-4
    """Adam's step size."""
    decay: bool = False
    """Let the learning rate fall to a twentieth along half a cosine; helps short trainings."""
    kl_floor: float = 0.5
    """KL below this many nats per latent unit is not penalised (free bits)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 convolutions are up to twice as fast on recent CPUs and GPUs."""
    memory_gb: float = 4.0
    """Frames kept in memory at a time."""
    seed: int = 0
    """Decides initial weights, batches and noise."""
    log_every: int = 50
    """Steps between lines in the log."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


def fit_vae(
    config: VAEConfig, run: Path, stores: Sequence[EpisodeStore], device: torch.device, start_from: Path | None = None
) -> Path:
    """Fit V on the frames of ``stores`` and write ``run/vae/weights.safetensors``.

    Args:
        start_from: weights to continue from, for a refit on more data.

    Returns:
        The path of the weights.

    Raises:
        UserError: there are no episodes, they do not belong together, or the loss is no longer a number.
    """
    check_config(config)
    inputs = {"observation_hash": common_observation_hash(stores), "episodes": data_hash(stores)}
    if start_from is not None:
        inputs["start_from"] = file_hash(start_from)
    training, test = split(stores)
    ranks = Ranks.here()
    mine = ranks.part(config.batch_size)
    stage = ranks.open_stage(run, "vae", config, inputs)
    weights = stage.path / "weights.safetensors"
    if stage.complete and weights.exists():
        return weights
    batches = FrameBatches(training, config.batch_size, config.seed, config.memory_gb * 1e9)
    held_out = _held_out(test)
    resident = min(config.memory_gb * 1e9, batches.frames * held_out[0].nbytes)
    say(f"V: {batches.frames:,} frames for training, {size(resident)} of them in memory; {config.steps:,} steps.")

    torch.manual_seed(config.seed)
    vae = ConvVAE(config.latent_size)
    if start_from is not None:
        load_weights(vae, start_from)
    vae = vae.on(device)
    _train(config, stage, vae, batches, mine, held_out, device)
    if ranks.leads:
        vae.load_state_dict(load_state(stage.path / "state.pt", device)["vae"])  # also when stopped after the last step
        _finish(stage, vae, held_out, inputs["observation_hash"], device)
    ranks.wait()
    return weights


def _held_out(test: Sequence[Source]) -> NDArray[np.uint8]:
    """Up to 512 frames of held-out episodes, evenly spread."""
    frames = read_frames(test[:8])
    if frames.shape[1:] != (FRAME_SIZE, FRAME_SIZE, 3):
        raise UserError(
            f"V sees frames of {FRAME_SIZE}x{FRAME_SIZE} pixels, but these episodes hold {frames.shape[1]}x"
            f"{frames.shape[2]}: collect with --env.size {FRAME_SIZE}, into another --run."
        )
    return frames[np.linspace(0, len(frames) - 1, min(len(frames), 512)).astype(int)]


def _train(
    config: VAEConfig,
    stage: Stage,
    vae: ConvVAE,
    batches: FrameBatches,
    mine: slice,
    held_out: NDArray[np.uint8],
    device: torch.device,
) -> None:
    """Minimise V's loss; ``mine`` is this process's part of every batch."""
    descent = Descent(config, vae.parameters())

    def update(step: int) -> Mapping[str, Tensor]:
        joint = batches(step)
        frames = to_float(joint[mine], device)
        noise = torch.randn(len(joint), config.latent_size, generator=generator_for(config.seed, step))[mine].to(device)
        with descent.precision(device):
            reconstruction, mean, logvar = vae(frames, noise)
        loss = vae_loss(reconstruction.float(), frames, mean.float(), logvar.float(), config.kl_floor)
        share = len(frames) / len(joint)
        descent.step(step, share * loss.total)
        return {"loss": share * loss.total, "reconstruction": share * loss.reconstruction, "kl": share * loss.kl}

    def report(step: int, log: MetricsLog) -> None:
        facts = evaluate_vae(vae, held_out, device)
        log.board.add_scalar("held_out/reconstruction", facts["reconstruction"], step)
        log.board.add_scalar("held_out/kl", facts["kl"], step)
        log.board.add_scalar("held_out/active_units", facts["active_units"], step)
        log.board.add_histogram("kl_per_unit", np.array(facts["kl_per_unit"]), step)
        log.board.add_image("reconstructions", reconstructions(vae, held_out, device), step, dataformats="HWC")
        log.board.add_image("prior_samples", prior_samples(vae, device), step, dataformats="HWC")

    train(
        stage,
        {"vae": vae, "optimiser": descent.optimiser},
        update,
        config.steps,
        config.log_every,
        config.checkpoint_every,
        report,
        headline=("reconstruction", "kl"),
    )


def _finish(
    stage: Stage, vae: ConvVAE, held_out: NDArray[np.uint8], observation_hash: str, device: torch.device
) -> None:
    """Write what a trained V is and does."""
    weights, facts = stage.path / "weights.safetensors", evaluate_vae(vae, held_out, device)
    write_json(stage.path / "diagnostics.json", facts)
    save_png(reconstructions(vae, held_out, device), stage.path / "reconstructions.png", scale=2)
    save_png(prior_samples(vae, device), stage.path / "prior_samples.png", scale=2)
    save_tensors(vae.state_dict(), weights)
    stage.finish(
        observation_hash=observation_hash,
        weights=file_hash(weights),
        architecture={"latent_size": vae.latent_size},
    )
    say(
        f"V: held-out reconstruction {facts['reconstruction']:.1f} (summed squared error per frame), KL "
        f"{facts['kl']:.1f} nats, {facts['active_units']} of {vae.latent_size} units active. "
        f"Look at {stage.path / 'reconstructions.png'}"
    )


def reuse_vae(run: Path, weights: Path) -> Path:
    """Use another round's V unchanged: copy its stage into ``run``."""
    target = run / "vae"
    if not (target / "manifest.json").exists():
        for name in ("config.json", "weights.safetensors"):
            with atomic_path(target / name) as temporary:
                shutil.copyfile(weights.parent / name, temporary)
        # The manifest last: it says complete. The time was taken elsewhere.
        write_json(target / "manifest.json", {**read_json(weights.parent / "manifest.json"), "seconds": 0.0})
    return target / "weights.safetensors"


def check_config(config: VAEConfig) -> None:
    """Refuse values that cannot work."""
    positive = ("latent_size", "steps", "batch_size", "learning_rate", "memory_gb", "log_every", "checkpoint_every")
    require_positive(config, positive, "vae.")
    if config.kl_floor < 0:
        raise UserError(f"--vae.kl-floor cannot be negative, got {config.kl_floor}.")


def common_observation_hash(stores: Sequence[EpisodeStore]) -> str:
    """The preprocessing that all stores share.

    Raises:
        UserError: they were recorded with different preprocessing, or one of them was never begun.
    """
    stages = [Stage(store.path.parent.parent, "rollouts") for store in stores]
    for stage in stages:
        if not stage.begun:
            raise UserError(f"There are no episodes in {stage.path} yet; record some there first.")
    hashes = {str(stage.path): stage.manifest["inputs"]["observation_hash"] for stage in stages}
    if len(set(hashes.values())) != 1:
        told = ", ".join(f"{path}: {value}" for path, value in hashes.items())
        raise UserError(f"These episodes were recorded with different preprocessing and cannot be mixed: {told}.")
    return next(iter(hashes.values()))


def require_vae(run: Path, stores: Sequence[EpisodeStore]) -> tuple[Stage, dict[str, str]]:
    """The finished V of ``run``, and what identifies all that a stage made from it and these episodes is made from.

    Raises:
        UserError: it is missing or unfinished, or does not belong to the episodes.
    """
    stage, observation_hash = Stage.require(run, "vae", "train_vae.py"), common_observation_hash(stores)
    if stage.manifest["observation_hash"] != observation_hash:
        raise UserError(
            f"The episodes (preprocessing {observation_hash}) and V in {stage.path} (preprocessing "
            f"{stage.manifest['observation_hash']}) disagree; fit V on these episodes first."
        )
    weights = file_hash(stage.path / "weights.safetensors")
    return stage, {"observation_hash": observation_hash, "vae": weights, "episodes": data_hash(stores)}


def data_hash(stores: Sequence[EpisodeStore]) -> str:
    """Identifies the episodes by name and size, without reading them."""
    return fingerprint([(file.name, file.stat().st_size) for store in stores for file in store.files])


@torch.no_grad()
def evaluate_vae(vae: ConvVAE, frames: NDArray[np.uint8], device: torch.device) -> dict[str, object]:
    """Reconstruction error from the mean, KL in total and per unit (nats), and the number of active units."""
    pictures = to_float(frames, device)
    mean, logvar = vae.encode(pictures)
    kl = kl_to_standard_normal(mean, logvar).mean(0)
    error = reconstruction_error(vae.decode(mean), pictures).mean()
    return {
        "reconstruction": float(error),
        "kl": float(kl.sum()),
        "frames": len(frames),
        "active_units": int((kl > ACTIVE_NATS).sum()),
        "kl_per_unit": [round(float(value), 4) for value in kl],
    }


@torch.no_grad()
def reconstructions(vae: ConvVAE, frames: NDArray[np.uint8], device: torch.device, count: int = 8) -> NDArray[np.uint8]:
    """Originals above their reconstructions."""
    chosen = frames[np.linspace(0, len(frames) - 1, count).astype(int)]
    mean, _ = vae.encode(to_float(chosen, device))
    return grid(np.concatenate([chosen, to_uint8(vae.decode(mean))]), count)


@torch.no_grad()
def prior_samples(vae: ConvVAE, device: torch.device, count: int = 16) -> NDArray[np.uint8]:
    """Frames decoded from z ~ N(0, 1): what V dreams of without M."""
    z = torch.randn(count, vae.latent_size, generator=generator_for(0, 0)).to(device)
    return grid(to_uint8(vae.decode(z)), count // 2)
