"""Collect: watch the world. Episodes are recorded in parallel, and each is a function of its seed alone."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rollouts.console import duration, progress_bar, say, size
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import ImageEnv, make_env
from rollouts.envs.presets import hint, identity, resolve
from rollouts.episodes import Episode, EpisodeStore, pack
from rollouts.errors import UserError, require_at_least
from rollouts.inventory import Inventory
from rollouts.policies import POLICIES, PolicyFactory, PolicyName
from rollouts.pools.pool import Workers, open_pool
from rollouts.pools.processes import refuse_unguarded
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from rollouts.seeds import collection_seed


@dataclass(frozen=True)
class CollectConfig:
    """How to watch the world."""

    episodes: int = 100
    """Number of episodes. May be raised later: the same command then adds the missing ones."""
    policy: PolicyName = "default"
    """Exploration policy; 'default' is the environment's own."""
    max_steps: int = 1000
    """Stop recording an episode after so many steps."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        require_at_least(1, self, ("episodes", "max_steps"), "collect.")


def record_episode(env: ImageEnv, make_policy: PolicyFactory, policy_name: str, seed: int, max_steps: int) -> Episode:
    """Play one episode and keep all of it, the fatal action and the last observation included.

    Raises:
        UserError: the environment misbehaves, or the policy chooses what is no number.
    """
    policy = make_policy(seed, env.action_spec)
    frame, info = env.reset(seed=seed)
    frames, actions, rewards, ends, watched_values = [frame], [], [], [], [watched(env, info)]
    for step in range(max_steps):
        action = np.array(policy(frame), np.float32)
        if not np.isfinite(action).all():
            raise UserError(f"{env.preset.name}: the policy {policy_name} chose {action} in step {step}, seed {seed}.")
        frame, reward, terminated, truncated, info = env.step(action)
        frames.append(frame)
        watched_values.append(watched(env, info))
        actions.append(action)
        rewards.append(reward)
        ends.append((terminated, truncated or (step + 1 == max_steps and not terminated)))
        if terminated or truncated:
            break
    return Episode(
        np.stack(frames),
        np.stack(actions),
        np.array(rewards, np.float32),
        np.array([end[0] for end in ends]),
        np.array([end[1] for end in ends]),
        seed,
        policy_name,
        None if env.preset.watch is None else np.array(watched_values, np.float32),
    )


def watched(env: ImageEnv, info: Mapping[str, Any]) -> float:
    """The number that is recorded beside an episode, out of an environment's info; 0 where none is asked for.

    Raises:
        UserError: it is not reported, or is no finite number.
    """
    if (key := env.preset.watch) is None:
        return 0.0
    try:
        number = float(np.asarray(info[key]).item())
    except (KeyError, TypeError, ValueError) as error:
        reported = ", ".join(map(str, info)) or "nothing"
        raise UserError(f"--env.watch {key}: {env.preset.name} reports no such number, only {reported}.") from error
    if not np.isfinite(number):
        raise UserError(f"--env.watch {key}: {env.preset.name} reports {number}, which is not finite.")
    return number


def _set_up(env: EnvConfig, make_policy: PolicyFactory) -> tuple[ImageEnv, PolicyFactory]:
    return make_env(env), make_policy


def _record(
    worker: tuple[ImageEnv, PolicyFactory], policy_name: str, seed: int, max_steps: int
) -> tuple[int, bytes, float]:
    """Record and compress in the worker; the file is the caller's to write, whose disk a worker need not share."""
    episode = record_episode(*worker, policy_name, seed, max_steps)
    return seed, pack(episode), episode.total_reward


def collect(
    config: CollectConfig,
    env: EnvConfig,
    run: Path,
    workers: Workers,
    round_index: int = 0,
    agent_policy: tuple[str, PolicyFactory] | None = None,
) -> EpisodeStore:
    """Record ``config.episodes`` episodes into ``run/rollouts``; those already there are kept.

    Args:
        round_index: which round of an iterated run; every round has seeds of its own.
        agent_policy: ``(name, factory)`` of a trained agent to record instead of an exploration policy; the name
            identifies its weights.

    Raises:
        UserError: the environment cannot be made, or the disk is too small.
    """
    refuse_unguarded()
    config.check()
    if (imported := _imported(run, env)) is not None:
        return imported
    preset = resolve(env)
    exploration = preset.exploration if config.policy == "default" else config.policy
    name, make_policy = agent_policy or (exploration, POLICIES[exploration])
    make_env(env).close()  # a wrong environment is refused before anything is written
    inputs = {"env": identity(env), "observation_hash": preset.observation_hash}
    if agent_policy is not None:
        inputs["agent"] = name
    _require_unchanged(Run(run).rollouts)
    stage = Run(run).rollouts.open(config, inputs, growable=("episodes",))
    store, inventory = Run(run).episodes, Inventory(stage)
    seeds = [collection_seed(round_index, episode) for episode in range(config.episodes)]
    missing = _missing(inventory, seeds)
    if missing or not stage.complete:
        inventory.require_whole()
    if missing:
        steps = min(config.max_steps, preset.max_decisions or config.max_steps)
        tasks = [(name, seed, config.max_steps) for seed in missing]
        with open_pool(workers, _set_up, (env, make_policy)) as pool:
            _announce(env, make_policy, steps, len(missing), pool.workers, run)
            returns: list[float] = []
            with progress_bar(len(seeds), f"collect ({name})", "episode", len(seeds) - len(missing)) as bar:
                for _, (seed, packed, total) in pool.run(_record, tasks):
                    inventory.add(store.write(seed, packed))
                    returns.append(total)
                    stage.tick()
                    bar.update()
                    bar.set_postfix(mean_return=f"{np.mean(returns):.1f}", refresh=False)
    if missing or not stage.complete:
        inventory.sort()
    if missing and stage.complete:
        stage.note(listed=len(store))
    elif not stage.complete:
        stage.finish(
            env=config_to_dict(env),
            policy=name,
            round=round_index,
            observation_hash=preset.observation_hash,
            listed=len(store),
            **totals(store, preset.action_repeat),
        )
    return store


def _require_unchanged(stage: Stage) -> None:
    """Refuse to go on with episodes that are not those that were recorded.

    Raises:
        UserError: it names the first, or the list that is damaged.
    """
    inventory = Inventory(stage)
    if stage.begun and inventory.kept:
        inventory.require_unchanged(inventory.read())


def _missing(inventory: Inventory, seeds: Sequence[int]) -> list[int]:
    """Seeds whose episodes are still to be recorded, or again."""
    store = inventory.store
    if not inventory.kept:
        absent = [seed for seed in seeds if seed not in store]
        if len(store) and (absent or not inventory.stage.complete):
            say(f"There is no {inventory.path}: the {len(store)} episodes beside it are taken as they are.")
            inventory.write()
        return absent
    noted = inventory.read()
    if gone := inventory.missing(noted):
        say(f"{store.path / gone[0]} was recorded and is missing, {len(gone)} of {len(noted)} in all: recorded again.")
    listed = noted if not inventory.stage.complete else {**noted, **dict.fromkeys(file.name for file in store.files)}
    return [seed for seed in seeds if store.file(seed).name not in listed or seed not in store]


def _imported(run: Path, env: EnvConfig) -> EpisodeStore | None:
    """The run's episodes, if they were imported: there is nothing to collect then.

    Raises:
        UserError: they are of another world, or their import is not finished.
    """
    stage = Run(run).rollouts
    if not stage.begun or "imported" not in stage.manifest["inputs"]:
        return None
    stage.require("import")
    if stage.manifest["inputs"]["env"] != identity(env):
        raise UserError(f"The episodes of {run} were imported as those of {stage.manifest['env']['id']}, not {env.id}.")
    say(f"The episodes of {run} were imported; there is nothing to collect.")
    return Run(run).episodes


def totals(store: EpisodeStore, action_repeat: int) -> dict[str, float]:
    """What a manifest tells of the episodes in a store: how many, of how many steps, and what they returned."""
    lengths, returns = zip(
        *((len(rewards), float(rewards.sum(dtype=np.float64))) for rewards in store.rewards()), strict=True
    )
    return {
        "episodes": len(lengths),
        "steps": sum(lengths),
        "environment_steps": sum(lengths) * action_repeat,
        "mean_return": float(np.mean(returns)),
        "sd_return": float(np.std(returns)),
    }


def refuse_if_always_over(env: ImageEnv, make_policy: PolicyFactory) -> None:
    """Refuse an environment in which nothing follows a first step: there would be nothing to foresee."""
    tries = 20
    if all(len(record_episode(env, make_policy, "probe", seed, 2)) == 1 for seed in range(1, tries)):
        raise UserError(
            f"{env.preset.name} cannot be used: {tries} of {tries} episodes (seeds 0 to {tries - 1}) ended in their "
            "first step, after which there is nothing to foresee."
        )


def _announce(
    env_config: EnvConfig, make_policy: PolicyFactory, steps: int, episodes: int, workers: int, run: Path
) -> None:
    """Say what the recording will cost, from a short measurement; refuse if the disk is too small."""
    if (better := hint(env_config.id)) is not None:
        say(better)
    env, probe_steps = make_env(env_config), min(steps, 100)
    first = record_episode(env, make_policy, "probe", 0, 2)  # the first steps load fonts, models and caches
    if len(first) == 1 and steps > 1:
        refuse_if_always_over(env, make_policy)
    start = time.perf_counter()
    probe = record_episode(env, make_policy, "probe", 0, probe_steps)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, observations=probe.observations)
    seconds = (time.perf_counter() - start) / len(probe)
    env.close()
    total = steps * episodes
    need, free = buffer.tell() / len(probe) * total, shutil.disk_usage(run).free
    say(
        f"Recording {episodes} episodes of at most {steps} steps: up to {total:,} steps, {size(need)} on disk "
        f"({size(free)} free), about {duration(seconds * total / max(workers, 1))} with {workers or 'no'} worker(s)."
    )
    if need > free:
        raise UserError(f"{size(need)} are needed and {size(free)} are free: record fewer episodes, or free some disk.")
