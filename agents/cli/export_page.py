"""Share a dream: write a folder that any browser opens and that dreams in it, with no server behind.

worldmodels export-page --agent pretrained/carracing --out dream
worldmodels export-page --agent runs/car --out dream --title "My car's dream"
worldmodels export-page --images runs/digits --out digits
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.agent import Agent
from agents.cli.options import AgentName, Command
from agents.cli.places import default_agent
from agents.export_page import STARTS, describe_agent, describe_images, write_page
from rollouts.console import say, size
from rollouts.errors import UserError
from worldmodels.training.threads import one_thread


@dataclass(frozen=True)
class Arguments:
    """Whose dream to share, and where."""

    agent: AgentName = None
    """Run directory or pretrained/NAME. Default: the newest run, or the pretrained agent."""
    images: Path | None = None
    """A run of train-images instead: its numbers as sliders."""
    out: Path | None = None
    """The folder to write. An exported page that is there is replaced."""
    title: str | None = None
    """What the page is called. Default: its world."""
    starts: int = STARTS
    """Moments to begin a dream from, as different as can be."""


def body(arguments: Arguments) -> None:
    """Write the folder, and say how to look at it."""
    if arguments.out is None:
        raise UserError("The page needs a folder of its own: --out FOLDER.")
    if arguments.images is not None and arguments.agent is not None:
        raise UserError("A page shows an agent or an image model: give --agent or --images, not both.")
    with one_thread():
        if arguments.images is not None:
            description = describe_images(arguments.images, arguments.title)
        else:
            agent = Agent.load(arguments.agent or default_agent())
            description = describe_agent(agent, arguments.starts, arguments.title)
        total = write_page(description, arguments.out)
    say(
        f"{arguments.out}: {size(total)}. Open {arguments.out / 'index.html'} in a browser, or put the folder on any "
        "web server that serves files."
    )


COMMAND = Command(__doc__, Arguments, body, main=("agent", "images", "out", "title", "starts"))
