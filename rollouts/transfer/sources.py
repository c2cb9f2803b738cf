"""Where recordings come from: what a path or a name is, and how its episodes are read one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rollouts.arrays import DAMAGE, array_names, read_arrays
from rollouts.envs.config import EnvConfig
from rollouts.episodes import NAMES, EpisodeStore
from rollouts.errors import UserError
from rollouts.transfer.minari_sets import minari_source
from rollouts.transfer.recording import BadRecordingError, Recording, Source, files_identity
from rollouts.transfer.videos import VIDEOS, video_source, videos_in

Kind = Literal["auto", "minari", "ctallec", "hardmaru", "videos", "episodes"]


def open_source(name: str, kind: Kind = "auto") -> Source:
    """Find out what ``name`` is: a folder, or the id of a Minari data set.

    Raises:
        UserError: it does not exist, or holds nothing that is understood.
    """
    path = Path(name)
    kind = _kind(path) if kind == "auto" and path.exists() else kind
    if kind == "minari" or not path.exists():
        if kind not in ("auto", "minari"):
            raise UserError(f"There is nothing at {path}.")
        return minari_source(name)
    if kind == "videos":
        return video_source(path)
    if kind == "episodes":
        return _episodes(path)
    return _arrays(path, kind)


def _kind(path: Path) -> Kind:
    """What lies in a folder."""
    if (path / "data" / "metadata.json").exists() or (path / "data" / "main_data.hdf5").exists():
        return "minari"
    if stored := list(path.rglob("episode-*.npz")):
        return "videos" if all(map(_beside_a_video, stored)) else "episodes"
    if arrays := sorted(path.rglob("*.npz")) if path.is_dir() else []:
        try:
            names = set(array_names(arrays[0]))
        except DAMAGE as error:
            raise UserError(f"{arrays[0]} is not a readable .npz file ({error}).") from None
        for kind, keys in _KEYS.items():
            if set(keys) <= names:
                return kind
        raise UserError(
            f"{arrays[0]} holds {', '.join(sorted(names))}. Episodes of ctallec's world-models hold observations, "
            "actions, rewards and terminals, hardmaru's obs and action; write others with rollouts.EpisodeStore."
        )
    if videos_in(path):
        return "videos"
    if path.suffix == ".npz":
        raise UserError(f"{path} is one file: give the folder that it lies in.")
    raise UserError(f"{path} holds no episodes: no .npz files, no videos ({', '.join(VIDEOS)}), no Minari data set.")


def _beside_a_video(file: Path) -> bool:
    """Whether it holds a video's actions and rewards, as ``export --what videos`` writes them."""
    return any(file.with_suffix(ending).exists() for ending in VIDEOS)


def _ctallec(file: Path) -> Recording:
    """ctallec/world-models, data/carracing.py: frame t was seen *after* action t, so the first action is lost.

    Actions were drawn in advance: there may be more of them than steps. Frames of 64 by 64 show the whole screen.
    """
    arrays = _by_step(file, "ctallec")
    steps, over = len(arrays["observations"]), arrays["terminals"].reshape(-1)
    if len(over) != steps or over.dtype.kind not in "biuf" or not np.isin(over, (0, 1)).all():
        raise BadRecordingError(f"its terminals are {over.dtype} of shape {list(over.shape)}, not {steps} times 0 or 1")
    if over[:-1].any():
        end = int(over.argmax())
        raise BadRecordingError(f"it ends in step {end}, and goes on for {steps - 1 - end} more")
    ended = None if steps and over[-1] else False
    return Recording(
        arrays["observations"], arrays["actions"][1:steps], arrays["rewards"][1:steps], ended, cropped=False
    )


def _by_step(file: Path, kind: Kind) -> dict[str, NDArray[Any]]:
    """A recording's arrays, each with one entry for every step."""
    arrays = read_arrays(file, _KEYS[kind])
    if single := next((name for name, array in arrays.items() if array.ndim == 0), None):
        raise BadRecordingError(f"its {single} are a single {arrays[single].dtype}, not one for every step")
    return arrays


def _hardmaru(file: Path) -> Recording:
    """hardmaru/WorldModelsExperiments, extract.py: no rewards, no ends, and no frame after the last action.

    Its resizing left every value one too low, and black at 255 (modulo 256). Actions are what its controller put out.
    """
    arrays = _by_step(file, "hardmaru")
    frames: NDArray[Any] = arrays["obs"]
    if frames.dtype != np.uint8:
        raise BadRecordingError(f"its frames are of type {frames.dtype}, not uint8")
    return Recording(frames + np.uint8(1), arrays["action"][: len(frames) - 1], None, False, vectors=True)


_KEYS: dict[Kind, tuple[str, ...]] = {
    "ctallec": ("observations", "actions", "rewards", "terminals"),
    "hardmaru": ("obs", "action"),
}
_READERS: dict[Kind, Callable[[Path], Recording]] = {"ctallec": _ctallec, "hardmaru": _hardmaru}


def _arrays(path: Path, kind: Kind) -> Source:
    files = sorted(path.rglob("*.npz"))
    if not files:
        raise UserError(f"There are no .npz files in {path}.")

    def read(index: int) -> Recording:
        try:
            return _READERS[kind](files[index])
        except DAMAGE as error:
            raise BadRecordingError(str(error)) from None

    return Source(
        kind,
        [str(file) for file in files],
        read,
        files_identity(files),
        EnvConfig("carracing"),
        has_rewards=kind != "hardmaru",
    )


def _episodes(path: Path) -> Source:
    """Episodes that somebody's own code wrote with :class:`rollouts.EpisodeStore`."""
    files = sorted(path.rglob("episode-*.npz"))
    if not files:
        raise UserError(f"There are no files episode-SEED.npz in {path}.")

    def read(index: int) -> Recording:
        file = files[index]
        try:
            arrays = read_arrays(file, NAMES)
            episode = EpisodeStore(file.parent).load(file)
        except (*DAMAGE, UserError) as error:
            raise BadRecordingError(str(error)) from None
        named = int(file.stem.removeprefix("episode-"))
        if named != int(arrays["seed"]):
            raise BadRecordingError(f"its name says seed {named}, its content {int(arrays['seed'])}")
        return Recording(
            episode.observations, episode.actions, episode.rewards, bool(episode.terminated[-1]), episode.seed, True
        )

    return Source("episodes", [str(file) for file in files], read, files_identity(files))
