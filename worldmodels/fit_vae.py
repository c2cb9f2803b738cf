"""Fit V: learn to see, from recorded frames alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.console import say, size
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, write_json
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage
from worldmodels.configs import VAEConfig
from worldmodels.data.frames import FrameBatches, Source, frames_shape, read_frames, read_sequences, split
from worldmodels.data.lineage import common_observation_hash, data_hash
from worldmodels.pictures import grid, save_png, to_float, to_uint8, with_captions
from worldmodels.probes import LAG, what_z_tells, worst_patches
from worldmodels.training.checkpoint import load_state, load_weights, save_tensors
from worldmodels.training.distributed import Ranks
from worldmodels.training.loop import MetricsLog, train
from worldmodels.training.optimiser import Descent
from worldmodels.training.precision import Format, autocast, settle
from worldmodels.training.randomness import generator_for
from worldmodels.vae import (
    FRAME_SIZE,
    ConvVAE,
    VAELoss,
    kl_to_standard_normal,
    motion_weights,
    reconstruction_error,
    vae_loss,
)

ACTIVE_NATS = 0.02
"""A latent unit whose average KL is below this carries nothing: it has collapsed."""
PROBED = 6000  #: held-out frames at most from which probes read
ROWS = ("recorded", "V's picture of it")
PRIOR_ROWS = ("z at random", "z at random")
TRIED = 32  #: frames of the steps by which a precision is chosen


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
    config.check()
    inputs = {"observation_hash": common_observation_hash(stores), "episodes": data_hash(stores)}
    if start_from is not None:
        inputs["start_from"] = file_hash(start_from)
    training, test = split(stores)
    ranks = Ranks.here()
    own = ranks.part(config.batch_size)
    stage = ranks.open(Run(run).vae, config, inputs)
    weights = stage.weights
    if stage.complete and weights.exists():
        return weights
    batches = FrameBatches(training, config.batch_size, config.seed, config.memory_gb * 1e9, config.motion_lag)
    held_out = _held_out(test)
    resident = min(config.memory_gb * 1e9, batches.frames * held_out[0].nbytes)
    say(f"V: {batches.frames:,} frames for training, {size(resident)} of them in memory; {config.steps:,} steps.")

    torch.manual_seed(config.seed)
    vae = ConvVAE(config.latent_size)
    if start_from is not None:
        load_weights(vae, start_from)
    vae = vae.on(device)
    _train(config, stage, vae, batches, own, held_out, device)
    if ranks.leads:
        vae.load_state_dict(load_state(stage.state, device)["vae"])  # also when stopped after the last step
        _finish(stage, vae, held_out, test, inputs["observation_hash"], device)
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
    own: slice,
    held_out: NDArray[np.uint8],
    device: torch.device,
) -> None:
    """Minimise V's loss; ``own`` is this process's part of every batch."""
    descent, tried = Descent(config, vae.parameters()), min(config.batch_size, TRIED)
    noise_like, trial = torch.zeros(tried, config.latent_size, device=device), copy.deepcopy(vae)

    def one_step(precision: Format) -> None:
        frames = to_float(held_out[np.arange(tried) % len(held_out)], device)
        losses(trial, frames, noise_like, config.kl_floor, precision).total.backward()

    steps = config.steps * config.batch_size // tried
    precision = settle(stage, config.precision, device, steps, one_step, f"V, {tried} frames")

    def update(step: int) -> Mapping[str, Tensor]:
        weight = None
        if config.motion_weight:
            joint, earlier = batches.pairs(step)
            frames = to_float(joint[own], device)
            weight = motion_weights(frames, to_float(earlier[own], device), config.motion_weight)
        else:
            joint = batches(step)
            frames = to_float(joint[own], device)
        noise = torch.randn(len(joint), config.latent_size, generator=generator_for(config.seed, step))[own].to(device)
        loss = losses(vae, frames, noise, config.kl_floor, precision, weight)
        share = len(frames) / len(joint)
        descent.step(step, share * loss.total)
        return {"loss": share * loss.total, "reconstruction": share * loss.reconstruction, "kl": share * loss.kl}

    def report(step: int, log: MetricsLog) -> None:
        facts = evaluate_vae(vae, held_out, device)
        log.held_out(step, {name: facts[name] for name in ("reconstruction", "kl", "active_units")})
        log.histogram(step, "kl_per_unit", facts["kl_per_unit"])
        worst, _ = worst_patches(held_out, lambda frames: reconstructed(vae, frames, device))
        log.picture(step, "reconstructions", with_captions(reconstructions(vae, held_out, device), ROWS))
        log.picture(step, "worst_patches", with_captions(worst, ROWS))
        log.picture(step, "prior_samples", with_captions(prior_samples(vae, device), PRIOR_ROWS))

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


def losses(
    vae: ConvVAE, frames: Tensor, noise: Tensor, kl_floor: float, precision: Format, weight: Tensor | None = None
) -> VAELoss:
    """V's loss on ``frames [N, 3, 64, 64]``, multiplied in ``precision`` and added up in float32."""
    with autocast(frames.device, precision):
        reconstruction, mean, logvar = vae(frames, noise)
    return vae_loss(reconstruction.float(), frames, mean.float(), logvar.float(), kl_floor, weight)


def _finish(
    stage: Stage,
    vae: ConvVAE,
    held_out: NDArray[np.uint8],
    test: Sequence[Source],
    observation_hash: str,
    device: torch.device,
) -> None:
    """Write what a trained V is and does."""
    weights, facts = stage.weights, evaluate_vae(vae, held_out, device)
    facts["probes"] = probes(vae, test, device)
    worst, _ = worst_patches(held_out, lambda frames: reconstructed(vae, frames, device))
    write_json(stage.diagnostics, facts)
    save_png(with_captions(reconstructions(vae, held_out, device), ROWS), stage.picture("reconstructions"))
    save_png(with_captions(prior_samples(vae, device), PRIOR_ROWS), stage.picture("prior_samples"))
    save_png(with_captions(worst, ROWS), stage.picture("worst_patches"))
    save_tensors(vae.state_dict(), weights)
    stage.finish(
        observation_hash=observation_hash,
        weights=file_hash(weights),
        architecture={"latent_size": vae.latent_size},
    )
    say(
        f"V: held-out reconstruction {facts['reconstruction']:.1f} (summed squared error per frame), KL "
        f"{facts['kl']:.1f} nats, {facts['active_units']} of {vae.latent_size} units active. "
        f"Look at {stage.picture('reconstructions')} and {stage.picture('worst_patches')}; "
        f"{stage.diagnostics} says what probes read from z."
    )


@torch.no_grad()
def evaluate_vae(vae: ConvVAE, frames: NDArray[np.uint8], device: torch.device) -> dict[str, Any]:
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
def probes(vae: ConvVAE, test: Sequence[Source], device: torch.device) -> dict[str, object]:
    """What linear probes read from the means of z, see :func:`worldmodels.probes.what_z_tells`."""
    episodes, total = list[Source](), 0
    for source in test:
        if total >= PROBED:
            break
        episodes.append(source)
        total += frames_shape(source[1])[0]
    frames, before = read_sequences(episodes, LAG)
    means = [vae.encode(to_float(part, device))[0].cpu() for part in torch.as_tensor(frames[:PROBED]).split(256)]
    return what_z_tells(torch.cat(means).double().numpy(), frames[:PROBED], frames[before[:PROBED]])


@torch.no_grad()
def reconstructed(vae: ConvVAE, frames: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Frames ``[N, 64, 64, 3]`` as V draws them from the mean of z."""
    parts = torch.as_tensor(frames).split(256)
    return np.concatenate([to_uint8(vae.decode(vae.encode(to_float(part, device))[0])) for part in parts])


@torch.no_grad()
def reconstructions(vae: ConvVAE, frames: NDArray[np.uint8], device: torch.device, count: int = 8) -> NDArray[np.uint8]:
    """Originals above their reconstructions."""
    chosen = frames[np.linspace(0, len(frames) - 1, count).astype(int)]
    return grid(np.concatenate([chosen, reconstructed(vae, chosen, device)]), count)


@torch.no_grad()
def prior_samples(vae: ConvVAE, device: torch.device, count: int = 16) -> NDArray[np.uint8]:
    """Frames decoded from z ~ N(0, 1): what V dreams of without M."""
    z = torch.randn(count, vae.latent_size, generator=generator_for(0, 0)).to(device)
    return grid(to_uint8(vae.decode(z)), count // 2)
