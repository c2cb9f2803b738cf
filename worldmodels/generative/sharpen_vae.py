"""Sharpen a trained V: go on with an adversarial term, so that dreams look less blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rollouts.console import say
from rollouts.episodes import EpisodeStore
from rollouts.errors import require_at_least, require_positive, require_seed
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from worldmodels.data.frames import FrameBatches, read_frames, split
from worldmodels.data.lineage import require_vae
from worldmodels.generative.networks.dcgan import dcgan_critic
from worldmodels.generative.objectives.adversarial_vae import AdversarialVAE
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.units import Data, Trainer
from worldmodels.generative.sheets import rgb
from worldmodels.pictures import grid, save_png, to_float, with_captions
from worldmodels.training.checkpoint import load_state, load_weights, save_tensors
from worldmodels.training.loop import MetricsLog, Stateful, train
from worldmodels.vae import FRAME_SIZE, ConvVAE, vae_loss

ROWS = ("recorded", "V before", "V now")


@dataclass(frozen=True)
class VAEGANConfig:
    """How to sharpen V."""

    steps: int = 1000
    """Training steps."""
    batch_size: int = 32
    """Frames per step."""
    adversarial_weight: float = 5.0
    """Nats that the critic's opinion of one frame is worth; 0 trains V on as before."""
    learning_rate: float = 1e-4
    """Step size of V."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    width: int = 32
    """Filters of the critic next to the frame."""
    kl_floor: float = 0.5
    """KL below this many nats per latent unit is not penalised, as for V."""
    seed: int = 0
    """Decides the critic's weights, batches and noise."""
    log_every: int = 20
    """Steps between lines in the log."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: it names the option.
        """
        require_positive(self, ("steps", "batch_size", "learning_rate", "critic_learning_rate", "width"))
        require_positive(self, ("log_every", "checkpoint_every"))
        require_at_least(0, self, ("adversarial_weight", "kl_floor"))
        require_seed(self.seed, "seed")


def fit_vae_gan(config: VAEGANConfig, run: Path, stores: Sequence[EpisodeStore], device: torch.device) -> Path:
    """Continue ``run/vae`` against a spectrally normalised critic; write ``run/vae-gan/weights.safetensors``.

    The weights fit V exactly. M was trained on V's latents, so train M anew if V is replaced by them.

    Raises:
        UserError: V is missing or unfinished, there are no episodes, or they do not belong together.
    """
    config.check()
    source, inputs = require_vae(run, stores)
    stage = Run(run).sharpened.open(config, inputs, growable=("steps",))
    weights = stage.weights
    if stage.complete and weights.exists():
        return weights
    training, test = split(stores)
    frames = FrameBatches(training, config.batch_size, config.seed)
    held_out = read_frames(test[:8])
    shown = to_float(held_out[np.linspace(0, len(held_out) - 1, 8).astype(int)], device)

    torch.manual_seed(config.seed)
    vae = ConvVAE(int(source.manifest["architecture"]["latent_size"]))
    load_weights(vae, source.weights)
    before = reconstruct(vae.to(device), shown)
    critic = spectrally_normalise(dcgan_critic(FRAME_SIZE, 3, config.width)).to(device)
    objective = AdversarialVAE(
        vae,
        critic,
        partial(vae_loss, kl_floor=config.kl_floor),
        torch.optim.Adam(vae.parameters(), lr=config.learning_rate),
        torch.optim.Adam(critic.parameters(), lr=config.critic_learning_rate, betas=(0.5, 0.999)),
        config.adversarial_weight,
    )
    trainer = Trainer(objective.units(), lambda number: Data(to_float(frames(number), device)), config.seed)
    parts: dict[str, Stateful] = {
        "vae": vae,
        "critic": critic,
        "optimiser": objective.optimiser,
        "critic_optimiser": objective.critic_optimiser,
        "updates": trainer,
    }

    def compare() -> np.ndarray:
        """Originals, what V made of them before, what it makes of them now."""
        return grid(np.concatenate([rgb(shown), rgb(before), rgb(reconstruct(vae, shown))]), len(shown))

    def report(step: int, log: MetricsLog) -> None:
        log.picture(step, "reconstructions", with_captions(compare(), ROWS))

    headline = ("reconstruction", "kl", "adversarial")
    train(stage, parts, trainer, config.steps, config.log_every, config.checkpoint_every, report, headline)
    vae.load_state_dict(load_state(stage.state, device)["vae"])
    save_png(with_captions(compare(), ROWS), stage.picture("reconstructions"))
    save_tensors(vae.state_dict(), weights)
    stage.finish(weights=file_hash(weights), architecture={"latent_size": vae.latent_size})
    say(f"V, sharpened: {weights}. Look at {stage.picture('reconstructions')} (originals, before, after).")
    return weights


@torch.no_grad()
def reconstruct(vae: ConvVAE, frames: torch.Tensor) -> torch.Tensor:
    """From the mean of the posterior."""
    return vae.decode(vae.encode(frames)[0])
