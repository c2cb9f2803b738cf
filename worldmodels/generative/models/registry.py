"""All models by name, one line each, and presets that finish in minutes on two cores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rollouts.errors import UserError
from worldmodels.generative.models import (
    acgan,
    autoencoders,
    began,
    bigan,
    colours,
    cyclegan,
    ebgan,
    gan,
    infogan,
    lapgan,
    pixelcnn,
    semi_supervised,
    text_to_image,
    translation,
    video,
)
from worldmodels.generative.models.base import ImageConfig

MODELS: dict[str, ImageConfig] = {
    "ae": autoencoders.AE,
    "sparse-ae": autoencoders.SPARSE_AE,
    "denoising-ae": autoencoders.DENOISING_AE,
    "linear-ae": autoencoders.LINEAR_AE,
    "dense-ae": autoencoders.DENSE_AE,
    "lenet-ae": autoencoders.LENET_AE,
    "vae": autoencoders.VAE_QUICK,
    "sigma-vae": autoencoders.SIGMA_VAE,
    "mixture-vae": autoencoders.MIXTURE_VAE,
    "vamp-vae": autoencoders.VAMP_VAE,
    "cvae": autoencoders.CVAE,
    "semi-supervised-vae": semi_supervised.SEMI_SUPERVISED,
    "gan": gan.GANConfig(),
    "gan-minimax": gan.GAN_MINIMAX,
    "lsgan": gan.LSGAN,
    "wgan": gan.WGAN,
    "wgan-gp": gan.WGAN_GP,
    "sngan": gan.SNGAN,
    "dragan": gan.DRAGAN,
    "began": began.BEGANConfig(),
    "ebgan": ebgan.EBGANConfig(),
    "f-gan": gan.F_GAN,
    "infogan": infogan.INFOGAN,
    "bigan": bigan.BiGANConfig(),
    "ali": bigan.ALI,
    "lapgan": lapgan.LAPGANConfig(),
    "cgan": gan.CGAN,
    "cgan-projection": gan.CGAN_PROJECTION,
    "acgan": acgan.ACGAN_QUICK,
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
PresetName = Literal["tiny", "quick", "laptop", "photos", "book"]
if TYPE_CHECKING:
    ModelName = str
else:  # so that a command line lists them
    ModelName = Literal[tuple(MODELS)]


def preset(model: str, name: str = "quick", points: bool = False) -> ImageConfig:
    """A model's options: "tiny" is for tests, "quick" takes minutes on two cores, "laptop" ten times as many steps,
    "photos" is for a few hundred photos and half an hour, "book" the 28x28 GAN of Foster (2019) with its settings.

    Args:
        points: for points in a plane instead of images.

    Raises:
        UserError: the book is about one GAN of pictures only.
    """
    if name == "book":
        if model != "gan" or points:
            raise UserError("--preset book is the GAN of 28x28 pictures; leave out --model, and give such pictures.")
        return gan.BOOK
    config = MODELS[model].for_points() if points else MODELS[model]
    if name == "tiny":
        return replace(config, width=8, steps=40, batch_size=16, log_every=10, checkpoint_every=20)
    if name == "photos":
        return config.for_photos()
    return replace(config, steps=10 * config.steps) if name == "laptop" else config
