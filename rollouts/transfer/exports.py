"""Export: a run's episodes for other programs."""

from __future__ import annotations

from pathlib import Path

from rollouts.console import progress_bar
from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.transfer.minari_sets import export_minari
from rollouts.transfer.videos import write_episode


def export_videos(store: EpisodeStore, folder: Path, fps: int) -> int:
    """Every episode as ``folder/episode-SEED.mp4``, with its actions, rewards and end in ``.npz`` beside it.

    H.264 changes pixels a little. Files that are there already are kept.

    Raises:
        UserError: there are no episodes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with progress_bar(len(store.require_episodes()), "export (videos)", "episode") as bar:
        for file in store.files:
            done = (folder / file.name).with_suffix(".mp4").exists()
            if not done and (episode := store.read(file)) is not None:
                write_episode(episode, folder, fps)
            count += (folder / file.name).with_suffix(".mp4").exists()
            bar.update()
    return count


def export_data_set(store: EpisodeStore, folder: Path, dataset_id: str, env: EnvConfig, spec: ActionSpec) -> Path:
    """Every episode in one Minari data set, ``folder/dataset_id``; pixels and actions exactly as they are.

    Raises:
        UserError: there are no episodes, or the data set cannot be written.
    """
    first = next(iter(store.require_episodes()), None)
    if first is None:
        raise UserError(f"No episode of {store.path} can be read.")
    return export_minari(iter(store), dataset_id, folder, env, spec, first.observations.shape[1])
