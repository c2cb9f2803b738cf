"""All models by name, one line each, and presets that finish in minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from worldmodels.generative.models import (
    autoencoders,
    began,
    colours,
    cyclegan,
    gan,
    pixelcnn,
    text_to_image,
    translation,
    video,
)
from worldmodels.generative.models.base import ImageConfig

MODELS: dict[str, ImageConfig] = {
    "ae": autoencoders.AE,
    "sparse-ae": autoencoders.SPARSE_AE,
    "denoising-ae": autoencoders.DENOISING_AE,
    "vae": autoencoders.VAE_QUICK,
    "cvae": autoencoders.CVAE,
    "gan": gan.GANConfig(),
    "gan-minimax": gan.GAN_MINIMAX,
    "lsgan": gan.LSGAN,
    "wgan": gan.WGAN,
    "wgan-gp": gan.WGAN_GP,
    "sngan": gan.SNGAN,
    "dragan": gan.DRAGAN,
    "began": began.BEGANConfig(),
    "cgan": gan.CGAN,
    "cgan-projection": gan.CGAN_PROJECTION,
    "pix2pix": translation.Pix2PixConfig(),
    "colourise": translation.COLOURISE,
    "inpaint": translation.INPAINT,
    "super-resolve": translation.SUPER_RESOLVE,
    "edges-to-photo": translation.EDGES_TO_PHOTO,
    "diverse-colours": colours.ColoursConfig(),
    "cyclegan": cyclegan.CycleGANConfig(),
    "pixelcnn": pixelcnn.PIXELCNN,
    "pixelcnn-conditional": pixelcnn.PIXELCNN_CONDITIONAL,
    "text-to-image": text_to_image.TEXT_TO_IMAGE,
    "video": video.VIDEO,
    "video-conditional": video.VIDEO_CONDITIONAL,
}
PresetName = Literal["tiny", "quick", "laptop", "photos"]
if TYPE_CHECKING:
    ModelName = str
else:  # so that a command line lists them
    ModelName = Literal[tuple(MODELS)]


def preset(model: str, name: str = "quick", points: bool = False) -> ImageConfig:
    """A model's options: "tiny" is for tests, "quick" takes minutes on two cores, "laptop" ten times as many steps,
    "photos" is for a few hundred photos and half an hour.

    Args:
        points: for points in a plane instead of images.
    """
    config = MODELS[model].for_points() if points else MODELS[model]
    if name == "tiny":
        return replace(config, width=8, steps=40, batch_size=16, log_every=10, checkpoint_every=20)
    if name == "photos":
        return config.for_photos()
    return replace(config, steps=10 * config.steps) if name == "laptop" else config
