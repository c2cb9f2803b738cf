"""Look into the dream: a live page to watch the agent, drive yourself, and explore what V and M have learnt.

worldmodels play
worldmodels play --run runs/car
worldmodels play --host 0.0.0.0 --no-browser
"""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.cli.options import RUNS, default_agent, main
from agents.live import ServeConfig, serve
from agents.live.recorder import Drives
from agents.live.session import Shared
from rollouts.console import say
from rollouts.runs.layout import PRETRAINED, round_number
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Serve the page until Ctrl-C."""
    agent = Agent.load(arguments.run or default_agent(), pick_device(arguments.device))
    shared = Shared(agent, Drives(drives_of(agent.folder), agent.env), RUNS)

    def ready(url: str) -> None:
        say(f"{agent.folder} is at {url}   (Ctrl-C ends it)")
        if arguments.browser and has_display():
            webbrowser.open(url)

    serve(shared, ServeConfig(arguments.host, arguments.port, arguments.exit_when_closed), ready)


def drives_of(folder: Path) -> Path:
    """Where people's episodes go: beside the run's own, or under ``runs/`` for an agent that came with the package."""
    if PRETRAINED in folder.parents:
        return RUNS / f"{folder.name}-human"
    return (folder.parent if round_number(folder) else folder) / "human"


def has_display() -> bool:
    """Whether a browser would be seen: without a screen, some systems open one in the terminal and wait for it."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        extra=(
            ("run", Path | None, None, "Run directory or pretrained/NAME. Default: the newest run, or the pretrained."),
            ("host", str, ServeConfig.host, "Address to listen on; other than loopback, others can steer too."),
            ("port", int, ServeConfig.port, "Port of the page; 0 takes any that is free."),
            ("browser", bool, True, "Open the page in a browser."),
            ("exit_when_closed", bool, False, "End when the last page is closed."),
        ),
        workers=False,
        needs_run=False,
    )
