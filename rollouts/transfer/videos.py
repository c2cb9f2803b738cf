"""Episodes as videos, with what is not a picture in a file of arrays beside each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from rollouts.arrays import DAMAGE, array_names, read_arrays
from rollouts.episodes import Episode
from rollouts.errors import UserError
from rollouts.runs.files import atomic_path
from rollouts.transfer.recording import BadRecordingError, Recording, Source, files_identity

VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif")

BESIDE = ("actions", "rewards", "terminated")  #: what may lie beside a video


def videos_in(path: Path) -> list[Path]:
    """The videos in a folder and in its folders, but not the hidden ones that macOS adds."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in VIDEOS and not file.name.startswith(".")]


def write_mp4(frames: Iterable[NDArray[np.uint8]], path: Path, fps: int, crf: int = 20) -> int:
    """Write ``[H, W, 3]`` frames as H.264; an odd last row or column is left out.

    Args:
        crf: 0 for the best quality to 51 for the worst.

    Returns:
        The number of frames.

    Raises:
        UserError: there was no frame.
    """
    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            if count == 0:
                stream.height, stream.width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
            even = np.ascontiguousarray(frame[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            count += 1
        if count == 0:
            raise UserError("There was no frame to write.")
        container.mux(stream.encode(None))
    return count


def write_episode(episode: Episode, folder: Path, fps: int) -> Path:
    """One episode as ``episode-SEED.mp4``, and ``.npz`` beside it with actions, rewards and whether it ended."""
    path = folder / f"episode-{episode.seed:010d}.mp4"
    with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, actions=episode.actions, rewards=episode.rewards, terminated=episode.terminated[-1:])
    with atomic_path(path) as temporary:
        write_mp4(episode.observations, temporary, fps, crf=12)
    return path


def video_source(path: Path) -> Source:
    """Videos, each with ``NAME.npz`` beside it (``actions`` and, if known, ``rewards`` and ``terminated``) or none of
    them with any.

    Raises:
        UserError: there are no videos, or some have actions and others have not.
    """
    files = videos_in(path)
    if not files:
        raise UserError(f"There are no videos in {path}.")
    with_actions = [file for file in files if file.with_suffix(".npz").exists()]
    if len(with_actions) not in (0, len(files)):
        lonely = next(file for file in files if file not in with_actions)
        raise UserError(f"{lonely} has no {lonely.stem}.npz with its actions beside it, others have: give all or none.")
    rewarded = bool(with_actions) and "rewards" in _names(with_actions[0].with_suffix(".npz"))
    beside = [file.with_suffix(".npz") for file in with_actions]
    return Source(
        "videos",
        [str(file) for file in files],
        lambda index: _recording(files[index]),
        files_identity([*files, *beside]),
        has_actions=bool(with_actions),
        has_rewards=rewarded,
    )


def _names(file: Path) -> list[str]:
    try:
        return array_names(file)
    except DAMAGE as error:
        raise UserError(f"{file} is not a readable .npz file ({error}).") from None


def _recording(file: Path) -> Recording:
    try:
        frames = np.stack(list(decoded(file)))
    except ValueError as error:
        raise BadRecordingError(str(error)) from None
    beside = file.with_suffix(".npz")
    if not beside.exists():
        return Recording(frames, None, None, False)
    try:
        present = [name for name in BESIDE if name in array_names(beside)]
        arrays = read_arrays(beside, {"actions", *present})
    except DAMAGE as error:
        raise BadRecordingError(f"{beside.name}: {error}") from None
    if single := next((name for name, array in arrays.items() if array.ndim == 0 and name != "terminated"), None):
        raise BadRecordingError(f"{beside.name}: its {single} are a single number, not one for every step")
    # As many actions as frames: the last one's outcome was not filmed.
    steps = len(frames) - 1
    actions, rewards = arrays["actions"], arrays.get("rewards")
    if len(actions) == len(frames):
        actions, rewards = actions[:steps], None if rewards is None else rewards[:steps]
        return Recording(frames, actions, rewards, False, vectors=True)
    ended = bool(arrays["terminated"].reshape(-1)[-1]) if arrays.get("terminated", np.zeros(0)).size else False
    return Recording(frames, actions, rewards, ended, vectors=True)


def decoded(file: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames ``[H, W, 3]`` of a film, one in memory at a time.

    Raises:
        ValueError: it is none; the message is the end of a sentence.
    """
    try:
        with av.open(str(file)) as container:
            for frame in container.decode(container.streams.video[0]):
                yield frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, ValueError, OSError, IndexError) as error:
        raise ValueError(f"it is not a readable video ({error})") from None
