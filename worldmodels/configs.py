"""How M is built and fitted: all its options."""

from __future__ import annotations

from dataclasses import dataclass

from rollouts.errors import UserError, require_positive
from worldmodels.training.precision import Precision


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
    precision: Precision = "auto"
    """What convolutions multiply in; auto takes bfloat16 where this device is faster in it, and keeps that."""
    memory_gb: float = 4.0
    """Frames kept in memory at a time."""
    seed: int = 0
    """Decides initial weights, batches and noise."""
    log_every: int = 50
    """Steps between lines in the log."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""


def check_config(config: VAEConfig) -> None:
    """Refuse values that cannot work."""
    positive = ("latent_size", "steps", "batch_size", "learning_rate", "memory_gb", "log_every", "checkpoint_every")
    require_positive(config, positive, "vae.")
    if config.kl_floor < 0:
        raise UserError(f"--vae.kl-floor cannot be negative, got {config.kl_floor}.")


@dataclass(frozen=True)
class MDNRNNConfig:
    """How to fit M. The defaults are the paper's, with the two heads that a dream needs."""

    hidden_size: int = 256
    """LSTM units (paper: 256 for CarRacing, 512 for Take Cover)."""
    mixtures: int = 5
    """Gaussians in the mixture of each latent dimension."""
    reward_head: bool = True
    """Predict the reward; without it a dream pays 1 per step survived."""
    termination_head: bool = True
    """Predict the end of the episode; without it a dream ends only at its horizon."""
    start_flag: bool = False
    """Tell M where an episode begins, by an input of its own (the paper's Take Cover). Needs --mdnrnn.carry-state."""
    dropout: float = 0.0
    """Share of M's output units left out in every sequence; see also --controller.dropout."""
    steps: int = 4000
    """Optimiser steps. May be raised later to train on."""
    batch_size: int = 100
    """Windows per step."""
    sequence_length: int = 999
    """Steps per window; longer than an episode means the whole episode."""
    carry_state: bool = False
    """Go through whole episodes window by window and keep M's memory in between, as the paper's Take Cover does."""
    burn_in: int = 0
    """Steps at a window's start that only warm the state up, where the window begins inside an episode."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    decay: bool = False
    """Let the learning rate fall to a twentieth along half a cosine."""
    precision: Precision = "auto"
    """What M multiplies in; auto takes bfloat16 where this device is faster in it. On GPUs the LSTM's own products stay
    in float32."""
    gradient_clip: float = 1.0
    """Every element of the gradient is clipped to plus or minus this."""
    reward_weight: float = 1.0
    """Weight of the squared error of the (standardised) reward beside the latents' nats per dimension."""
    reward_pessimism: float = 1.0
    """Weight of promising too much against promising too little: an agent in the dream seeks out the former."""
    reward_spread: tuple[int, int] | None = None
    """Spread each reward over so many steps after and before it, e.g. 8 15 for CarRacing's tiles."""
    termination_weight: float = 1.0
    """Weight of the termination head's cross-entropy."""
    death_weight: float = 10.0
    """Weight of the rare steps that end an episode, against all others (paper's code: 10)."""
    starts: int = 2048
    """Starting points kept for dreams."""
    seed: int = 0
    """Decides initial weights, windows and latent samples."""
    log_every: int = 20
    """Steps between lines in the log."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: it names the option.
        """
        positive = (
            "hidden_size",
            "mixtures",
            "steps",
            "batch_size",
            "sequence_length",
            "learning_rate",
            "gradient_clip",
            "reward_pessimism",
            "death_weight",
            "starts",
            "log_every",
            "checkpoint_every",
        )
        require_positive(self, positive, "mdnrnn.")
        if self.start_flag and not self.carry_state:
            raise UserError(
                "--mdnrnn.start-flag needs --mdnrnn.carry-state: a window that begins inside an episode, with no "
                "memory of it, would pass for a start."
            )
        if self.carry_state and self.burn_in:
            raise UserError(
                "--mdnrnn.burn-in warms up windows whose past is not known; with --mdnrnn.carry-state it is."
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"--mdnrnn.dropout must be at least 0 and below 1, got {self.dropout}.")
        if not 0 <= self.burn_in < self.sequence_length:
            raise UserError(f"--mdnrnn.burn-in must be shorter than the sequence, got {self.burn_in}.")
