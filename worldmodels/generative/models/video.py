"""Video: V and M on clips, several futures of the same first frames, and what stays apart from what moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rollouts.errors import UserError, require_at_least, require_positive
from worldmodels.generative.data.clips import load_clips
from worldmodels.generative.data.moving_digits import MOVING
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.models.base import (
    FilmView,
    ImageConfig,
    ImageModel,
    Shape,
    View,
    adam,
    labelled_classes,
)
from worldmodels.generative.networks.coders import conv_coder
from worldmodels.generative.networks.modules import VAE
from worldmodels.generative.objectives.autoencoders import BERNOULLI
from worldmodels.generative.objectives.units import Batch, Unit
from worldmodels.generative.objectives.video import Video, VideoNetwork
from worldmodels.generative.sheets import picture, rgb
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.pictures import Frames, grid, with_captions
from worldmodels.training.loop import Stateful

SURE = -4.0
"""Log variance of V's first codes: little noise, so that the decoder learns to use them before the prior drowns them in
noise. Otherwise V draws only the mean picture, a blur of all places."""
CLIPS, FUTURES = 3, 4  #: clips that are shown, and drawn futures of each
CHUNK = 100  #: clips that are drawn at once


@dataclass(frozen=True)
class VideoConfig(ImageConfig):
    """V, whose code is split into what stays and what moves, and M, which foresees the latter."""

    data: str = MOVING
    """moving-digits; a film (GIF, mp4 ...); a folder of films, of folders of frames, or of frames; a run or folder with
    episodes."""
    frames: int = 10
    """Frames of a clip."""
    every: int = 1
    """Take every n-th frame of films and episodes."""
    given: int = 1
    """First frames of a clip that futures continue."""
    latent_size: int = 8
    """Length of the dynamic code: what changes from frame to frame."""
    static_size: int = 16
    """Length of the static code: what stays for a whole clip; M takes it as its action. 0 for none."""
    hidden_size: int = 128
    """Units of M."""
    mixtures: int = 8
    """Components of M's mixture."""
    joint: bool = True
    """A component stands for the whole next code; otherwise every dimension chooses its own, as the agent's M does."""
    kl_weight: float = 1.0
    """Trade-off between data and prior of V."""
    dynamics_learning_rate: float = 2e-3
    """Step size of M."""
    conditional: bool = False
    """Give V and M the class (M as an action)."""

    def build(self, shape: Shape, device: torch.device) -> VideoModel:
        classes = labelled_classes(shape) if self.conditional else 0
        codes = self.static_size + self.latent_size
        encoder, features, decoder = conv_coder(shape.size, shape.channels, codes, self.width, classes)
        vae = VAE(encoder, features, codes, decoder, classes)
        nn.init.constant_(vae.logvar.bias, SURE)
        actions = self.static_size + classes
        dynamics = MDNRNN(self.latent_size, actions, self.hidden_size, self.mixtures, False, False)
        network = VideoNetwork(vae, dynamics, self.static_size, self.joint).to(device)
        trainable = nn.ParameterList(part for part in network.dynamics.parameters() if part.requires_grad)
        video = Video(
            network,
            BERNOULLI,
            adam(network.vae, self.learning_rate),
            adam(trainable, self.dynamics_learning_rate),
            self.kl_weight,
        )
        return VideoModel(video, shape.frames, self.given)

    @property
    def takes_labels(self) -> bool:
        return self.conditional

    def load(self, folder: Path | None = None) -> Samples:
        """Clips instead of pictures."""
        return load_clips(self.data, self.frames, self.every, self.load_options(folder))

    def check(self) -> None:
        super().check()
        require_positive(self, ("frames", "every", "given", "hidden_size", "mixtures", "dynamics_learning_rate"))
        require_at_least(0, self, ("static_size", "kl_weight"))
        if not self.given < self.frames:
            raise UserError(f"--given must leave a frame of {self.frames} to be drawn, got {self.given}.")

    def for_photos(self) -> VideoConfig:
        raise UserError("The preset photos is for pictures; leave it out for --model video.")


class VideoModel(ImageModel):
    """V and M, and what can be drawn with them."""

    headline = ("distortion", "z_nll_per_dim")
    watched = 32

    def __init__(self, video: Video, frames: int, context_frames: int) -> None:
        self.video, self.frames, self.context_frames = video, frames, context_frames
        self.network: VideoNetwork = video.network
        self.latent_size, self.classes = self.network.dynamic_size, self.network.vae.classes

    def units(self) -> list[Unit]:
        return self.video.units()

    def parts(self) -> dict[str, Stateful]:
        return self.video.parts()

    @torch.no_grad()
    def draw(self, count: int, rng: torch.Generator, condition: Tensor | None = None) -> Tensor:
        """``count`` clips from nothing, of the classes ``condition [count]`` if the model is conditional."""
        network = self.network.eval()
        if self.classes and condition is None:
            condition = torch.arange(count) % self.classes
        labels = condition.to(self.device) if self.classes and condition is not None else None
        static = torch.randn(count, network.static_size, generator=rng).to(self.device)
        first = torch.randn(count, 1, network.dynamic_size, generator=rng).to(self.device)
        dynamic = network.roll(static, first, self.frames - 1, labels, rng)
        return self._decoded(static, dynamic, labels)

    @torch.no_grad()
    def futures(self, context: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Clips ``[N, frames, C, S, S]`` with the first frames ``context [N, k, C, S, S]``, the others drawn."""
        network = self.network.eval()
        labels = labels.to(context.device) if self.classes and labels is not None else None
        codes = network.encode(context, labels)
        static = codes.static_mean.mean(1)
        steps = self.frames - context.shape[1]
        dynamic = network.roll(static, codes.mean, steps, labels, rng)
        drawn = self._decoded(static, dynamic[:, context.shape[1] :], labels)
        return torch.cat([context, drawn], 1)

    def _decoded(self, static: Tensor, dynamic: Tensor, labels: Tensor | None) -> Tensor:
        parts = []
        for start in range(0, len(static), CHUNK):
            part = slice(start, start + CHUNK)
            part_labels = None if labels is None else labels[part]
            parts.append(self.video.likelihood.mean(self.network.decode(static[part], dynamic[part], part_labels)))
        return torch.cat(parts)

    @torch.no_grad()
    def exchanged(self, static_of: Tensor, dynamic_of: Tensor, labels: Tensor | None = None) -> Tensor:
        """Clips with the look of ``static_of`` and the motion of ``dynamic_of``, ``[N, T, C, S, S]`` each."""
        network = self.network.eval()
        labels = labels if self.classes else None
        static = network.encode(static_of, labels).static_mean.mean(1)
        return self._decoded(static, network.encode(dynamic_of, labels).mean, labels)

    def views(self) -> dict[str, View]:
        views: dict[str, View] = {"futures": self._futures, "clips": self._clips}
        return {**views, "exchange": self._exchange} if self.network.static_size else views

    def films(self) -> dict[str, FilmView]:
        return {"futures": self._futures_film, "clips": self._clips_film}

    def _drawn_futures(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Clips ``[N, T, C, S, S]`` (grey where they are not known) and futures ``[N, FUTURES, T, C, S, S]``."""
        x = batch.x[:CLIPS]
        context = x[:, : self.context_frames]
        labels = None if batch.labels is None else batch.labels[: len(x)].repeat_interleave(FUTURES)
        drawn = self.futures(context.repeat_interleave(FUTURES, 0), batch.rng, labels)
        unknown = x.new_full((len(x), self.frames - x.shape[1], *x.shape[2:]), 0.5)
        return torch.cat([x, unknown], 1), drawn.unflatten(0, (len(x), FUTURES))

    def _futures(self, batch: Batch) -> Frames:
        """Each clip, and beneath it several futures of its first frames."""
        clips, drawn = self._drawn_futures(batch)
        rows = torch.cat([clips[:, None], drawn], 1).flatten(0, 1)
        names = [name for _ in clips for name in ("a clip", *(f"future {k + 1}" for k in range(FUTURES)))]
        return with_captions(picture(rows, self.frames), names, scale=1)

    def _futures_film(self, batch: Batch) -> list[Frames]:
        """A row for each clip: the clip itself, then its futures."""
        clips, drawn = self._drawn_futures(batch)
        return _film(torch.cat([clips[:, None], drawn], 1).flatten(0, 1), 1 + FUTURES)

    def _clips(self, batch: Batch) -> Frames:
        return picture(self.draw(8, batch.rng), self.frames)

    def _clips_film(self, batch: Batch) -> list[Frames]:
        return _film(self.draw(20, batch.rng), 5)

    def _exchange(self, batch: Batch) -> Frames:
        """Pairs of rows: a clip, then its look with the motion of the clip in the first row."""
        x = batch.x[: CLIPS + 1]
        labels = None if batch.labels is None else batch.labels[: len(x)]
        rows, names = [x[:1]], ["motion of"]
        for number in range(1, len(x)):
            label = None if labels is None else labels[number : number + 1]
            rows += [x[number : number + 1], self.exchanged(x[number : number + 1], x[:1], label)]
            names += ["look of", "both"]
        return with_captions(picture(torch.cat(rows), self.frames), names, scale=1)


def _film(clips: Tensor, columns: int) -> list[Frames]:
    """Clips ``[N, T, C, S, S]`` side by side, as the frames of one film."""
    return [grid(np.ascontiguousarray(rgb(frame)), columns) for frame in clips.unbind(1)]


VIDEO = VideoConfig(width=16, batch_size=16, steps=3000, learning_rate=2e-3, decay=True, checkpoint_every=500)
VIDEO_CONDITIONAL = replace(VIDEO, conditional=True)
