"""Share a dream: write a folder that any browser opens and that dreams in it, with no server behind.

worldmodels export-page --agent pretrained/carracing --out dream
worldmodels export-page --agent runs/car --out dream --title "My car's dream"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.cli.options import default_agent, main
from agents.export_page import STARTS, describe_agent, write_page
from rollouts.console import say, size
from rollouts.errors import UserError
from worldmodels.training.threads import one_thread


def body(arguments: Any) -> None:
    """Write the folder, and say how to look at it."""
    if arguments.out is None:
        raise UserError("The page needs a folder of its own: --out FOLDER.")
    agent = Agent.load(arguments.agent or default_agent())
    with one_thread():
        total = write_page(describe_agent(agent, arguments.starts, arguments.title), arguments.out)
    say(
        f"{arguments.out}: {size(total)}. Open {arguments.out / 'index.html'} in a browser, or put the folder on any "
        "web server that serves files."
    )


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
                "Run directory or pretrained/NAME. Default: the newest run, or the pretrained agent.",
            ),
            ("out", Path | None, None, "The folder to write; an exported page that is there is replaced."),
            ("title", str | None, None, "What the page is called. Default: its world."),
            ("starts", int, STARTS, "Moments to begin a dream from, as different as can be."),
        ),
        device=False,
        workers=False,
        needs_run=False,
    )
