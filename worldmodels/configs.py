"""How V and M are built and fitted: all their options.

What decides a network's size (its shape) stands apart from how it is trained: rounds after the first one train the
networks that there are, and so have no options for shapes.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

from rollouts.errors import UserError, require_at_least, require_positive, require_seed
from worldmodels.cores import core_named
from worldmodels.training.precision import Precision


def _options(config: Any, kind: type[Any]) -> dict[str, Any]:
    """The options of a dataclass ``kind`` out of those of a larger one."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(kind)}


@dataclass(frozen=True)
class VAEShape:
    """What decides V's size."""

    latent_size: int = 32
    """Length of the latent vector z (paper: 32 for CarRacing, 64 for Take Cover)."""


@dataclass(frozen=True)
class VAETraining:
    """How V is trained. The defaults are the paper's."""

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
    motion_weight: float = 0.0
    """Weigh the squared error of a pixel 1 + so many times its difference from an earlier frame (0 to 1): what is small
    and moves, such as a far ball, then counts beside walls."""
    motion_lag: int = 1
    """How many steps earlier that frame is: in one step a ball that comes nearer hardly changes."""
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

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: it names the option.
        """
        positive = ("steps", "batch_size", "learning_rate", "memory_gb", "motion_lag", "log_every", "checkpoint_every")
        require_positive(self, positive, "vae.")
        require_at_least(0, self, ("kl_floor", "motion_weight"), "vae.")
        require_seed(self.seed, "vae.seed")


@dataclass(frozen=True)
class VAEConfig(VAETraining, VAEShape):
    """How to fit V: its shape, and its training."""

    @classmethod
    def of(cls, shape: VAEShape, training: VAETraining) -> VAEConfig:
        """Both together."""
        return cls(**_options(training, VAETraining), **_options(shape, VAEShape))

    @property
    def training(self) -> VAETraining:
        """For another V of the same training: that of a later round."""
        return VAETraining(**_options(self, VAETraining))

    def check(self) -> None:
        """As :meth:`VAETraining.check`, and the shape."""
        require_positive(self, ("latent_size",), "vae.")
        super().check()


@dataclass(frozen=True)
class MDNRNNShape:
    """What decides M's size. The defaults are the paper's, with the two heads that a dream needs."""

    core: str = "lstm"
    """What M remembers with: lstm, as in the paper, or transformer, which looks back on the last steps."""
    hidden_size: int = 256
    """Units of the core (paper: 256 for CarRacing, 512 for Take Cover)."""
    mixtures: int = 5
    """Gaussians in the mixture of each latent dimension."""
    reward_head: bool = True
    """Predict the reward; without it a dream pays 1 per step survived."""
    termination_head: bool = True
    """Predict the end of the episode; without it a dream ends only at its horizon."""
    fall_head: bool = False
    """Predict falls of the watched variable (--env.watch): hits, in Take Cover."""
    start_flag: bool = False
    """Tell M where an episode begins, by an input of its own (the paper's Take Cover). Needs --mdnrnn.carry-state."""
    members: int = 1
    """Heads of each kind, fitted to different choices of episodes: a dream follows one of them in each lane, and where
    they differ, M does not know."""
    layers: int = 2
    """Transformer: blocks, one on the other."""
    memory: int = 32
    """Transformer: steps that each block looks back on."""

    def architecture(self, latent_size: int, action_size: int) -> dict[str, Any]:
        """What ``worldmodels.cores.make_dynamics`` needs to make such an M.

        Raises:
            UserError: there is no such core, or an option was changed that it does not have.
        """
        taken = inspect.signature(core_named(self.core)).parameters
        options: dict[str, Any] = {"core": self.core, "latent_size": latent_size, "action_size": action_size}
        for field in dataclasses.fields(MDNRNNShape):
            value, name = getattr(self, field.name), field.name.replace("_", "-")
            if field.name in taken:
                options[field.name] = value
            elif value != field.default and field.name != "core":
                raise UserError(f"--mdnrnn.{name} is not an option of M's core {self.core!r}.")
        return options


@dataclass(frozen=True)
class MDNRNNTraining:
    """How M is trained."""

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
    free_running: int = 0
    """Steps at a window's end in which M is fed with its own samples, as in a dream, instead of with what was seen."""
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
    fall_weight: float = 10.0
    """Weight of the fall head's cross-entropy. Falls and other steps weigh the same in it, so that what the head says
    is the probability itself; for being rare they have few nats, which this makes up for."""
    starts: int = 2048
    """Starting points kept for dreams."""
    bad_starts: float = 0.0
    """Share of those in the middle of episodes that are moments after little was earned: off the road, say."""
    value: float = 0.0
    """Discount per decision, 0.97 say, of a value that is fitted to recorded returns: what dreams with
    --controller.value add at their horizon. 0 fits none."""
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
            *("steps", "batch_size", "sequence_length", "learning_rate", "gradient_clip", "reward_pessimism"),
            *("death_weight", "starts", "log_every", "checkpoint_every"),
        )
        require_positive(self, positive, "mdnrnn.")
        at_least_0 = ("dropout", "burn_in", "free_running", "reward_weight", "termination_weight", "fall_weight")
        require_at_least(0, self, at_least_0, "mdnrnn.")
        require_seed(self.seed, "mdnrnn.seed")
        if self.reward_spread is not None and min(self.reward_spread) < 0:
            raise UserError(f"--mdnrnn.reward-spread takes two numbers of at least 0, got {self.reward_spread}.")
        if self.carry_state and self.burn_in:
            raise UserError(
                "--mdnrnn.burn-in warms up windows whose past is not known; with --mdnrnn.carry-state it is."
            )
        if not 0 <= self.value < 1:
            raise UserError(f"--mdnrnn.value is a discount, at least 0 and below 1, got {self.value}.")
        if not 0 <= self.bad_starts <= 1:
            raise UserError(f"--mdnrnn.bad-starts is a share, between 0 and 1, got {self.bad_starts}.")
        if self.dropout >= 1:
            raise UserError(f"--mdnrnn.dropout must be below 1, got {self.dropout}.")
        if self.burn_in >= self.sequence_length:
            raise UserError(f"--mdnrnn.burn-in must be shorter than the sequence, got {self.burn_in}.")
        if self.free_running >= self.sequence_length - self.burn_in:
            raise UserError(
                f"--mdnrnn.free-running must leave a step to begin from in a sequence of {self.sequence_length}, "
                f"got {self.free_running}."
            )


@dataclass(frozen=True)
class MDNRNNConfig(MDNRNNTraining, MDNRNNShape):
    """How to fit M: its shape, and its training."""

    @classmethod
    def of(cls, shape: MDNRNNShape, training: MDNRNNTraining) -> MDNRNNConfig:
        """Both together."""
        return cls(**_options(training, MDNRNNTraining), **_options(shape, MDNRNNShape))

    @property
    def training(self) -> MDNRNNTraining:
        """For another M of the same training: that of a later round."""
        return MDNRNNTraining(**_options(self, MDNRNNTraining))

    def check(self) -> None:
        """As :meth:`MDNRNNTraining.check`, and the shape."""
        require_positive(self, ("hidden_size", "mixtures", "members", "layers", "memory"), "mdnrnn.")
        self.architecture(1, 1)
        super().check()
        if self.start_flag and not self.carry_state:
            raise UserError(
                "--mdnrnn.start-flag needs --mdnrnn.carry-state: a window that begins inside an episode, with no "
                "memory of it, would pass for a start."
            )
