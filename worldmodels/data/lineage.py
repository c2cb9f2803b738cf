"""What was made from what: data and models that do not belong together are refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.inventory import require_recorded
from rollouts.runs.files import atomic_path, file_hash, fingerprint, write_json
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage


def reuse_vae(run: Path, before: Path) -> Path:
    """Use another round's V unchanged: copy its stage from the folder ``before`` into ``run``."""
    source, target = Run(before).vae, Run(run).vae
    if not target.manifest_file.exists():
        for file, copy in ((source.config_file, target.config_file), (source.weights, target.weights)):
            with atomic_path(copy) as temporary:
                shutil.copyfile(file, temporary)
        # The manifest last: it says complete. The time was taken elsewhere.
        write_json(target.manifest_file, {**source.manifest, "seconds": 0.0})
    return target.weights


def common_observation_hash(stores: Sequence[EpisodeStore]) -> str:
    """The preprocessing that all stores share.

    Raises:
        UserError: they were recorded with different preprocessing, one of them was never begun, or its episodes are
            not those that were recorded.
    """
    stages = [Run.of(store).rollouts for store in stores]
    for stage in stages:
        if not stage.begun:
            raise UserError(f"There are no episodes in {stage.path} yet; record some there first.")
    for store in stores:
        require_recorded(store)
    hashes = {str(stage.path): stage.manifest["inputs"]["observation_hash"] for stage in stages}
    if len(set(hashes.values())) != 1:
        listed = ", ".join(f"{path}: {value}" for path, value in hashes.items())
        raise UserError(f"These episodes were recorded with different preprocessing and cannot be mixed: {listed}.")
    return next(iter(hashes.values()))


def require_vae(run: Path, stores: Sequence[EpisodeStore]) -> tuple[Stage, dict[str, str]]:
    """The finished V of ``run``, and what identifies all that a stage made from it and these episodes is made from.

    Raises:
        UserError: it is missing or unfinished, or does not belong to the episodes.
    """
    stage, observation_hash = Run(run).vae.require(), common_observation_hash(stores)
    if stage.manifest["observation_hash"] != observation_hash:
        raise UserError(
            f"The episodes (preprocessing {observation_hash}) and V in {stage.path} (preprocessing "
            f"{stage.manifest['observation_hash']}) disagree; fit V on these episodes first."
        )
    weights = file_hash(stage.weights)
    return stage, {"observation_hash": observation_hash, "vae": weights, "episodes": data_hash(stores)}


def require_transitions(stores: Sequence[EpisodeStore], reward_head: bool) -> None:
    """Refuse imported episodes that lack what M learns from.

    Raises:
        UserError: there are no actions in them, or no rewards for a reward head.
    """
    for store in stores:
        manifest = Run.of(store).rollouts.manifest
        if not manifest.get("actions", True):
            raise UserError(f"The episodes in {store.path} were imported without actions; M learns from what was done.")
        if reward_head and not manifest.get("rewards", True):
            raise UserError(
                f"The episodes in {store.path} were imported without rewards: leave out M's reward head, with "
                "--mdnrnn.no-reward-head."
            )


def data_hash(stores: Sequence[EpisodeStore]) -> str:
    """Identifies the episodes by name and size, without reading them."""
    return fingerprint([(file.name, file.stat().st_size) for store in stores for file in store.files])
