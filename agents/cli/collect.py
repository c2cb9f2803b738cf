"""Collect: record episodes of an environment with an exploration policy, or with a trained agent and action noise.

worldmodels collect --run runs/car --preset quick
worldmodels collect --run runs/pong --env.id ale_py:ALE/Pong-v5 --env.action-repeat 1   # pip install ale-py
worldmodels collect --run runs/more --agent runs/car --noise 0.15
"""

from __future__ import annotations

import sys
from typing import Any

from agents.agent import find_agent
from agents.cli.options import main
from agents.recording import agent_policy
from rollouts.collect import collect
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError
from rollouts.runs.options import config_from_dict
from rollouts.runs.stage import Stage


def body(arguments: Any) -> None:
    """Record what is missing."""
    env, policy = arguments.env, None
    if arguments.agent is not None:
        refused = [argument for argument in sys.argv[1:] if argument.startswith(("--env.", "--collect.policy"))]
        if refused:
            raise UserError(f"An agent is recorded in its own environment, as its own policy: leave out {refused[0]}.")
        folder = find_agent(arguments.agent)
        env = config_from_dict(EnvConfig, Stage(folder, "controller").manifest["env"])
        policy = agent_policy(folder, arguments.noise)
    collect(arguments.collect, env, arguments.run, arguments.workers, agent_policy=policy)


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("env", "collect"),
        extra=(
            ("agent", str | None, None, "Record this agent, in its own environment, instead of an exploration policy."),
            ("noise", float, 0.15, "Action noise of every second episode of the agent, in half-ranges of the actions."),
        ),
        device=False,
        starts_run=True,
    )
