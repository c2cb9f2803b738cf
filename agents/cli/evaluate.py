"""Evaluate: score an agent on the stock environment, on test seeds that nothing was chosen by.

worldmodels evaluate --agent runs/car --out car.json
worldmodels evaluate --agent runs/car --episodes 20
worldmodels evaluate --agent random --env carracing
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.cli.options import default_agent, main
from agents.evaluation import SCORE_EPISODES, evaluate, save_report, table
from rollouts.envs.config import EnvConfig
from rollouts.seeds import TEST


def body(arguments: Any) -> None:
    """Measure, show, save."""
    agent = arguments.agent or default_agent()
    env = EnvConfig(arguments.env) if arguments.env else None
    report = evaluate(agent, arguments.episodes, arguments.seed, arguments.workers, env)
    print(table(report))
    if arguments.out is not None:
        save_report(report, arguments.out)
        print(f"Every episode's seed, return and length: {arguments.out}")


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        extra=(
            (
                "agent",
                str | None,
                None,
                "Run directory, pretrained/NAME, or 'random'. Default: the newest run, or the pretrained agent.",
            ),
            ("env", str | None, None, "Preset or Gymnasium id to score in. Default: the agent's own, as it ships."),
            ("episodes", int, SCORE_EPISODES, "Episodes; fewer than 100 are shown but not called a score."),
            ("seed", int, TEST, "First test seed; the others follow."),
            ("out", Path | None, None, "Write the report here, as JSON."),
        ),
        device=False,
        needs_run=False,
    )
