"""Collect: record episodes of an environment with an exploration policy, or with a trained agent and action noise.

worldmodels collect --run runs/car --preset quick
worldmodels collect --run runs/pong --env.id ale_py:ALE/Pong-v5 --env.action-repeat 1   # pip install ale-py
worldmodels collect --run runs/more --agent runs/car --noise 0.15
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from agents.agent import find_agent
from agents.cli.options import Command, PresetName, RunDirectory, WorkerCount
from agents.recording import agent_policy
from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.envs.trust import recorded_env
from rollouts.errors import UserError, require_at_least
from rollouts.pools.processes import default_workers
from rollouts.runs.layout import Run


@dataclass(frozen=True)
class Arguments:
    """What to record, of which world, and where to."""

    run: RunDirectory
    preset: PresetName
    env: EnvConfig
    collect: CollectConfig
    agent: str | None = None
    """Record this agent, in its own environment, instead of an exploration policy."""
    noise: float = 0.15
    """Action noise of every second episode of the agent, in half-ranges of the actions."""
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Record what is missing."""
    env, policy = arguments.env, None
    if arguments.agent is not None:
        refused = [argument for argument in sys.argv[1:] if argument.startswith(("--env.", "--collect.policy"))]
        if refused:
            raise UserError(f"An agent is recorded in its own environment, as its own policy: leave out {refused[0]}.")
        require_at_least(0, arguments, ("noise",))
        folder = find_agent(arguments.agent)
        env = recorded_env(Run(folder).controller.manifest)
        policy = agent_policy(folder, arguments.noise)
    collect(arguments.collect, env, arguments.run, arguments.workers, agent_policy=policy)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "agent", "noise", "workers"),
        *("env.id", "env.kwargs", "env.crop", "env.size", "env.max_episode_steps", "env.action_repeat"),
        *("collect.episodes", "collect.policy", "collect.max_steps"),
    ),
    starts_run=True,
)
