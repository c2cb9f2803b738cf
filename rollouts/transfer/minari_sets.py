"""Minari data sets, read and written. The package minari is needed only here: pip install 'minari[hdf5]'."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rollouts.envs.actions import ActionSpec, natural_action
from rollouts.envs.config import EnvConfig
from rollouts.envs.trust import recorded_env
from rollouts.episodes import Episode
from rollouts.errors import UserError
from rollouts.runs.files import Facts, fingerprint
from rollouts.runs.options import config_from_dict, config_to_dict
from rollouts.transfer.recording import BadRecordingError, Recording, Source

CHUNK = 32  #: episodes that are in memory at a time while a data set is written


def require_minari() -> Any:
    """The package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import minari
    except ImportError as error:
        raise UserError(f"Minari data sets need the package minari ({error}): pip install 'minari[hdf5]'") from error
    return minari


def minari_source(name: str) -> Source:
    """A data set of this machine, by its id or its folder.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    minari, path = require_minari(), Path(name).resolve()  # Minari does not follow relative paths
    try:
        data = minari.MinariDataset(path / "data") if path.exists() else minari.load_dataset(name)
        space, actions, count = data.observation_space, data.action_space, data.total_episodes
        spec, ours = data.env_spec, _note(data)
        identity = fingerprint([data.spec.dataset_id, count, int(data.total_steps)])
    except UserError:
        raise
    except Exception as error:  # what Minari raises is not documented, and a damaged set may raise anything
        raise UserError(
            f"There is no folder {name}, and no Minari data set of that id that can be read ({_short(error)}); "
            f"minari.load_dataset({name!r}, download=True) fetches a public one."
            if not path.exists()
            else f"The Minari data set in {name} cannot be read ({_short(error)})."
        ) from error

    def read(index: int) -> Recording:
        try:
            episode = next(iter(data.iterate_episodes([index])))
        except Exception as error:
            raise BadRecordingError(_short(error)) from None
        seed = data.storage.get_episode_metadata([index])
        seed = next(iter(seed)).get("seed")
        return Recording(
            episode.observations,
            np.asarray(episode.actions),
            np.asarray(episode.rewards),
            bool(np.asarray(episode.terminations)[-1]) if len(episode.rewards) else False,
            None if seed is None else int(seed),
            vectors=ours is not None,
        )

    return Source(
        "minari",
        [f"episode {index} of {name}" for index in range(count)],
        read,
        identity,
        ours if ours is not None else None if spec is None else EnvConfig(spec.id),
        space,
        _action(actions),
    )


def export_minari(
    episodes: Iterator[Episode], dataset_id: str, folder: Path, env: EnvConfig, spec: ActionSpec, size: int
) -> Path:
    """Write episodes as the data set ``folder/dataset_id``, pixels as they are, actions as vectors.

    Raises:
        UserError: the package is missing, the id is no id, or the data set exists.
    """
    minari = require_minari()
    from minari.data_collector import EpisodeBuffer

    folder = folder.resolve()
    path = folder / dataset_id
    if path.exists():
        raise UserError(f"{path} exists already; choose another --id or --out.")
    low, high = np.array(spec.low, np.float32), np.array(spec.high, np.float32)
    options = {
        "observation_space": gym.spaces.Box(0, 255, (size, size, 3), np.uint8),
        "action_space": gym.spaces.Box(low, high, dtype=np.float32),
        "algorithm_name": "worldmodels",
        "description": json.dumps({"worldmodels": {"env": config_to_dict(env)}}),
        "data_format": "hdf5",
        "jpeg_encoding": False,  # which would change the pixels
    }
    data: Any = None
    with _datasets_in(folder):
        while chunk := [_buffer(EpisodeBuffer, number, e) for number, e in enumerate(islice(episodes, CHUNK))]:
            try:
                if data is None:
                    data = minari.create_dataset_from_buffers(dataset_id, chunk, **options)
                else:
                    data.update_dataset_from_buffer(chunk)
            except (ValueError, ImportError) as error:
                raise UserError(f"The Minari data set {dataset_id} cannot be written ({_short(error)}).") from error
    if data is None:
        raise UserError("There is no episode to export.")
    return path


def _buffer(make: Any, number: int, episode: Episode) -> Any:
    return make(
        id=number,
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards.astype(np.float64).tolist(),
        terminations=episode.terminated.tolist(),
        truncations=episode.truncated.tolist(),
        infos={},
    )


def _note(data: Any) -> EnvConfig | None:
    """The world that one of our own exports is of: its actions are vectors already.

    Raises:
        UserError: it would import a module that was not named here.
    """
    try:
        note = {"env": json.loads(data.storage.metadata["description"])["worldmodels"]["env"]}
        config_from_dict(EnvConfig, note["env"])
    except (KeyError, TypeError, ValueError, AttributeError, UserError):
        return None
    return recorded_env(Facts(note, Path("The description of the Minari data set")))


def _action(space: gym.Space[Any]) -> ActionSpec | None:
    try:
        return natural_action(space, "the data set")
    except UserError:
        return None


@contextmanager
def _datasets_in(folder: Path) -> Iterator[None]:
    """Within it, Minari keeps its data sets in ``folder``."""
    name = "MINARI_DATASETS_PATH"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _short(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
