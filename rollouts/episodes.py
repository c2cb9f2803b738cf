"""Episodes and where they are kept: one compressed file each, memory bounded by the largest episode."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rollouts.console import command, say
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path, fingerprint

DAMAGE = (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""All that NumPy and zipfile raise, between them, for a file that is not what it should be."""


@dataclass(frozen=True)
class Episode:
    """What happened, from a reset to an end. T steps hold T+1 observations and T of everything else.

    At step t the agent saw ``observations[t]``, did ``actions[t]`` and received ``rewards[t]``, ``terminated[t]``,
    ``truncated[t]`` and ``observations[t+1]``. The fatal action and the last observation are in it.
    """

    observations: NDArray[np.uint8]  #: [T+1, H, W, 3]
    actions: NDArray[np.float32]  #: [T, A]
    rewards: NDArray[np.float32]  #: [T]
    terminated: NDArray[np.bool_]  #: [T]
    truncated: NDArray[np.bool_]  #: [T]
    seed: int
    policy: str

    def __post_init__(self) -> None:
        steps = len(self.actions)
        lengths = {len(self.rewards), len(self.terminated), len(self.truncated), len(self.observations) - 1}
        if lengths != {steps} or steps == 0:
            raise ValueError(
                f"an episode of {steps} actions has {lengths} of the rest: expected T, and T+1 observations"
            )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def blank_end(self) -> bool:
        """Whether the episode ended on a black picture, which shows nothing of the world: so ViZDoom tells of a death.

        It is recorded as it came, but V does not look at it and M is not asked to foresee it, only the end itself.
        """
        return bool(self.terminated[-1]) and not self.observations[-1].any()

    @property
    def pictures(self) -> NDArray[np.uint8]:
        """The observations that show something, ``[T+1 or T, H, W, 3]``."""
        return self.observations[:-1] if self.blank_end else self.observations

    @property
    def total_reward(self) -> float:
        return float(self.rewards.sum(dtype=np.float64))


def pack(episode: Episode) -> bytes:
    """The content of the episode's file."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards,
        terminated=episode.terminated,
        truncated=episode.truncated,
        seed=np.array(episode.seed),
        policy=np.array(episode.policy),
    )
    return content.getvalue()


def content_hash(file: Path) -> str | None:
    """Identifies what is in an episode's file, by the checksums in its directory alone; None if that is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return fingerprint([(entry.filename, entry.CRC) for entry in archive.infolist()])
    except DAMAGE:
        return None


class EpisodeStore:
    """A folder of episodes, named by their seeds. Many processes may write to it while others read.

    Files appear whole or not at all; a damaged one is named once and skipped.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._damaged: set[Path] = set()

    def file(self, seed: int) -> Path:
        return self.path / f"episode-{seed:010d}.npz"

    @property
    def files(self) -> list[Path]:
        """Episode files in the order of their seeds, damaged ones included: they must not depend on what was read."""
        return sorted(self.path.glob("episode-*.npz"))

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, seed: int) -> bool:
        return self.file(seed).exists()

    def append(self, episode: Episode) -> Path:
        """Write one episode, atomically; the same seed replaces."""
        return self.write(episode.seed, pack(episode))

    def write(self, seed: int, packed: bytes) -> Path:
        """As :meth:`append`, of an episode that was packed elsewhere."""
        with atomic_path(self.file(seed)) as temporary:
            temporary.write_bytes(packed)
        return self.file(seed)

    def load(self, file: Path) -> Episode:
        """Read one episode.

        Raises:
            UserError: the file is damaged or is no episode.
        """
        try:
            with np.load(file, allow_pickle=False) as data:
                return Episode(
                    data["observations"],
                    data["actions"],
                    data["rewards"],
                    data["terminated"],
                    data["truncated"],
                    int(data["seed"]),
                    str(data["policy"]),
                )
        except DAMAGE as error:
            raise UserError(f"{file} is not a readable episode ({error}); delete it and collect again.") from error

    def __iter__(self) -> Iterator[Episode]:
        """Every readable episode, one in memory at a time."""
        for file in self.files:
            if (episode := self.read(file)) is not None:
                yield episode

    def read(self, file: Path) -> Episode | None:
        """As :meth:`load`, but a damaged file is named on stderr and None is returned."""
        try:
            return self.load(file)
        except UserError as error:
            if file not in self._damaged:
                say(f"Skipped: {error}")
            self._damaged.add(file)
            return None

    def rewards(self) -> Iterator[NDArray[np.float32]]:
        """Every readable episode's rewards ``[T]``; its frames, nearly all of a file, are not unpacked."""
        for file in self.files:
            try:
                with np.load(file, allow_pickle=False) as data:
                    rewards = data["rewards"]
            except DAMAGE:
                self.read(file)  # which says what is wrong with it
                continue
            yield rewards

    def seeds(self) -> list[int]:
        return [int(file.stem.removeprefix("episode-")) for file in self.files]

    def require_episodes(self) -> EpisodeStore:
        """This store, if there is anything in it.

        Raises:
            UserError: there is no episode.
        """
        if not self.files:
            raise UserError(f"{self.path} holds no episodes. Collect some first: {command('collect')}")
        return self
