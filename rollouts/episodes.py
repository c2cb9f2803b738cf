"""Episodes and where they are kept: one compressed file each, memory bounded by the largest episode."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rollouts.arrays import DAMAGE, array_names, read_arrays
from rollouts.console import command, say
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path, fingerprint

NAMES = ("observations", "actions", "rewards", "terminated", "truncated", "seed", "policy")


@dataclass(frozen=True)
class Episode:
    """What happened, from a reset to an end. T steps hold T+1 observations and T of everything else.

    At step t the agent saw ``observations[t]``, did ``actions[t]`` and received ``rewards[t]``, ``terminated[t]``,
    ``truncated[t]`` and ``observations[t+1]``. The fatal action and the last observation are in it. ``watched[t]`` is
    a variable that the environment reports beside them, if one was asked for (``--env.watch``).
    """

    observations: NDArray[np.uint8]  #: [T+1, H, W, 3]
    actions: NDArray[np.float32]  #: [T, A]
    rewards: NDArray[np.float32]  #: [T]
    terminated: NDArray[np.bool_]  #: [T]
    truncated: NDArray[np.bool_]  #: [T]
    seed: int
    policy: str
    watched: NDArray[np.float32] | None = None  #: [T+1]

    def __post_init__(self) -> None:
        """Hold the arrays to the shapes and types above.

        Raises:
            ValueError: it says which one is otherwise.
        """
        kinds = (
            ("observations", self.observations, np.uint8, 4),
            ("actions", self.actions, np.float32, 2),
            ("rewards", self.rewards, np.float32, 1),
            ("terminated", self.terminated, np.bool_, 1),
            ("truncated", self.truncated, np.bool_, 1),
        )
        for name, array, dtype, axes in kinds:
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name} is a {type(array).__name__}, expected a NumPy array of {np.dtype(dtype)}")
            if array.dtype != dtype or array.ndim != axes:
                raise ValueError(
                    f"{name} is of type {array.dtype} and shape {list(array.shape)}, expected {np.dtype(dtype)} with "
                    f"{axes} axes"
                )
        steps = len(self.actions)
        lengths = {len(self.rewards), len(self.terminated), len(self.truncated), len(self.observations) - 1}
        if lengths != {steps} or steps == 0:
            raise ValueError(
                f"an episode of {steps} actions has {lengths} of the rest: expected T, and T+1 observations"
            )
        if self.observations.shape[3] != 3 or 0 in self.observations.shape:
            raise ValueError(f"observations have the shape {list(self.observations.shape)}, expected [T+1, H, W, 3]")
        for name, array in (("actions", self.actions), ("rewards", self.rewards)):
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers that are not finite, first at step {_first_bad(array)}")
        if self.watched is not None and (
            self.watched.dtype != np.float32
            or self.watched.shape != (steps + 1,)
            or not np.isfinite(self.watched).all()
        ):
            raise ValueError(f"watched is of shape {list(self.watched.shape)}, expected {steps + 1} finite float32")
        ends = np.flatnonzero(self.terminated[:-1] | self.truncated[:-1])
        if len(ends):
            raise ValueError(f"the episode ends in step {ends[0]}, and goes on for {steps - 1 - ends[0]} more")
        if self.seed < 0:
            raise ValueError(f"the seed is {self.seed}, and cannot be negative")

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


def falls(watched: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much a variable fell in every step, ``[T+1] -> [T]``; 0 where it stayed or rose."""
    return np.maximum(watched[:-1] - watched[1:], 0).astype(np.float32)


def _first_bad(array: NDArray[np.float32]) -> int:
    return int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))[0])


def pack(episode: Episode) -> bytes:
    """The content of the episode's file."""
    content = io.BytesIO()
    more: dict[str, Any] = {} if episode.watched is None else {"watched": episode.watched}
    np.savez_compressed(
        content,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards,
        terminated=episode.terminated,
        truncated=episode.truncated,
        seed=np.array(episode.seed),
        policy=np.array(episode.policy),
        **more,
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
            watched = ["watched"] if "watched" in array_names(file) else []
            arrays = read_arrays(file, [*NAMES, *watched])
            seed, policy = int(arrays.pop("seed")), str(arrays.pop("policy"))
            if file.name.startswith("episode-") and file.name != self.file(seed).name:
                raise ValueError(f"it is the episode of seed {seed}, under another name")
            return Episode(**arrays, seed=seed, policy=policy)
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
                rewards = read_arrays(file, ("rewards",))["rewards"]
            except DAMAGE:
                self.read(file)  # which says what is wrong with it
                continue
            yield rewards

    def seeds(self) -> list[int]:
        names = [file.stem.removeprefix("episode-") for file in self.files]
        return [int(name) for name in names if name.isdecimal()]  # a copy may be called "episode-1 (2)"

    def require_episodes(self) -> EpisodeStore:
        """This store, if there is anything in it.

        Raises:
            UserError: there is no episode.
        """
        if not self.files:
            raise UserError(f"{self.path} holds no episodes. Collect some first: {command('collect')}")
        return self
