"""The protocol for reported scores: 100 episodes of the stock environment on test seeds, with an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent
from agents.fitness import PoolEvaluator, RealTask
from agents.lanes import Outcome, check_observations
from rollouts.collect import record_episode
from rollouts.console import progress_bar
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import make_env
from rollouts.envs.presets import reported, resolve
from rollouts.errors import UserError
from rollouts.policies import POLICIES
from rollouts.pools.pool import Workers, open_pool
from rollouts.runs.files import write_json
from rollouts.runs.options import config_to_dict
from rollouts.runs.provenance import git_commit, package_versions
from rollouts.seeds import RANGE, TEST
from worldmodels.world_model import WorldModel

SCORE_EPISODES = 100


@dataclass(frozen=True)
class EvaluateConfig:
    """What to measure."""

    episodes: int = SCORE_EPISODES
    """Episodes; fewer than 100 may be shown, but are not called a score."""
    seed: int = TEST
    """First seed; the others follow. Test seeds lie below one thousand million."""

    def check(self) -> None:
        """Refuse what is no score.

        Raises:
            UserError: there are no episodes, or their seeds are not for tests.
        """
        check_seeds(self.episodes, self.seed)


def check_seeds(episodes: int, seed: int) -> None:
    """Refuse seeds that are not for tests.

    Raises:
        UserError: there are none, or agents are chosen by them.
    """
    if episodes < 1:
        raise UserError(f"At least one episode is needed, got {episodes}.")
    if not TEST <= seed <= TEST + RANGE - episodes:
        raise UserError(f"Scores are measured on test seeds, 0 to {RANGE - 1:,}; {seed} is none (others chose agents).")


def evaluate(
    agent: str | Path | Agent,
    episodes: int = SCORE_EPISODES,
    seed: int = TEST,
    workers: Workers = 0,
    env: EnvConfig | None = None,
) -> dict[str, Any]:
    """Score an agent in the environment as its authors ship it.

    Args:
        agent: a run directory or ``pretrained/NAME``, or an agent that was loaded; ``random`` with ``env`` gives the
            random policy's returns.
        seed: first of ``episodes`` consecutive seeds.
        env: the environment, if not the agent's own.

    Returns:
        The report, see :func:`summarise`.

    Raises:
        UserError: there is no such agent, or the seeds were used for choosing it.
    """
    check_seeds(episodes, seed)
    seeds = range(seed, seed + episodes)
    if agent == "random":
        if env is None:
            raise UserError("The random policy needs an environment: --env.id carracing")
        world = reported(env)
        returns, lengths = _random_returns(world, seeds, workers)
        return report_of("random policy", world, seeds, returns, lengths, {})
    name = str(agent.folder if isinstance(agent, Agent) else agent)
    agent = agent if isinstance(agent, Agent) else Agent.load(agent)
    world, weights = reported(env or agent.env), agent.parameters.double().cpu().numpy()
    model = WorldModel.from_folder(agent.folder).act_through(agent.env)
    outcome = play(RealTask(model, world, agent.spec, agent.controller.standardiser), weights, seeds, workers)
    facts = {"controller": agent.fingerprint, "parameters": len(weights), "validation": agent.validation}
    return report_of(name, world, seeds, outcome.returns, outcome.lengths, facts)


def play(task: RealTask, weights: NDArray[np.float64], seeds: Sequence[int], workers: Workers) -> Outcome:
    """Whole real episodes of one controller ``[P]``, one for each seed."""
    check_observations(task.model, task.env)
    limit, _ = episode_limit(task.env)
    with PoolEvaluator(task, workers, lanes_per_task=5) as evaluator:
        return evaluator(weights[None], seeds, limit, progress=f"evaluate on {resolve(task.env).id}")


def episode_limit(env: EnvConfig) -> tuple[int, bool]:
    """Decisions after which an episode is over, and whether it is whole by then.

    It is whole at the environment's own limit, not at a shorter one that was asked for; where the environment sets
    none, nobody can tell.
    """
    limit, certain = _longest(env)
    if env.max_episode_steps is None:
        return limit, certain
    whole, sure = _longest(dataclasses.replace(env, max_episode_steps=None))
    return limit, certain and not (sure and limit < whole)


def _longest(env: EnvConfig) -> tuple[int, bool]:
    world = make_env(env)
    world.close()
    return world.longest


def summarise(returns: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Mean, standard deviation, standard error, and the bootstrap 95 % interval of the mean (10,000 resamples).

    The interquartile mean, that of the middle half, is less moved by single lost episodes (Agarwal et al. 2021); it
    stands beside the mean, never instead of it.

    Raises:
        UserError: a return is not a finite number.
    """
    values = np.asarray(returns, float)
    if not np.isfinite(values).all():
        raise UserError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} returns are no finite numbers: no score. The "
            "weights or the environment are broken."
        )
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(10_000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "mean": float(values.mean()),
        "sd": sd,
        "standard_error": sd / len(values) ** 0.5,
        "interval_95_low": float(low),
        "interval_95_high": float(high),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
        "interquartile_mean": float(np.sort(values)[len(values) // 4 : len(values) - len(values) // 4].mean()),
    }


def table(report: dict[str, Any]) -> str:
    """A report for people."""
    lines = [
        f"{report['agent']} on {report['environment']}, {len(report['episodes'])} episodes, seeds "
        f"{report['episodes'][0]['seed']} to {report['episodes'][-1]['seed']}",
        f"  mean   {report['mean']:9.2f} ± {report['sd']:.2f} (standard deviation)",
        f"  95 %   {report['interval_95_low']:9.2f} to {report['interval_95_high']:.2f} (bootstrap, of the mean)",
        f"  min    {report['min']:9.2f}   median {report['median']:.2f}   max {report['max']:.2f}",
    ]
    if "interquartile_mean" in report:
        lines.append(f"  middle half {report['interquartile_mean']:.2f} (interquartile mean)")
    if report.get("cut"):
        lines.append(
            f"  (not a score: {report['cut']} of them were cut, before they had ended, after "
            f"{max(episode['length'] for episode in report['episodes']):,} decisions; --env.max-episode-steps sets a "
            "limit)"
        )
    elif not report["is_score"]:
        lines.append(f"  (not a score: that takes {SCORE_EPISODES} episodes)")
    return "\n".join(lines)


def is_of(report: dict[str, Any], agent: Agent, config: EvaluateConfig) -> bool:
    """Whether a report is of this agent's weights, and of as many episodes with the same seeds as are asked for."""
    seeds = [episode["seed"] for episode in report["episodes"]]
    expected = range(config.seed, config.seed + config.episodes)
    return seeds == list(expected) and report["controller"] == agent.fingerprint


def save_report(report: dict[str, Any], path: Path) -> None:
    """Write the report as JSON."""
    write_json(path, report)


def report_of(
    agent: str,
    env: EnvConfig,
    seeds: Sequence[int],
    returns: NDArray[np.float64],
    lengths: NDArray[np.int64],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """The report of some episodes: their :func:`summarise`, all of them, ``facts``, and what they were played with."""
    limit, whole = episode_limit(env)
    cut = 0 if whole else int((lengths >= limit).sum())
    return {
        "agent": agent,
        "environment": resolve(env).id,
        "env": config_to_dict(env),
        **summarise(returns),
        "is_score": len(returns) >= SCORE_EPISODES and not cut,
        "cut": cut,
        **facts,
        "episodes": [
            {"seed": int(s), "return": round(float(r), 4), "length": int(n)}
            for s, r, n in zip(seeds, returns, lengths, strict=True)
        ],
        "versions": package_versions(),
        "git_commit": git_commit(),
    }


def _random_episode(env: EnvConfig, seed: int) -> tuple[float, int]:
    world = make_env(env)
    episode = record_episode(world, POLICIES["random"], "random", seed, world.longest[0])
    world.close()
    return episode.total_reward, len(episode)


def _random_returns(
    env: EnvConfig, seeds: Sequence[int], workers: Workers
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    results: dict[int, tuple[float, int]] = {}
    with progress_bar(len(seeds), "random policy", "episode") as bar, open_pool(workers) as pool:
        for index, result in pool.run(_random_episode, [(env, seed) for seed in seeds]):
            results[index] = result
            bar.update()
    ordered = [results[index] for index in range(len(seeds))]
    return np.array([r for r, _ in ordered]), np.array([n for _, n in ordered])
