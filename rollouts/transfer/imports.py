"""Import: episodes from elsewhere become a run's, checked one by one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rollouts.collect import CollectConfig, totals
from rollouts.console import progress_bar, say
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import make_env
from rollouts.envs.presets import identity, resolve
from rollouts.episodes import EpisodeStore, pack
from rollouts.errors import UserError
from rollouts.inventory import Inventory
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from rollouts.seeds import COLLECTION, EVOLUTION, collection_seed
from rollouts.transfer.recording import BadRecordingError, Source, World, converted

NO_WORLD = EnvConfig("")  #: take what the source says
SHOWN = 3  #: broken recordings that are named


def import_episodes(source: Source, run: Path, env: EnvConfig, skip_broken: bool = False) -> EpisodeStore:
    """Write the source's episodes into ``run/rollouts``, as :func:`rollouts.collect.collect` would have left them.

    Seeds that lie where collected episodes' do are kept; others are numbered anew, since an episode with a test seed
    would be seen by V and M before the agent is scored on it.

    Args:
        env: the world they are of; an empty id takes what the source says.
        skip_broken: leave out recordings that cannot be imported, instead of refusing them all.

    Raises:
        UserError: the world is not known, recordings are broken, or the run has other episodes already.
    """
    env = _named(env, source)
    world = _world(env, source)
    inputs = {
        "env": identity(env),
        "observation_hash": world.preset.observation_hash,
        "imported": source.identity,
    }
    store = Run(run).episodes
    here = any(Path(name).resolve().parent == store.path.resolve() for name in source.names)
    stage = Run(run).rollouts.open(CollectConfig(episodes=len(source.names)), inputs, adopts=here)
    if stage.complete:
        return store
    broken: list[str] = []
    by_seed: dict[int, str] = {}
    with progress_bar(len(source.names), f"import ({source.kind})", "episode") as bar:
        for index, name in enumerate(source.names):
            try:
                recording = source.read(index)
                seed = _seed(recording.seed, index)
                if seed in by_seed:
                    raise BadRecordingError(f"it has the seed {seed}, as {by_seed[seed]}")
                packed = pack(converted(recording, world, seed, f"imported {source.kind}"))
                if Path(name).resolve().parent != store.path.resolve():
                    store.write(seed, packed)
                elif seed != recording.seed:
                    raise BadRecordingError(
                        f"its seed is not one for collected episodes ({COLLECTION:,} and more), and it lies in the run "
                        "already: import it from another folder, which numbers it anew"
                    )
                by_seed[seed] = name
            except BadRecordingError as error:
                broken.append(f"{name}: {error}")
            stage.tick()
            bar.update()
    _refuse(broken, len(source.names), skip_broken)
    Inventory(stage).write()
    stage.finish(
        listed=len(store),
        env=config_to_dict(env),
        policy=f"imported {source.kind}",
        round=0,
        observation_hash=world.preset.observation_hash,
        imported=source.kind,
        actions=source.has_actions,
        rewards=source.has_rewards,
        **totals(store, world.preset.action_repeat),
    )
    for missing, there, remedy in (
        ("actions", source.has_actions, "V can be fitted to them, M cannot"),
        ("rewards", source.has_rewards, "fit M with --mdnrnn.no-reward-head"),
    ):
        if not there:
            say(f"These episodes have no {missing}: {remedy}.")
    return store


def _named(env: EnvConfig, source: Source) -> EnvConfig:
    if env.id:
        return env
    if source.env is None:
        raise UserError(
            f"Which world are the {source.kind} of? Give it with --env.id, as it is called for collecting; any name "
            "will do for V alone."
        )
    if ":" in source.env.id:  # whoever made the source must not choose a module that is imported here
        name = source.env.id
        raise UserError(f"The {source.kind} are of {name}, which names a module: type --env.id {name}.")
    typed = {name: value for name, value in vars(env).items() if value != getattr(NO_WORLD, name)}
    return dataclasses.replace(source.env, **typed)


def _world(env: EnvConfig, source: Source) -> World:
    """What is known of the world; it need not be installed here, where recordings say enough."""
    preset = resolve(env, imports=False)
    try:
        here = make_env(env)
    except UserError as error:
        say(f"{env.id} cannot be made here, so its episodes are taken as they are. ({error})")
        return World(preset, source.action, None, source.space)
    here.close()
    return World(here.preset, here.action_spec, here.screen, source.space)


def _seed(recorded: int | None, index: int) -> int:
    inside = recorded is not None and COLLECTION <= recorded < EVOLUTION
    return recorded if recorded is not None and inside else collection_seed(0, index)


def _refuse(broken: list[str], count: int, skip_broken: bool) -> None:
    if not broken:
        return
    reasons = "; ".join(broken[:SHOWN]) + (f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else "")
    if len(broken) == count:
        raise UserError(f"None of the {count} episodes can be imported: {reasons}.")
    if not skip_broken:
        what = "cannot be imported (--skip-broken leaves them out)"
        raise UserError(f"{len(broken)} of {count} episodes {what}: {reasons}.")
    say(f"Left out {len(broken)} of {count}: {reasons}.")
