"""Watch: an agent in the real world beside what it sees and expects, or in its own dream.

python scripts/watch.py --agent runs/car --out episode.mp4
python scripts/watch.py --agent runs/car --watch.world dream --watch.temperature 1.15 --out dream.gif
python scripts/watch.py --agent runs/car --live
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli import default_agent, main

from agents.agent import Agent
from agents.watch import panels, watch
from worldmodels.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Write a video, or open a window."""
    agent = Agent.load(arguments.agent or default_agent(), pick_device(arguments.device))
    if arguments.live:
        from agents.window import show

        show(panels(agent, arguments.watch), max(50 // arguments.watch.every, 1))
    else:
        print(f"Written: {watch(agent, arguments.watch, arguments.out)}")


if __name__ == "__main__":
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
            ("live", bool, False, "Open a window instead; space pauses, Q closes."),
        ),
        needs_run=False,
    )
