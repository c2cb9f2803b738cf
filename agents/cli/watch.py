"""Watch: an agent in the real world beside what it sees and expects, or in its own dream.

worldmodels watch --agent runs/car --out episode.mp4
worldmodels watch --agent runs/car --watch.world dream --watch.temperature 1.15 --out dream.gif
worldmodels watch --agent runs/car --live
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.cli.options import default_agent, main
from agents.viewing.human import Driver
from agents.viewing.watch import panels, watch
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Write a video, or open a window."""
    agent = Agent.load(arguments.agent or default_agent(), pick_device(arguments.device))
    if arguments.live:
        from agents.viewing.window import show

        config, driver = arguments.watch, Driver(agent.env, agent.model.action_spec)
        show(
            lambda seed: panels(agent, dataclasses.replace(config, seed=seed), driver),
            config.seed,
            config.fps(agent),
            driver,
        )
    else:
        print(f"Written: {watch(agent, arguments.watch, arguments.out)}")


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("watch",),
        extra=(
            (
                "agent",
                str | None,
                None,
                "Run directory or pretrained/NAME. Default: the newest run, or the pretrained agent.",
            ),
            ("out", Path, Path("watch.mp4"), "The video, .mp4 or .gif."),
            ("live", bool, False, "Open a window instead; arrows drive, space pauses, N steps, R restarts, Q closes."),
        ),
        needs_run=False,
    )
