"""Episodes as V sees them: what M learns from, small enough to sit on the device as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.console import progress_bar, say
from rollouts.episodes import DAMAGE, Episode, content_hash, falls
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path
from worldmodels.data.frames import Source
from worldmodels.pictures import to_float
from worldmodels.vae import ConvVAE, Encoder, fast_encoder, reparameterise

HalfArray = NDArray[np.float16]
MARK = ".worldmodels-cache"  #: in folders that this program made, and may throw away


@dataclass(frozen=True)
class LatentEpisode:
    """An episode whose frames are replaced by their latent means and log variances (half precision, as the paper)."""

    mean: HalfArray  #: [T+1, Z]
    logvar: HalfArray  #: [T+1, Z]
    actions: NDArray[np.float32]  #: [T, A]
    rewards: NDArray[np.float32]  #: [T]
    terminated: NDArray[np.bool_]  #: [T]
    file: Path  #: the episode's own file
    blank_end: bool = False  #: the last frame shows nothing
    watched: NDArray[np.float32] | None = None  #: [T+1] a variable beside the frames, if one was recorded

    def __len__(self) -> int:
        return len(self.actions)


def encoder(vae: ConvVAE, device: torch.device) -> Encoder:
    """V's own encoder, as exact as its weights."""
    return lambda frames: vae.encode(to_float(frames, device))


@torch.no_grad()
def encode_episode(encode: Encoder, episode: Episode, file: Path) -> LatentEpisode:
    """Encode every frame of an episode, in batches of 256."""
    parts = [encode(frames) for frames in torch.as_tensor(episode.observations).split(256)]
    mean, logvar = (torch.cat(part).cpu().numpy().astype(np.float16) for part in zip(*parts, strict=True))
    rest = (episode.actions, episode.rewards, episode.terminated, file, episode.blank_end, episode.watched)
    return LatentEpisode(mean, logvar, *rest)


def encode_sources(
    vae: ConvVAE, vae_hash: str, sources: Sequence[Source], cache: Path, device: torch.device
) -> list[LatentEpisode]:
    """Latent versions of some episodes, cached beside the run; another V's cache is thrown away.

    An episode that was recorded anew under its seed is encoded anew.

    Raises:
        UserError: no episode was readable.
    """
    folder = cache / vae_hash
    for other in cache.glob("*") if cache.exists() and not (cache.is_symlink() or cache.parent.is_symlink()) else ():
        if other != folder:
            _discard(other)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        (folder / MARK).touch()
    encode = fast_encoder(vae) or encoder(vae, device)
    episodes, unfit = [], list[Path]()
    with progress_bar(len(sources), "encode", "episode") as bar:
        for store, file in sources:
            source = content_hash(file)
            latent = _read(folder / file.name, file, source, vae_hash)
            if latent is None and (folder / file.name).exists():
                unfit.append(folder / file.name)
            if latent is None and (episode := store.read(file)) is not None:
                latent = encode_episode(encode, episode, file)
                more: dict[str, Any] = {} if latent.watched is None else {"watched": latent.watched}
                with atomic_path(folder / file.name) as temporary, temporary.open("wb") as out:
                    np.savez(
                        out,
                        mean=latent.mean,
                        logvar=latent.logvar,
                        actions=latent.actions,
                        rewards=latent.rewards,
                        terminated=latent.terminated,
                        blank_end=latent.blank_end,
                        source=np.array(source),
                        vae=np.array(vae_hash),
                        **more,
                    )
            if latent is not None:
                episodes.append(latent)
            bar.update()
    if unfit:
        others = f" (as were {len(unfit) - 1} more)" if len(unfit) > 1 else ""
        say(f"{unfit[0]} was damaged, or of another episode or V{others}: encoded again.")
    if not episodes:
        raise UserError(f"None of {len(sources)} episodes could be read; collect them again.")
    return episodes


def _discard(folder: Path) -> None:
    """Delete another V's cache: what this program wrote, in a folder that it made, and nothing through a link."""
    if folder.is_symlink() or not (folder / MARK).is_file():
        return
    for file in (*folder.glob("episode-*.npz"), folder / MARK):
        file.unlink()
    with suppress(OSError):  # something else lies in it
        folder.rmdir()


def _read(path: Path, file: Path, source: str | None, vae_hash: str) -> LatentEpisode | None:
    """A cached latent episode; None if it is missing, damaged, or made from another content or with another V."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if str(data["source"]) != source or ("vae" in data and str(data["vae"]) != vae_hash):
                return None
            if len(data["mean"]) != len(data["actions"]) + 1:
                return None
            return LatentEpisode(
                data["mean"],
                data["logvar"],
                data["actions"],
                data["rewards"],
                data["terminated"],
                file,
                bool(data["blank_end"]),
                data["watched"] if "watched" in data.files else None,
            )
    except DAMAGE:
        return None


def spread_rewards(rewards: NDArray[np.float32], back: int, ahead: int) -> NDArray[np.float32]:
    """Spread each reward evenly over the steps from ``ahead`` before it to ``back`` after it, within the episode.

    A tile's reward in CarRacing is a spike whose moment 64x64 pixels do not show; a head fitted to it by squared
    error learns next to nothing, one fitted to the spread reward does. The episode's total stays the same.
    """
    steps = len(rewards)
    spread = np.zeros(steps + 1)
    for moment in np.flatnonzero(rewards):
        first, last = max(moment - ahead, 0), min(moment + back, steps - 1)
        share = float(rewards[moment]) / (last - first + 1)
        spread[first] += share
        spread[last + 1] -= share
    return np.cumsum(spread)[:-1].astype(np.float32)


@dataclass(frozen=True)
class Windows:
    """A batch of L-step windows. ``z`` holds L+1 latents; ``counts`` masks burn-in and padding (1 = in the loss).

    ``pictured`` is 0 for steps that led to a black last picture: there is no ``z[t+1]`` to foresee.
    """

    z: Tensor  #: [N, L+1, Z]
    actions: Tensor  #: [N, L, A]
    rewards: Tensor  #: [N, L]
    terminated: Tensor  #: [N, L]
    counts: Tensor  #: [N, L]
    pictured: Tensor  #: [N, L]
    episode: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))  #: [N] which one each is of
    falls: Tensor = field(default_factory=lambda: torch.zeros(0))  #: [N, L] by how much what was watched fell

    def part(self, rows: slice) -> Windows:
        """Some of the windows."""
        return Windows(*(getattr(self, name.name)[rows] for name in fields(self)))


class LatentWindows:
    """All latent episodes on one device, and random windows of them.

    A fresh z is sampled from its Gaussian in every batch: M trained on means would learn a far too certain world.
    """

    def __init__(
        self, episodes: Sequence[LatentEpisode], device: torch.device, spread: tuple[int, int] | None = None
    ) -> None:
        self.device = device
        self.lengths = torch.tensor([len(episode) for episode in episodes])
        self.pictured = self.lengths - torch.tensor([int(episode.blank_end) for episode in episodes])
        rewards = [
            episode.rewards if spread is None else spread_rewards(episode.rewards, *spread) for episode in episodes
        ]

        def stack(arrays: list[NDArray[np.float32]] | list[HalfArray] | list[NDArray[np.bool_]]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(device)

        self.mean, self.logvar = stack([e.mean for e in episodes]), stack([e.logvar for e in episodes])
        self.actions, self.rewards = stack([e.actions for e in episodes]), stack(rewards)
        self.terminated = stack([e.terminated for e in episodes])
        self.falls = stack([np.zeros(len(e), np.float32) if e.watched is None else falls(e.watched) for e in episodes])
        self.first_step = torch.cumsum(self.lengths, 0) - self.lengths
        self.first_frame = self.first_step + torch.arange(len(episodes))  # one frame more than steps in each

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())

    def sample(self, batch_size: int, length: int, burn_in: int, generator: torch.Generator) -> Windows:
        """Windows that cover every step about evenly, starts and ends of episodes rather more often.

        The first ``burn_in`` steps only warm M's state up, unless they are the first of the episode.
        """
        steps = torch.randint(self.steps, (batch_size,), generator=generator)
        episode = torch.searchsorted(self.first_step, steps, right=True) - 1
        within = steps - self.first_step[episode]
        longest = (self.lengths[episode] - length).clamp(min=0)
        start = torch.minimum((within - length // 2).clamp(min=0), longest)
        return self.window(episode, start, length, burn_in, generator)

    def window(self, episode: Tensor, start: Tensor, length: int, burn_in: int, generator: torch.Generator) -> Windows:
        """The windows of ``length`` steps that begin at step ``start`` of the chosen episodes."""
        offset = torch.arange(length + 1)
        last = self.lengths[episode, None]
        frames = (self.first_frame[episode, None] + (start[:, None] + offset).clamp(max=last)).to(self.device)
        steps = (self.first_step[episode, None] + (start[:, None] + offset[:-1]).clamp(max=last - 1)).to(self.device)
        exists = start[:, None] + offset[:-1] < last
        warm = (offset[:-1] >= burn_in) | (start[:, None] == 0)
        mean, logvar = self.mean[frames].float(), self.logvar[frames].float()
        noise = torch.randn(mean.shape, generator=generator).to(self.device)
        shows = start[:, None] + offset[:-1] < self.pictured[episode, None]
        return Windows(
            reparameterise(mean, logvar, noise),
            self.actions[steps],
            self.rewards[steps],
            self.terminated[steps].float(),
            (exists & warm).to(self.device).float(),
            shows.to(self.device).float(),
            episode.to(self.device),
            self.falls[steps],
        )
