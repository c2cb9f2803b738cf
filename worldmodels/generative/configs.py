"""Every model's options, and presets of them that finish in minutes on two cores."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from rollouts.errors import UserError, require_positive
from worldmodels.generative.architectures import Conditioning

LossName = Literal["minimax", "non-saturating", "least-squares", "wasserstein", "hinge"]
PenaltyName = Literal["none", "gradient", "dragan"]
LikelihoodName = Literal["bernoulli", "gaussian", "gaussian-learned"]
GANArchitecture = Literal["dcgan", "dcgan-resize", "resnet", "patchgan", "foster"]
OptimiserName = Literal["adam", "rmsprop"]
PresetName = Literal["tiny", "quick", "laptop"]


@dataclass(frozen=True)
class ImageConfig:
    """What all image models share."""

    data: str = "digits"
    """digits, digits-8x8, stacked-digits, ring, grid, swiss-roll, lines; or a folder of pictures, a run or folder with
    episodes, an IDX file, .npy, .npz."""
    size: int = 0
    """Side to which images are resized; 0 leaves them."""
    channels: int = 0
    """1 or 3; 0 takes what the data have."""
    steps: int = 3000
    """Training steps (generator updates). May be raised later to train on."""
    batch_size: int = 64
    """Samples per update."""
    latent_size: int = 64
    """Length of the latent vector."""
    width: int = 32
    """Filters next to the image; deeper layers have more. For points, units of a hidden layer."""
    learning_rate: float = 2e-4
    """Step size (of the generator, where there are two)."""
    decay: bool = False
    """Let the learning rates fall linearly to 0."""
    seed: int = 0
    """Decides initial weights, batches, noise, and what is held out."""
    log_every: int = 20
    """Steps between lines in the log."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 convolutions are up to twice as fast on recent CPUs and GPUs."""
    checkpoint_every: int = 200
    """Steps between checkpoints, sample grids and checks for collapse."""


@dataclass(frozen=True)
class GANConfig(ImageConfig):
    """A generator against a critic; loss, penalty, constraint, architecture and conditioning combine freely."""

    loss: LossName = "non-saturating"
    """The game."""
    architecture: GANArchitecture = "dcgan"
    """Networks for images ("foster" is the 28x28 GAN of the book); points always take perceptrons."""
    conditioning: Conditioning = "none"
    """How the critic learns the label: as input planes, or by projection. The generator gets it with its noise."""
    penalty: PenaltyName = "none"
    """On the critic's gradient: between real and fake (WGAN-GP), or around real (DRAGAN)."""
    penalty_weight: float = 10.0
    """Times the penalty."""
    spectral_norm: bool = False
    """Divide every weight of the critic by its largest singular value."""
    batch_norm: bool = False
    """Normalise the critic's activations over the batch (impossible with a penalty)."""
    clip: float = 0.0
    """Bound on the critic's parameters after each of its updates; 0 is none."""
    critic_steps: int = 1
    """Critic updates per step."""
    critic_learning_rate: float = 2e-4
    """Step size of the critic."""
    optimiser: OptimiserName = "adam"
    """RMSProp is for weight clipping, where momentum does harm (Arjovsky et al. 2017)."""
    beta1: float = 0.5
    """Adam's first moment."""
    beta2: float = 0.999
    """Adam's second moment."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""


@dataclass(frozen=True)
class BEGANConfig(ImageConfig):
    """A generator against an autoencoder."""

    learning_rate: float = 5e-4
    """Step size of the generator."""
    critic_learning_rate: float = 1e-3
    """Step size of the autoencoder, which must learn to reconstruct before it can judge."""
    beta1: float = 0.5
    """Adam's first moment."""
    gamma: float = 1.0
    """Ratio of the errors on fakes and on data to hold; lower is sharper and less diverse: at 0.75, most digits are
    the one that is easiest to reconstruct, 1."""
    gain: float = 0.05
    """Step size of the balance k. The paper's 0.001 is meant for a hundred times as many steps."""
    average_decay: float = 0.995
    """Of the moving average of the generator that samples are drawn from; 0 is no averaging."""


@dataclass(frozen=True)
class AutoencoderConfig(ImageConfig):
    """A code and a reconstruction, without a prior."""

    likelihood: LikelihoodName = "bernoulli"
    """What the reconstruction error is: cross-entropy, or squared error by a variance, fixed or learned."""
    variance: float = 0.1
    """Of the fixed Gaussian likelihood, per pixel."""
    noise: float = 0.0
    """Standard deviation of noise on the input but not on the target (denoising)."""
    sparsity_weight: float = 0.0
    """Times the KL between --sparsity and the mean activation of the code."""
    sparsity: float = 0.05
    """Wanted mean activation of a code unit."""


@dataclass(frozen=True)
class VAEConfig(ImageConfig):
    """A variational autoencoder."""

    likelihood: LikelihoodName = "bernoulli"
    """What the reconstruction error is: cross-entropy, or squared error by a variance, fixed or learned."""
    variance: float = 0.1
    """Of the Gaussian likelihood, per pixel; where it is learned, the start, which must be well below the data's own
    variance: latents carry nothing until the likelihood is narrower than what they could explain."""
    kl_weight: float = 1.0
    """Trade-off between data and prior (lambda, beta): above 1 favours the prior."""
    free_nats: float = 0.0
    """KL per latent unit that costs nothing (free bits)."""
    conditional: bool = False
    """Give the label to encoder and decoder."""


Config = GANConfig | BEGANConfig | AutoencoderConfig | VAEConfig

_VAE = VAEConfig(latent_size=16, learning_rate=1e-3, decay=True)
_AE = AutoencoderConfig(latent_size=16, learning_rate=1e-3, decay=True)
_GAN = GANConfig()

MODELS: dict[str, Config] = {
    "ae": _AE,
    "sparse-ae": dataclasses.replace(_AE, latent_size=64, sparsity_weight=3.0),
    "denoising-ae": dataclasses.replace(_AE, noise=0.3),
    "vae": _VAE,
    "cvae": dataclasses.replace(_VAE, conditional=True),
    "gan": _GAN,
    "gan-minimax": dataclasses.replace(_GAN, loss="minimax"),
    "lsgan": dataclasses.replace(_GAN, loss="least-squares"),
    # Arjovsky et al. (2017), algorithm 1.
    "wgan": dataclasses.replace(
        _GAN,
        loss="wasserstein",
        clip=0.01,
        optimiser="rmsprop",
        learning_rate=5e-5,
        critic_learning_rate=5e-5,
        critic_steps=5,
        batch_norm=True,
    ),
    # Gulrajani et al. (2017), algorithm 1, except for the step size (there 1e-4).
    "wgan-gp": dataclasses.replace(_GAN, loss="wasserstein", penalty="gradient", critic_steps=5, beta1=0.0, beta2=0.9),
    "sngan": dataclasses.replace(_GAN, loss="hinge", spectral_norm=True),
    "dragan": dataclasses.replace(_GAN, penalty="dragan"),
    "began": BEGANConfig(),
    "cgan": dataclasses.replace(_GAN, conditioning="planes", spectral_norm=True),
    "cgan-projection": dataclasses.replace(_GAN, loss="hinge", spectral_norm=True, conditioning="projection"),
}
ModelName = Literal[
    "ae", "sparse-ae", "denoising-ae", "vae", "cvae", "gan", "gan-minimax", "lsgan", "wgan", "wgan-gp", "sngan",
    "dragan", "began", "cgan", "cgan-projection",
]  # fmt: skip


def preset(model: str, name: str = "quick", points: bool = False) -> Config:
    """A model's options: "tiny" is for tests, "quick" takes minutes on two cores, "laptop" ten times as many steps.

    Args:
        points: for points in a plane instead of images.
    """
    config = MODELS[model]
    if points:
        config = dataclasses.replace(
            config, width=64, batch_size=128, latent_size=2, steps=5000, learning_rate=1e-3, decay=True
        )
        if isinstance(config, VAEConfig):
            config = dataclasses.replace(config, likelihood="gaussian-learned", variance=0.01)
        elif isinstance(config, AutoencoderConfig):
            config = dataclasses.replace(config, likelihood="gaussian")
        elif isinstance(config, GANConfig):
            # Gulrajani et al. (2017) use penalty weight 0.1 for these data.
            # A critic that learns twice as fast finds all modes with seeds that otherwise miss some; the idea of two
            # time scales is Heusel et al.'s (2017).
            config = dataclasses.replace(config, critic_learning_rate=2e-3, penalty_weight=0.1, batch_norm=False)
            if config.clip:  # 0.01, meant for sums over thousands of inputs, leaves so narrow a critic almost flat
                config = dataclasses.replace(config, clip=0.05)
            if config.spectral_norm:  # a critic of slope 1 tells modes of width 0.014 apart only slowly
                config = dataclasses.replace(config, loss="non-saturating", critic_steps=3)
    if name == "tiny":
        return dataclasses.replace(config, width=8, steps=40, batch_size=16, log_every=10, checkpoint_every=20)
    return dataclasses.replace(config, steps=10 * config.steps) if name == "laptop" else config


def check(config: Config) -> None:
    """Refuse values that cannot work.

    Raises:
        UserError: the option is named.
    """
    positive = ["steps", "batch_size", "latent_size", "width", "learning_rate", "log_every", "checkpoint_every"]
    positive += [name for name in ("critic_steps", "critic_learning_rate", "variance") if hasattr(config, name)]
    require_positive(config, positive)
    for name in ("clip", "penalty_weight", "kl_weight", "free_nats", "noise", "sparsity_weight", "size"):
        if getattr(config, name, 0) < 0:
            raise UserError(f"--{name.replace('_', '-')} cannot be negative, got {getattr(config, name)}.")
    for name in ("average_decay", "beta1", "beta2"):
        if not 0 <= getattr(config, name, 0) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be in [0, 1), got {getattr(config, name)}.")
    if config.channels not in (0, 1, 3):
        raise UserError(f"--channels must be 1, 3 or 0 (as the data), got {config.channels}.")
    if config.batch_size < 2:
        raise UserError("--batch-size must be at least 2: normalisation needs something to average over.")
    if isinstance(config, AutoencoderConfig) and not 0 < config.sparsity < 1:
        raise UserError(f"--sparsity must be in (0, 1), got {config.sparsity}.")


def check_networks(config: Config, points: bool) -> None:
    """Refuse options that the chosen networks would ignore, or cannot have together.

    Raises:
        UserError: the option is named.
    """
    if not isinstance(config, GANConfig):
        return
    if config.batch_norm and (points or config.architecture in ("resnet", "foster")):
        networks = "Perceptrons for points" if points else f"The networks of --architecture {config.architecture}"
        raise UserError(f"{networks} have no place for --batch-norm; give --no-batch-norm.")
    if config.batch_norm and config.penalty != "none":
        raise UserError(
            "--penalty needs a gradient per sample, which --batch-norm makes meaningless; drop one of them."
        )
    if config.architecture == "foster" and not points and config.width != GANConfig.width:
        raise UserError(
            f"The networks of --architecture foster have the book's widths, got --width {config.width}; leave it at "
            f"{GANConfig.width}."
        )
