"""Watch: an agent in the real world beside what it sees and expects, or in its own dream.

worldmodels watch --agent runs/car --out episode.mp4
worldmodels watch --agent runs/car --watch.world dream --watch.temperature 1.15 --out dream.gif
worldmodels watch --agent runs/car --live
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from agents.agent import Agent
from agents.cli.options import AgentName, Command, Device
from agents.cli.places import default_agent
from agents.viewing.human import Driver
from agents.viewing.watch import WatchConfig, panels, watch
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Whom to watch, where, and how."""

    agent: AgentName = None
    """Run directory or pretrained/NAME. Default: the newest run, or the pretrained agent."""
    watch: WatchConfig = field(default_factory=WatchConfig)
    out: Path = Path("watch.mp4")
    """The video, .mp4 or .gif."""
    live: bool = False
    """Open a window instead. Arrows drive, space pauses, N steps, R restarts, Q closes."""
    device: Device = "auto"


def body(arguments: Arguments) -> None:
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


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("agent", "out", "live", "device", "watch.world", "watch.seed", "watch.max_steps", "watch.every"),
        *("watch.temperature", "watch.starts"),
    ),
)
