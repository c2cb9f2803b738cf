"""Evaluate: score an agent on the stock environment, on test seeds that nothing was chosen by.

worldmodels evaluate --agent runs/car --out car.json
worldmodels evaluate --agent runs/car --episodes 20
worldmodels evaluate --agent random --env.id carracing
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from agents.agent import find_agent
from agents.cli.options import AgentName, Command, WorkerCount
from agents.cli.places import default_agent
from agents.evaluation import EvaluateConfig, evaluate, save_report, table
from rollouts.envs.config import EnvConfig
from rollouts.envs.trust import recorded_env
from rollouts.pools.processes import default_workers
from rollouts.runs.layout import Run

OWN = "its-own"


@dataclass(frozen=True)
class Arguments:
    """Whom to score, where, and how often."""

    agent: AgentName = None
    """Run directory, pretrained/NAME, or 'random'. Default: the newest run, or the pretrained agent."""
    measure: Annotated[EvaluateConfig, tyro.conf.arg(name="")] = field(default_factory=EvaluateConfig)
    env: EnvConfig = field(default_factory=lambda: EnvConfig(OWN))
    """The world to score in, if not the agent's own as its authors ship it."""
    out: Path | None = None
    """Write the report here, as JSON."""
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Measure, show, save."""
    agent = arguments.agent or str(default_agent())
    measure = arguments.measure
    report = evaluate(agent, measure.episodes, measure.seed, arguments.workers, world(arguments.env, agent))
    print(table(report))
    if arguments.out is not None:
        save_report(report, arguments.out)
        print(f"Every episode's seed, return and length: {arguments.out}")


def world(env: EnvConfig, agent: str) -> EnvConfig | None:
    """The world that was asked for; None is the agent's own. Options without an id change the agent's own."""
    if env == EnvConfig(OWN) or env.id != OWN:
        return env if env.id != OWN else None
    if agent == "random":
        return dataclasses.replace(env, id=EnvConfig().id)
    own = recorded_env(Run(find_agent(agent)).controller.manifest)
    changed = {f.name: value for f in dataclasses.fields(env) if (value := getattr(env, f.name)) and f.name != "id"}
    return dataclasses.replace(own, **changed)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=("agent", "measure.episodes", "measure.seed", "env.id", "env.kwargs", "env.action_repeat", "out", "workers"),
)
